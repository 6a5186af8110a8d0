"""Orders of the centre: grants, which answer for a person, and quarantines."""
