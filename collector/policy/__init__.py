"""Approval policies: who must say yes to which request, and what happens while nobody does."""
