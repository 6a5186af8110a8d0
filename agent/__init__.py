"""The agent: one per host. Sensor, subjects, match, hold, transport."""
