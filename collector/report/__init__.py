"""What the trail comes to: charts, the dashboard, and evidence for auditors."""
