"""The kernel side as another version has it: the same, but for a comment in one of its sources."""

import os
import shutil
from pathlib import Path

import agent.kernel

# A source whose change changes the version alone, and the one that has the layout of records.
CHANGED = ("stop.c", "records.h")
_OURS = Path(agent.kernel.__file__).parent
_LEFT_OUT = shutil.ignore_patterns("__pycache__")


def write_other_version(kernel: Path, changed: str) -> None:
    """Write it to `kernel`, which is not there yet."""
    assert changed in CHANGED
    shutil.copytree(_OURS, kernel, ignore=_LEFT_OUT)
    with (kernel / "programs" / changed).open("a") as source:
        source.write("\n// Another version.\n")


def compiled_other_version(own: Path, changed: str) -> Path:
    """Return where its compiled programs are kept: `own`, or what lasts longer than one test.

    Not where ours are: of each mode the loader keeps one version only.
    """
    kept = os.environ.get("HOLDFAST_TEST_PROGRAMS")
    return Path(f"{kept}-{changed}") if kept else own
