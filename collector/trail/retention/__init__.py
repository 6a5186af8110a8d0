"""What of the events falls by age and size, and the signed tombstone in its place."""
