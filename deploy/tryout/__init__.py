"""The try-out: the whole of Holdfast on one machine, three holds, and nothing left behind."""
