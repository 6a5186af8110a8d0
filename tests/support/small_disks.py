"""Small disks that a test fills up: file systems in memory with a bound, mounted for the test."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PIECE = b"\0" * (64 << 10)


class SmallDisk:
    """A file system of its own at `place`."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._ballast = place / "ballast"

    def fill(self) -> None:
        """Take up all the room that is left."""
        descriptor = os.open(self._ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            for size in (len(_PIECE), 1):
                while _written(descriptor, _PIECE[:size]):
                    pass
        finally:
            os.close(descriptor)

    def free(self) -> None:
        """Give the room back."""
        self._ballast.unlink()


@contextmanager
def small_disk(place: Path, *, mib: int) -> Iterator[SmallDisk]:
    """Mount a new file system of `mib` MiB at an empty directory; unmounted at the end."""
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=0700", "holdfast-test-disk", str(place)],
        check=True,
    )
    try:
        yield SmallDisk(place)
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def _written(descriptor: int, data: bytes) -> bool:
    try:
        return os.write(descriptor, data) > 0
    except OSError:
        return False
