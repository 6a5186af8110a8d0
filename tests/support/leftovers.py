"""What tests may leave behind on a machine: looked for by name, in the system's own lists."""

import grp
import json
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Set
from pathlib import Path

import psutil

from agent.sensor.labels import cgroup_mount

_NAMES = ("holdfast-test", "holdfast-try")
_GONE_S = 30
_BPFTOOL = "/usr/sbin/bpftool"
# Programs go by what the loader calls them; the kernel cuts names after 15 bytes.
_LOADER = Path(__file__).resolve().parents[2] / "agent" / "kernel" / "loader"
_PROGRAMS = tuple(_LOADER / name for name in ("__main__.py", "hooks.py"))
_TRACKER = "from multiprocessing.resource_tracker import main"


def found() -> set[str]:
    """Return everything of a test's that is on this machine now, each in words."""
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
    return {
        f"{what}: {name}"
        for what, names in (
            ("pin", _names_in(Path("/sys/fs/bpf"))),
            ("program", _programs()),
            ("cgroup", _cgroups()),
            ("user", (one.pw_name for one in pwd.getpwall())),
            ("group", (one.gr_name for one in grp.getgrall())),
            ("mount", (line.split()[1] for line in mounts.splitlines())),
            ("network namespace", _names_in(Path("/run/netns"))),
            ("file", _names_in(Path(tempfile.gettempdir()))),
            ("file", _names_in(Path("/var/tmp"))),  # noqa: S108 - it is looked at, not used
            ("audit rule", _audit_rules()),
        )
        for name in names
        if what == "program" or any(ours in name for ours in _NAMES)
    }


def left_since(before: Set[str], but: Callable[[str], bool] = lambda one: False) -> set[str]:
    """Return what is there and was not, without what `but` excuses; wait for what is on its way.

    The kernel takes programs apart a moment after their last pin, and tells nobody.
    """
    end = time.monotonic() + _GONE_S
    while True:
        left = {one for one in (found() | running()) - before if not but(one)}
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.1)


def running() -> set[str]:
    """Return the descendants of this process by number and command, which stay the same."""
    return {
        f"process {one.pid}: {' '.join(one.cmdline())[:100]}"
        for one in psutil.Process().children(recursive=True)
        # Python keeps the tracker of multiprocessing for as long as this process lives.
        if one.status() != psutil.STATUS_ZOMBIE and _TRACKER not in " ".join(one.cmdline())
    }


def _names_in(directory: Path) -> Iterator[str]:
    if directory.is_dir():
        yield from os.listdir(directory)


def _cgroups() -> Iterator[str]:
    mount = cgroup_mount()
    if mount is not None:
        for _, names, _ in os.walk(mount):
            yield from names


def _programs() -> Iterable[str]:
    """Return the BPF programs in the kernel that are called like ours, with their numbers."""
    if not Path(_BPFTOOL).exists():
        return ()
    said = subprocess.run([_BPFTOOL, "--json", "prog", "list"], capture_output=True, check=True)
    source = "".join(path.read_text(encoding="utf-8") for path in _PROGRAMS)
    return [
        f"{one['name']} {one['id']}"
        for one in json.loads(said.stdout)
        if one.get("name", "").startswith(("on_", "gate_")) and f'"{one["name"]}' in source
    ]


def _audit_rules() -> list[str]:
    auditctl = shutil.which("auditctl", path="/usr/sbin:/sbin")
    if auditctl is None:
        return []
    state = subprocess.run([auditctl, "-s"], capture_output=True, text=True, check=False).stdout
    if "enabled 2" in state:  # until the next boot nobody can take any away
        return []
    said = subprocess.run([auditctl, "-l"], capture_output=True, text=True, check=False)
    return said.stdout.splitlines()
