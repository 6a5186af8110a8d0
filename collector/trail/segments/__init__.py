"""Events on disk: Parquet files that the table `segments` names, and a short tail in DuckDB."""
