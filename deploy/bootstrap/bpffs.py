"""The BPF file system: mounted where it is not, and unmounted only by who mounted it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.bootstrap.commands import run, uninterrupted
from deploy.bootstrap.errors import UnsupportedError

MOUNT_POINT = Path("/sys/fs/bpf")
# The kernel itself may put these into every mount (CONFIG_BPF_PRELOAD).
_OF_THE_KERNEL = {"maps.debug", "progs.debug"}


def is_mounted(mounts: str, point: Path = MOUNT_POINT) -> bool:
    """Say whether a bpf file system is at `point`, from the text of /proc/self/mounts."""
    fields = (line.split() for line in mounts.splitlines())
    return any(len(part) > 2 and part[1] == str(point) and part[2] == "bpf" for part in fields)


def mount() -> bool:
    """Mount the BPF file system if it is not mounted; say whether this call did it."""
    if is_mounted(Path("/proc/self/mounts").read_text(encoding="utf-8")):
        return False
    if not MOUNT_POINT.is_dir():
        raise UnsupportedError(f"{MOUNT_POINT} is not there; the kernel needs CONFIG_BPF_SYSCALL=y")
    run(["mount", "-t", "bpf", "-o", "nosuid,nodev,noexec,mode=700", "bpf", str(MOUNT_POINT)])
    return True


def unmount() -> None:
    """Undo mount(), unless someone else has put something there since."""
    if set(os.listdir(MOUNT_POINT)) <= _OF_THE_KERNEL:
        run(["umount", str(MOUNT_POINT)])


@contextmanager
def mounted() -> Iterator[None]:
    """Have the BPF file system mounted in the body, and left as it was found."""
    ours = mount()
    try:
        yield
    finally:
        if ours:
            with uninterrupted():
                unmount()
