"""Channels: where requests are shown to people besides the API, and how cards are kept current."""
