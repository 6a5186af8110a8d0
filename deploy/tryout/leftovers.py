"""Undoes what a run that was killed could not undo itself. Safe to call at any time, repeatedly."""

import os
import shutil
import signal
import stat

from deploy.bootstrap import bpffs
from deploy.tryout import processes, record, user
from deploy.tryout.places import KEPT_LOGS, KEPT_LOGS_PREFIX, PINS, PINS_IN_MAKING, ROOM


def clean() -> list[str]:
    """Remove whatever an earlier run has left; return what that was, in words.

    The caller holds the lock of the room, so no run that is alive is touched.
    """
    found: list[str] = []
    left = record.load()
    if left is not None and left.boot == record.boot_id():
        found += _end_processes(left)
    if user.remove():
        found.append("the user of the demonstration and its processes")
    if unpin():
        found.append(f"BPF programs and maps under {PINS}")
    if remove_cells():
        found.append("the cgroups of what it held")
    if left is not None and left.mounted and left.boot == record.boot_id():
        bpffs.unmount()
        found.append("the BPF file system that it had mounted")
    if any(ROOM.iterdir()):
        for path in ROOM.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        found.append(f"its files in {ROOM}")
    return found


def remove_logs() -> list[str]:
    """Remove the logs that failed runs have kept; return them in words.

    Anybody may make a directory of that name there, so only root's own count.
    """
    found = []
    for path in sorted(KEPT_LOGS.glob(f"{KEPT_LOGS_PREFIX}*")):
        entry = path.lstat()
        if entry.st_uid == 0 and stat.S_ISDIR(entry.st_mode):
            shutil.rmtree(path)
            found.append(f"the logs in {path}")
    return found


def unpin() -> bool:
    """Take every pin of ours away; the kernel then lets go of what nobody else holds."""
    there = [place for place in (PINS, *PINS_IN_MAKING) if place.exists()]
    for place in there:
        shutil.rmtree(place)
    return bool(there)


def remove_cells() -> bool:
    """Take away the cgroups that held processes were frozen in, which are empty by now."""
    gone = False
    for mount in processes.cgroup_mounts():
        for directory, names, _ in os.walk(mount, topdown=False):
            for name in names:
                if name.startswith(f"{PINS.name}-held-"):
                    os.rmdir(os.path.join(directory, name))
                    gone = True
    return gone


def _end_processes(left: record.Record) -> list[str]:
    """End the processes of the record, last started first: the agent before what it speaks to.

    The agent takes its BPF programs along when it is asked to end, so it is asked first.
    """
    ended = []
    for name, pid, start in reversed(left.processes):
        seen = processes.look(pid)
        if seen is None or seen.start != start:
            continue
        ended.append(f"{name} (pid {pid})")
        asked = name != "worker" and processes.end(pid, signal.SIGTERM, start)
        if not asked:
            processes.end(pid, signal.SIGKILL, start)
    return ended
