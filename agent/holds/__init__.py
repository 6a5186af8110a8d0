"""Holds: what is stopped, why, until when, and what becomes of it."""
