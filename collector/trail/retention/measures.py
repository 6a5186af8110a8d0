"""What retention has done, as Prometheus reads it; only where there is retention."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from collector.trail.retention.choice import Reason
from collector.trail.retention.rounds import Figures


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure: a number, or one for each reason for which events are dropped."""

    name: str
    kind: str
    help: str
    value: Callable[[Figures], float | Mapping[str, int]]


MEASURES: tuple[Measure, ...] = (
    Measure(
        "holdfast_retention_dropped_events_total",
        "counter",
        "Events dropped since the collector started, by reason.",
        lambda figures: figures.events,
    ),
    Measure(
        "holdfast_retention_dropped_bytes_total",
        "counter",
        "Bytes of files that this has freed, by reason.",
        lambda figures: figures.bytes,
    ),
    Measure(
        "holdfast_retention_held_back_events",
        "gauge",
        "Events that were due in the last round and stay while a hold is open.",
        lambda figures: figures.held,
    ),
    Measure(
        "holdfast_retention_last_round_timestamp_seconds",
        "gauge",
        "When the last round ended; 0 before the first has.",
        lambda figures: figures.round_ns / 1e9,
    ),
)


def written(figures: Figures) -> str:
    """Return all measures."""
    lines = []
    for measure in MEASURES:
        lines += [f"# HELP {measure.name} {measure.help}", f"# TYPE {measure.name} {measure.kind}"]
        value = measure.value(figures)
        if isinstance(value, Mapping):
            lines += [f'{measure.name}{{reason="{one}"}} {value.get(one, 0)}' for one in Reason]
        else:
            lines.append(f"{measure.name} {value}")
    return "".join(f"{line}\n" for line in lines)
