"""Tools from npm for tests: installed once, as the package-lock.json in their directory pins them.

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
AGENTS = Path(__file__).with_name("agents")  # coding agents, which are large
_NEEDED = ("package.json", "package-lock.json")
_INSTALL_S = 300


def node(layer: str = "web", *, major: int = 0) -> str:
    """Return the path of node; skip the test if it is older or not there, and say what to do."""
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        pytest.skip(f"needs node and npm: sudo tests/run --only {layer}")
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    if int(said.lstrip("v").partition(".")[0]) < major:
        pytest.skip(f"needs node {major}, not {said.strip()}: install a newer nodejs package")
    return found


@cache
def packages(needed: Path = SCRIPTS) -> Path:
    """Return the directory that holds `node_modules`, made if it is not there yet.

    `needed` is where package.json and its lock are. What they call optional is left out.
    """
    node()
    data = b"".join((needed / name).read_bytes() for name in _NEEDED)
    place = CHECKOUT / ".cache" / f"node-{hashlib.sha256(data).hexdigest()[:16]}"
    place.parent.mkdir(exist_ok=True)
    with (place.parent / "node.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.is_dir():
            _install(needed, place)
    return place


def script(name: str) -> Path:
    """Return one of the scripts beside the lock file."""
    return SCRIPTS / name


def _install(needed: Path, place: Path) -> None:
    """Install into a directory that gets its name only when it is complete."""
    with tempfile.TemporaryDirectory(dir=place.parent, prefix="node-new-") as made:
        inside = Path(made) / "it"
        inside.mkdir()
        for name in _NEEDED:
            shutil.copy(needed / name, inside / name)
        done = subprocess.run(
            [
                *("npm", "ci", "--ignore-scripts", "--omit=optional"),
                *("--no-audit", "--no-fund", "--loglevel=error"),
            ],
            cwd=inside,
            capture_output=True,
            text=True,
            check=False,
            timeout=_INSTALL_S,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"npm ci failed:\n{done.stdout}{done.stderr}"
        os.rename(inside, place)
