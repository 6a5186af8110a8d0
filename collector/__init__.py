"""The centre: takes in what hosts report, asks people, keeps the trail."""
