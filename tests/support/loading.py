"""The loader, run as the agent runs it, and what the kernel itself says is loaded."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from tests.support.started import PYTHON

LOADER = Path(__file__).resolve().parents[2] / "agent" / "kernel" / "loader"


def run_loader(*arguments: str, before: Sequence[str] = ()) -> "subprocess.CompletedProcess[str]":
    """Run the loader; `before` is a command that runs its arguments."""
    command = [*before, PYTHON, "-I", "-B", str(LOADER), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def program_ids(pins: Path) -> dict[int, str]:
    """Return the kernel's numbers of the programs pinned under a directory, with their names."""
    return {
        int(_bpftool("prog", "show", "pinned", str(path))["id"]): path.name
        for path in (pins / "programs").iterdir()
    }


def map_sizes(path: Path) -> tuple[int, int]:
    """Return how many bytes the keys and the values of a pinned map have."""
    found = _bpftool("map", "show", "pinned", str(path))
    return int(found["bytes_key"]), int(found["bytes_value"])


def attached_by_the_kernel(ids: dict[int, str]) -> set[tuple[str, str]]:
    """Return (program, tracepoint) of every link that the kernel has to one of the programs."""
    links = cast("list[dict[str, Any]]", _bpftool("link", "list"))
    return {(ids[one["prog_id"]], one["tp_name"]) for one in links if one["prog_id"] in ids}


def loaded_programs() -> set[int]:
    """Return the numbers of all programs in the kernel, whoever loaded them."""
    programs = cast("list[dict[str, Any]]", _bpftool("prog", "list"))
    return {int(one["id"]) for one in programs}


def _bpftool(*arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        ["/usr/sbin/bpftool", "--json", *arguments], capture_output=True, text=True, check=True
    )
    return cast("dict[str, Any]", json.loads(done.stdout))
