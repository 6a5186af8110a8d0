"""The trail: the DuckDB file, its one writer, and the readers."""
