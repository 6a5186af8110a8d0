"""Charts as Vega-Lite has them, and beside each the table of what it shows. Pure.

Colours are names of the style sheet (`var(--chart-1)` and so on), so that one picture serves light,
dark and paper. Text from the trail is only ever a value, never a part of the specification.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

_WIDTH = 640
_HEIGHT = 190
_ROW = 26
_MOST_BARS = 12
_OTHERS = "all others"
_LABEL = 220  # pixels; longer names are cut by the renderer, and stand whole in the table

# What an answer or an end looks like is the same in every chart.
_MEANINGS: Mapping[str, str] = {
    "approved": "var(--chart-go)",
    "released": "var(--chart-go)",
    "approve": "var(--chart-go)",
    "denied": "var(--chart-stop)",
    "killed": "var(--chart-stop)",
    "refused": "var(--chart-stop)",
    "deny": "var(--chart-stop)",
    "expired": "var(--chart-wait)",
    "open": "var(--chart-open)",
    "cancelled": "var(--chart-off)",
    "superseded": "var(--chart-off)",
}
_COLOURS = tuple(f"var(--chart-{number})" for number in range(1, 9))


class Axis(StrEnum):
    """What the first column of a chart's rows is."""

    NAMES = "names"
    DAYS = "days"  # ISO times, UTC, each the beginning of a day
    HOURS = "hours"  # the same of an hour


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One chart. `rows` are (x, series, number), or (x, number) where there is one series."""

    name: str
    title: str
    axis: Axis
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
    unit: str = ""
    lines: bool = False  # measurements over time, which do not add up

    def with_rows(self, rows: Sequence[Sequence[Any]]) -> "Chart":
        """Return the same chart of other rows."""
        return replace(self, rows=rows)

    def specification(self) -> dict[str, Any]:
        """Return it as Vega-Lite has it; raise ValueError if it has no rows."""
        if not self.rows:
            raise ValueError(f"chart {self.name}: nothing to show")
        if self.axis is Axis.NAMES:
            return _frame(self._bars_lying())
        return _frame(self._over_time())

    def _values(self) -> list[dict[str, Any]]:
        series = len(self.columns) > 2
        return [
            {"x": str(row[0]), "s": str(row[1]) if series else "", "n": row[-1]}
            for row in self.rows
            if row[-1] is not None
        ]

    def _bars_lying(self) -> dict[str, Any]:
        values = _with_others(self._values())
        names = list(dict.fromkeys(value["x"] for value in values))
        return {
            "data": {"values": values},
            "width": _WIDTH,
            "height": {"step": _ROW},
            "mark": {"type": "bar", "cornerRadiusEnd": 2, "height": {"band": 0.72}},
            "encoding": {
                "y": {
                    "field": "x",
                    "type": "nominal",
                    "sort": names,
                    "title": None,
                    "axis": {"labelLimit": _LABEL, "grid": False, "ticks": False},
                },
                "x": self._numbers(values),
                "order": {"field": "o", "type": "ordinal"},
                **_colour(values),
            },
        }

    def _over_time(self) -> dict[str, Any]:
        values = self._values()
        unit = "utcyearmonthdate" if self.axis is Axis.DAYS else "utcyearmonthdatehours"
        words = "%b %-d" if self.axis is Axis.DAYS else "%b %-d, %H:%M"
        axis = {"grid": False, "format": words, "labelOverlap": True}
        x = {"field": "x", "type": "temporal", "timeUnit": unit, "title": None, "axis": axis}
        y = self._numbers(values)
        mark: dict[str, Any] = {"type": "bar", "cornerRadiusEnd": 1}
        if self.lines:
            mark = {"type": "line", "point": True, "strokeWidth": 2}
            # From a tenth of a second to a day on one axis.
            y["scale"] = {"type": "symlog"}
        return {
            "data": {"values": values, "format": {"parse": {"x": "utc:'%Y-%m-%dT%H:%M:%SZ'"}}},
            "width": _WIDTH,
            "height": _HEIGHT,
            "mark": mark,
            "encoding": {
                "x": x | {"scale": {"type": "utc"}},
                "y": y,
                "order": {"field": "o", "type": "ordinal"},
                **_colour(values),
            },
        }

    def _numbers(self, values: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        whole = all(isinstance(value["n"], int) for value in values)
        return {
            "field": "n",
            "type": "quantitative",
            "title": self.unit or self.columns[-1].replace("_", " "),
            # There is no half of a hold.
            "axis": {"tickMinStep": 1} if whole else {},
        }


def _with_others(values: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the values of the largest names; what the others come to is one bar at the end."""
    sums: dict[str, float] = {}
    for value in values:
        sums[value["x"]] = sums.get(value["x"], 0) + value["n"]
    order = sorted(sums, key=lambda name: (-sums[name], name))
    largest = set(order[:_MOST_BARS])
    kept = [value for name in order[:_MOST_BARS] for value in values if value["x"] == name]
    others: dict[str, float] = {}
    for value in values:
        if value["x"] not in largest:
            others[value["s"]] = others.get(value["s"], 0) + value["n"]
    return kept + [{"x": _OTHERS, "s": series, "n": n} for series, n in others.items()]


def _colour(values: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the encoding of the series, and note on each value the order in its stack."""
    found = {value["s"] for value in values}
    known = [series for series in _MEANINGS if series in found]
    series = known + sorted(found - set(known))
    for value in values:
        value["o"] = series.index(value["s"])
    spare = iter(_COLOURS * (1 + len(series) // len(_COLOURS)))
    colours = [_MEANINGS.get(one) or next(spare) for one in series]
    legend = None if series == [""] else {"title": None, "orient": "top", "symbolType": "square"}
    return {
        "color": {
            "field": "s",
            "type": "nominal",
            "scale": {"domain": series, "range": colours},
            "legend": legend,
        }
    }


def _frame(part: dict[str, Any]) -> dict[str, Any]:
    ink, line = "currentColor", "var(--chart-line)"
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        # Names are measured in a font of the server's and shown in one of the reader's.
        "padding": {"left": 28, "right": 8, "top": 4, "bottom": 4},
        "config": {
            "background": None,
            "font": "system-ui, sans-serif",
            "view": {"stroke": None},
            "axis": {
                "labelColor": ink,
                "titleColor": ink,
                "titleFontWeight": "normal",
                "labelFontSize": 12,
                "titleFontSize": 12,
                "gridColor": line,
                "domainColor": line,
                "tickColor": line,
            },
            "axisQuantitative": {"tickCount": 5},
            "legend": {"labelColor": ink, "labelFontSize": 12},
        },
        **part,
    }
