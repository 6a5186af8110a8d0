"""The `holdfast` command: how people, and scripts for them, talk to the centre."""
