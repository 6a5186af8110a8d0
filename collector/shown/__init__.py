"""What was shown to people: cards with their digests, and which of them are known here."""
