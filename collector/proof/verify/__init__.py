"""Checks a trail from its files alone."""
