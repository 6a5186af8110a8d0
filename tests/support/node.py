"""Tools from npm for tests: installed once, as tests/support/node/package-lock.json pins them.

They go to .cache/node-<digest of the lock>/ in the checkout, which is not tracked.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(__file__).with_name("node")
_NEEDED = ("package.json", "package-lock.json")
_INSTALL_S = 300


def node() -> str:
    """Return the path of node; skip the test if there is none, and say what installs it."""
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        pytest.skip("needs node and npm: sudo tests/run --only web")
    return found


@cache
def packages() -> Path:
    """Return the directory that holds `node_modules`, made if it is not there yet."""
    node()
    data = b"".join((SCRIPTS / name).read_bytes() for name in _NEEDED)
    place = CHECKOUT / ".cache" / f"node-{hashlib.sha256(data).hexdigest()[:16]}"
    place.parent.mkdir(exist_ok=True)
    with (place.parent / "node.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.is_dir():
            _install(place)
    return place


def script(name: str) -> Path:
    """Return one of the scripts beside the lock file."""
    return SCRIPTS / name


def _install(place: Path) -> None:
    """Install into a directory that gets its name only when it is complete."""
    with tempfile.TemporaryDirectory(dir=place.parent, prefix="node-new-") as made:
        inside = Path(made) / "it"
        inside.mkdir()
        for name in _NEEDED:
            shutil.copy(SCRIPTS / name, inside / name)
        done = subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
            cwd=inside,
            capture_output=True,
            text=True,
            check=False,
            timeout=_INSTALL_S,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"npm ci failed:\n{done.stdout}{done.stderr}"
        os.rename(inside, place)
