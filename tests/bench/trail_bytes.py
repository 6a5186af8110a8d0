"""What a trail takes on disk, and what takes the most."""

from collections import Counter
from collections.abc import Mapping

import pyarrow.parquet as pq

from tests.bench.trail_made import Made
from tests.bench.trail_shape import directory_size


def places(made: Made) -> Mapping[str, int]:
    """Return the bytes of each part of a trail, by what it is."""
    exports = made.directory / "exports"
    return {
        "segments: the events": directory_size(made.directory / "segments"),
        "trail.duckdb: links of batches, requests, votes and all else": made.file.stat().st_size,
        "exports: the same for every DuckDB client": directory_size(exports),
        "views.duckdb": made.views.stat().st_size,
    }


def columns(made: Made) -> Mapping[str, int]:
    """Return the bytes of each column of the events, the largest first."""
    found: Counter[str] = Counter()
    for path in (made.directory / "segments").rglob("*.parquet"):
        metadata = pq.read_metadata(path)
        for group in range(metadata.num_row_groups):
            for place in range(metadata.num_columns):
                column = metadata.row_group(group).column(place)
                found[column.path_in_schema.partition(".")[0]] += column.total_compressed_size
    return dict(found.most_common())
