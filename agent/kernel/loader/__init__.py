"""Run as a directory by the system's Python; see __main__."""
