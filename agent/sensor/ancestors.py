"""What the ancestors of a held process were started with, which its record does not say."""

import dataclasses
import os
from pathlib import Path

from agent.sensor.records import arguments
from wire.acts import Act, Process

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def with_ancestors_arguments(act: Act) -> Act:
    """Add the arguments of the ancestors within the session; what started it is not the AI's."""
    root, _, start = act.session.partition("-")
    # Of a root that ran before the programs did, the start is known to the clock tick only.
    inside = next(
        (
            number
            for number, process in enumerate(act.ancestors, 1)
            if process.pid == int(root) and process.start_ns // _TICK_NS == int(start) // _TICK_NS
        ),
        0,
    )
    ancestors = tuple(_with_arguments(process) for process in act.ancestors[:inside])
    return dataclasses.replace(act, ancestors=ancestors + act.ancestors[inside:])


def _with_arguments(process: Process) -> Process:
    """Add an ancestor's arguments, read once per hold; none if it is another process by now."""
    try:
        raw = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        stat = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return process
    if int(stat[19]) != process.start_ns // _TICK_NS:
        return process
    return dataclasses.replace(process, argv=arguments(raw[:4096], cut=len(raw) > 4096))
