"""Ordinary DuckDB clients of other versions, each in an environment of its own, from the index."""

import subprocess
import sys
from pathlib import Path

import pytest

# The oldest and the newest of the current ones; ours is the collector's own.
VERSIONS = ("1.5.0", "2.0.*", "ours")


def python_with(version: str, directory: Path) -> str:
    """Return a Python that has this version of duckdb; skip, loudly, where it cannot be had."""
    if version == "ours":
        return sys.executable
    place = directory / f"duckdb-{version.rstrip('.*')}"
    python = str(place / "bin" / "python")
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, f"duckdb=={version}"], capture_output=True, text=True, timeout=250, check=False
    )
    if done.returncode:
        pytest.skip(f"duckdb {version} is not to be had: pip install 'duckdb=={version}' failed")
    return python
