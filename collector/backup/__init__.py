"""Backup and restore of the centre: the trail with its segments, and who is let in."""
