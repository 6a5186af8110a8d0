"""Which chart an answer to any question makes, by the types of its columns. Pure."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from collector.report.charts import Axis, Chart

_NUMBERS = ("INT", "DOUBLE", "FLOAT", "DECIMAL", "REAL")
_MOST_SERIES = 8


def plot(columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[Any]]) -> Chart | None:
    """Return a chart of (names or times, numbers) or (names or times, series, numbers); else None.

    `columns` are names with DuckDB's types, `rows` as an answer has them.
    """
    kinds = [kind for _, kind in columns]
    if len(columns) not in (2, 3) or not rows or not _is_number(kinds[-1]):
        return None
    if len(columns) == 3 and (
        kinds[1] != "VARCHAR" or len({row[1] for row in rows}) > _MOST_SERIES
    ):
        return None
    if any(row[0] is None or not isinstance(row[-1], int | float) for row in rows):
        return None
    names = tuple(name for name, _ in columns)
    if kinds[0] in ("DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"):
        times = [_time(row[0]) for row in rows]
        days = all(time.time() == dt.time() for time in times)
        return Chart(
            name="answer",
            title="",
            axis=Axis.DAYS if days else Axis.HOURS,
            columns=names,
            rows=[
                (time.strftime("%Y-%m-%dT%H:%M:%SZ"), *row[1:])
                for time, row in zip(times, rows, strict=True)
            ],
        )
    if kinds[0] == "VARCHAR":
        return Chart(name="answer", title="", axis=Axis.NAMES, columns=names, rows=rows)
    return None


def _is_number(kind: str) -> bool:
    return any(number in kind for number in _NUMBERS) and "[" not in kind and "(" not in kind[:7]


def _time(text: str) -> dt.datetime:
    time = dt.datetime.fromisoformat(text)
    return time.astimezone(dt.UTC).replace(tzinfo=None) if time.tzinfo else time
