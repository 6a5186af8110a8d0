"""Secrets in texts and commands: finding them, and what stands in their place."""
