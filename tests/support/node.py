"""Packages of npm that tests need: what a committed lock file pins, installed beside the tests.

modules = node_modules(Path(__file__).parent)   # with package.json and package-lock.json
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

CACHE = Path(__file__).parents[2] / ".cache" / "node"


def node_modules(pinned: Path) -> Path:
    """Return node_modules with exactly what the lock file in `pinned` names; installed once."""
    if shutil.which("npm") is None:
        pytest.skip("npm is missing: apt-get install npm")
    lock = (pinned / "package-lock.json").read_bytes()
    place = CACHE / hashlib.sha256(lock).hexdigest()[:16]
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # another run may be at it
        if not (place / "done").exists():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(pinned / name, place)
            done = subprocess.run(
                ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                cwd=place,
                env={**os.environ, "npm_config_update_notifier": "false"},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"npm ci failed:\n{done.stdout}{done.stderr}"
            (place / "done").touch()
    return place / "node_modules"
