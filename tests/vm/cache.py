"""Images that are made once: named by a hash of what they are made from, shared by checkouts."""

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PLACE = Path(os.environ.get("HOLDFAST_TEST_CACHE", "/var/cache/holdfast-test"))
_UNUSED_DAYS = 14
_DAY_S = 86400


def digest(parts: Sequence[str]) -> str:
    """Return a short name for these texts, in this order."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def entry(kind: str, parts: Sequence[str], build: Callable[[Path], None]) -> Path:
    """Return the directory `kind-HASH`, filled by `build` unless it is there already.

    It appears whole or not at all. Entries of the kind that nobody has used for two weeks go.
    """
    place = PLACE / f"{kind}-{digest(parts)}"
    with locked(kind):
        for broken_off in PLACE.glob(f"making-{kind}-*"):
            shutil.rmtree(broken_off)
        if not place.is_dir():
            with tempfile.TemporaryDirectory(prefix=f"making-{kind}-", dir=PLACE) as name:
                made = Path(name) / "entry"
                made.mkdir()
                build(made)
                made.rename(place)
        os.utime(place)
        _forget_unused(kind)
    return place


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Let one process at a time into the body."""
    PLACE.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(PLACE / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _forget_unused(kind: str) -> None:
    oldest = time.time() - _UNUSED_DAYS * _DAY_S
    for place in PLACE.glob(f"{kind}-*"):
        if place.stat().st_mtime < oldest:
            shutil.rmtree(place)
