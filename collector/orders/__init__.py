"""Grants and quarantines: what the centre orders of hosts beside the verdict on one hold."""
