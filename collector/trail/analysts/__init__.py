"""The trail as anyone may open it: `views.duckdb`, a few seconds behind, over Parquet files."""
