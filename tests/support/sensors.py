"""The sensor that a test run is about: HOLDFAST_TEST_MODE is stop (the default) or gate."""

import os
from functools import lru_cache
from pathlib import Path

from agent.sensor.choose import Choice, choose
from agent.sensor.gate import GateSensor
from agent.sensor.sides import FMOD_RET, LSM, STOP, Side
from agent.sensor.stop import StopSensor
from rules.modes import HostMode
from wire.acts import Guarantee

MODE = HostMode(os.environ.get("HOLDFAST_TEST_MODE", "stop"))
# Whether an act waits before it has happened.
GATE = MODE is HostMode.GATE
_OF_THE_RUN = ("HOLDFAST_TEST_MODE", "HOLDFAST_TEST_HOOKS")


def guarantee(in_stop_mode: Guarantee) -> Guarantee:
    """Return what a held act of this run is, by what it would be in stop mode."""
    return Guarantee.HELD if GATE else in_stop_mode


def environment() -> dict[str, str]:
    """Return the environment of a process of its own that makes a sensor of this run's mode."""
    named = {name: os.environ[name] for name in _OF_THE_RUN if name in os.environ}
    return {"PATH": "/usr/bin:/bin", **named}


@lru_cache(maxsize=1)
def choice() -> Choice:
    """Return the mode of this run, and by which programs: HOLDFAST_TEST_HOOKS may name them."""
    named = {one.name: one for one in (LSM, FMOD_RET)}.get(
        os.environ.get("HOLDFAST_TEST_HOOKS", "")
    )
    if GATE and named is not None:
        return Choice(MODE, named)
    return choose(MODE)


def side() -> Side:
    """Return the programs of this run."""
    found = choice().side
    assert found is not None
    return found


def make_sensor(pins: Path, cache: Path | None = None) -> StopSensor | GateSensor:
    """Return a sensor of this run's mode, not started."""
    if GATE:
        return GateSensor(pins, cache, side=side())
    assert side() is STOP
    return StopSensor(pins, cache)
