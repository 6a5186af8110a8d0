"""Channels: where requests are shown to people, and from where answers come."""
