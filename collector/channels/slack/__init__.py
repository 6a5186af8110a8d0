"""Slack: cards as Block Kit messages, and what people click, type and write there."""
