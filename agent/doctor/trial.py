"""What the loader says of the kinds of programs that this kernel takes; the one place that asks."""

from collections.abc import Mapping

from agent.doctor.facts import Answer, Trials
from agent.errors import SensorError
from agent.sensor import programs


def attach_trials() -> Trials:
    """Load, attach and meet one small program of each kind; what they were is detached again."""
    try:
        return trials_of(programs.trials())
    except (SensorError, ValueError) as error:
        return Trials(bpf=f"the trial did not run: {error}")


def trials_of(said: Mapping[str, object]) -> Trials:
    """Return what the loader said; what it does not know stays not tried."""
    known = {field: said[field] for field in Trials.__slots__ if field in said}
    return Trials(**{field: _answer(value) for field, value in known.items()})


def _answer(value: object) -> Answer:
    return True if value is True else str(value)
