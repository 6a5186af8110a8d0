"""What an AI session says of itself before it acts, and what it may read after a denial."""
