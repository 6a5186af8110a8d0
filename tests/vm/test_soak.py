"""A soak of the gate beside what hangs, in a VM that runs systemd; see tests/vm/soak.

HOLDFAST_SOAK_SECONDS is how long each thing hangs at least: 20, and up to 120, since systemd ends a
journald that says nothing for three minutes.
"""

import os
from functools import partial
from pathlib import Path

import pytest

from deploy.bootstrap.progress import Progress
from tests.vm import image, suite
from tests.vm.kernels import Hooks, kernel_named
from tests.vm.machine import Machine, MachineError, Shape
from tests.vm.soak.measures import RESULTS
from tests.vm.telling import counted, tell

# On a machine that does much else; by itself it is a third of that.
_LONGEST_S = 3600
pytestmark = pytest.mark.timeout(_LONGEST_S + 600)
_SECONDS = min(float(os.environ.get("HOLDFAST_SOAK_SECONDS", "20")), 120.0)
_KERNEL = "6.1"


def test_nobody_but_subjects_waits_for_what_hangs(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The tests in the VM are counted one by one; how long people's acts took is printed."""
    progress = Progress()
    machine = Machine(tmp_path)
    keep = partial(suite.keep, machine, "soak")
    try:
        with counted(request, f"{_KERNEL}-systemd", keep) as tally:
            stock = image.stock(kernel_named(_KERNEL), progress)
            shape = Shape(Hooks.LSM, systemd=True)
            inside = suite.booted(machine, image.root(progress), stock, shape, "gate", progress)
            inside.prepare()
            _run(machine, f"echo {_SECONDS} > /run/holdfast-soak-seconds")
            _run(machine, f"touch {RESULTS}")
            code = inside.tests(["tests/vm/soak"], tally.take, longest_s=_LONGEST_S)
            tell(request, f"{_KERNEL} with systemd, software emulation:\n" + _read(machine))
            tally.end(code)
    finally:
        machine.end()


def _read(machine: Machine) -> str:
    return _run(machine, f"cat {RESULTS}")


def _run(machine: Machine, script: str) -> str:
    said: list[bytes] = []
    code = machine.run(
        ["/bin/sh", "-c", script], output=lambda _, content: said.append(content), seconds=60
    )
    if code != 0:
        raise MachineError(f"{script}: exit code {code}")
    return b"".join(said).decode()
