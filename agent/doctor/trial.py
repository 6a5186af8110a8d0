"""Asks the loader what kinds of programs this kernel takes; the one place that does."""

import json
import subprocess
from pathlib import Path
from typing import Any

import agent.kernel
from agent.doctor.facts import Answer, Trials

_SYSTEM_PYTHON = "/usr/bin/python3"
_LOADER = Path(agent.kernel.__file__).parent / "loader"
_LIMIT_S = 60


def attach_trials() -> Trials:
    """Load, attach and meet one small program of each kind; what they were is detached again."""
    try:
        done = subprocess.run(
            [_SYSTEM_PYTHON, "-I", "-B", str(_LOADER), "--probe"],
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=True,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
        )
        said = json.loads(done.stdout)
    except subprocess.CalledProcessError as error:
        return Trials(bpf=f"the trial failed: {error.stderr.strip()[-300:]}")
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        return Trials(bpf=f"the trial did not run: {error}")
    return trials_of(said)


def trials_of(said: Any) -> Trials:
    """Return what the loader said; what it does not know stays not tried."""
    known = {field: said[field] for field in Trials.__slots__ if field in said}
    return Trials(**{field: _answer(value) for field, value in known.items()})


def _answer(value: object) -> Answer:
    return True if value is True else str(value)
