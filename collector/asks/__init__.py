"""Asks: requests without a process. Somebody asks before they do something, and waits."""
