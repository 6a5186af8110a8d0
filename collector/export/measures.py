"""How continuous exports do, as Prometheus reads it: its text format, version 0.0.4."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from collector.export.exporter import ExportHealth

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure, with a value for each export."""

    name: str
    kind: str
    help: str
    value: Callable[[ExportHealth], float]


MEASURES: tuple[Measure, ...] = (
    Measure(
        "holdfast_export_lag_seconds",
        "gauge",
        "Age of the oldest record that the receiver has not taken; 0 if none waits.",
        lambda one: one.lag_s,
    ),
    Measure(
        "holdfast_export_records_total",
        "counter",
        "Number of the last record that the receiver has taken.",
        lambda one: one.sent,
    ),
    Measure(
        "holdfast_export_failures_total",
        "counter",
        "Deliveries that failed since the collector started; each is tried again.",
        lambda one: one.failures,
    ),
    Measure(
        "holdfast_export_gone_records_total",
        "counter",
        "Records that retention dropped before they were sent, since the collector started.",
        lambda one: one.gone,
    ),
    Measure(
        "holdfast_export_working",
        "gauge",
        "1 if the last delivery was taken or nothing was to be sent yet, else 0.",
        lambda one: 0 if one.trouble else 1,
    ),
)


def written(exports: Sequence[ExportHealth]) -> str:
    """Return all measures of all exports."""
    lines = []
    for measure in MEASURES:
        lines += [
            f"# HELP {measure.name} {measure.help}",
            f"# TYPE {measure.name} {measure.kind}",
            # A name of an export has no character that would have to be escaped.
            *(
                f'{measure.name}{{export="{one.settings.name}"}} {measure.value(one)}'
                for one in exports
            ),
        ]
    return "".join(f"{line}\n" for line in lines)
