"""The trail for other systems: as a file when somebody asks, and continuously to a receiver."""
