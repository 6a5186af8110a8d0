"""Which mode a host works in: the best that its kernel takes by trial, or the one asked for."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.config import AgentConfig
from agent.errors import SensorError
from agent.sensor import programs
from agent.sensor.audit import AuditSensor
from agent.sensor.gate import GateSensor
from agent.sensor.interface import Sensor
from agent.sensor.preemption import of_this_kernel
from agent.sensor.sides import FMOD_RET, LSM, STOP, Side
from agent.sensor.stop import StopSensor
from rules.modes import HostMode

log = logging.getLogger("holdfast.agent.sensor")


@dataclass(frozen=True, slots=True)
class Choice:
    """A mode, the programs for it (audit mode has none), and why it is none that is better."""

    mode: HostMode
    side: Side | None
    why: tuple[str, ...] = ()


def best(trials: Mapping[str, object], preempts: str = "") -> Choice:
    """Return the best mode by what the loader has tried: True for what works, or why not. Pure.

    `preempts` is the model by which the kernel preempts itself, if it does; see preemption.
    """
    why: list[str] = []
    if preempts:
        why.append(
            f"gate mode: the kernel preempts itself ({preempts}), which its programs do not bear; "
            "start it with preempt=voluntary"
        )
    for side in () if preempts else (LSM, FMOD_RET):
        lacking = _lacking(trials, side.name, "fexit", "raw_tracepoint", "signal")
        if not lacking:
            return Choice(HostMode.GATE, side, tuple(why))
        why += [f"gate mode by {side.name}: {one}" for one in lacking]
    lacking = _lacking(trials, "raw_tracepoint", "signal")
    if not lacking:
        return Choice(HostMode.STOP, STOP, tuple(why))
    return Choice(HostMode.AUDIT, None, (*why, *(f"stop mode: {one}" for one in lacking)))


def _lacking(trials: Mapping[str, object], *names: str) -> list[str]:
    return [
        f"{name}: {trials.get(name, 'not tried')}" for name in names if trials.get(name) is not True
    ]


def choose(wanted: str) -> Choice:
    """Return the mode for `wanted`: auto, or a mode by name; raise SensorError if it cannot be."""
    if wanted == HostMode.STOP:
        return Choice(HostMode.STOP, STOP)
    if wanted == HostMode.AUDIT:
        return Choice(HostMode.AUDIT, None)
    if os.geteuid() != 0:
        raise SensorError("only root can try what this kernel takes; run as root")
    found = best(programs.trials(), of_this_kernel())
    if wanted == HostMode.GATE and found.mode is not HostMode.GATE:
        raise SensorError("this kernel does not take gate mode: " + "; ".join(found.why))
    return found


def sensor_of(choice: Choice, config: AgentConfig) -> Sensor:
    """Return the sensor of a mode, not started."""
    bpffs, cache = config.bpffs, config.cache
    for one in choice.why:
        log.info("%s", one)
    if choice.mode is HostMode.GATE:
        assert choice.side is not None
        return GateSensor(bpffs, cache, side=choice.side)
    if choice.mode is HostMode.STOP:
        return StopSensor(bpffs, cache)
    return _audit(config)


def left_sensor(config: AgentConfig) -> Sensor:
    """Return a sensor for what an agent that is gone has left, whatever mode it was in."""
    bpffs = config.bpffs
    if not bpffs.is_dir() and (config.mode == HostMode.AUDIT or _audit_place(config).is_dir()):
        return _audit(config)
    gated = (bpffs / "programs" / "gate_file_open").exists()
    return GateSensor(bpffs) if gated else StopSensor(bpffs)


def _audit(config: AgentConfig) -> Sensor:
    return AuditSensor(
        config.audit_socket, _audit_place(config), key=config.audit_key, left=config.audit_left
    )


def _audit_place(config: AgentConfig) -> Path:
    """Return where an agent in audit mode notes what it holds."""
    return config.run / "audit"
