"""Who is who: people with their tokens, and enrolled hosts."""
