"""What host and centre say to each other: ids, messages, subject names, signatures. No I/O."""
