"""What the trail knows of one Parquet file of events."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Segment:
    """A row of `segments`.

    `level`: how often its rows were merged; `columns`: how many of those of a file it has, the
    later ones being absent; `missing_ns`: since when the file is known to be gone.
    """

    file: str
    rows: int
    bytes: int
    first_ns: int
    last_ns: int
    level: int
    made_ns: int
    columns: int
    missing_ns: int | None = None
