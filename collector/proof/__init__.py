"""The proof of the trail: signed checkpoints over it, where they go, and how it is checked."""
