"""holdfast-agent doctor: what this host can promise, what is missing, and what is left open."""
