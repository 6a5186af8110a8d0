"""What tests are told of where they run. Inside a VM of tests/vm, things are kept beyond a test."""

import os
from pathlib import Path

# How many times longer than elsewhere a test waits for what must come.
PATIENCE = int(os.environ.get("HOLDFAST_TEST_PATIENCE", "1"))
# The socket of the process that has the collector imported; see tests.support.administration.
ADMINISTRATION = os.environ.get("HOLDFAST_TEST_ADMINISTRATION", "")


def compiled_programs(own: Path) -> Path:
    """Return where compiled programs are kept: `own`, or what lasts longer than one test."""
    return Path(os.environ.get("HOLDFAST_TEST_PROGRAMS", own))


def keep_log(log: Path) -> None:
    """Have what will be written to `log` outlive the test, where somebody keeps such logs."""
    place = os.environ.get("HOLDFAST_TEST_LOGS")
    if not place or log.exists() or log.is_symlink():
        return
    numbers = (f"{log.stem}-{number}{log.suffix}" for number in range(1, 1000))
    kept = next(Path(place) / name for name in numbers if not (Path(place) / name).exists())
    kept.touch()
    log.symlink_to(kept)
