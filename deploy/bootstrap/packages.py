"""Installs the distribution's packages that are missing, and only those."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from deploy.bootstrap import quiet
from deploy.bootstrap.commands import run
from deploy.bootstrap.errors import CommandError, MissingError
from deploy.bootstrap.progress import Progress, Step

# What Holdfast's kernel side and its own environment need; bcc compiles, bpftool gives types.
FOR_KERNEL = ("python3-bpfcc", "libbpf1", "bpftool")
FOR_ENVIRONMENT = ("python3-venv",)
# What the tests of the kernel side use beyond that.
FOR_TESTS = ("sudo",)
# What reads the pages, and what installs the packages of npm that look at them.
FOR_WEB = ("chromium", "npm")
# The audit daemon, and its parser for the system's Python, which mode audit reads it by.
FOR_AUDIT = ("auditd", "python3-audit")
# What receives what the collector exports; run by the tests, never as a service.
FOR_SYSLOG = ("rsyslog", "rsyslog-openssl")
# What the bench compares with.
FOR_BENCH = ("auditd", "bpftrace", "postgresql")
# What makes a test's own programs in C.
FOR_COMPILING = ("gcc", "libc6-dev")
# What makes the images of VMs and boots them.
FOR_VM = ("qemu-system-x86", "mmdebstrap", "e2fsprogs", "kmod", "cpio", "busybox-static")
# What shows the pages to the tests, and what runs the tools from npm that judge them.
_FOR_WEB = ("chromium",)
_NODE = ("nodejs", "npm")

_APT = ("apt-get", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300")
_LISTS = Path("/var/lib/apt/lists")


def for_web() -> tuple[str, ...]:
    """Return what the tests of pages need."""
    return (*_FOR_WEB, *for_node())


def for_node() -> tuple[str, ...]:
    """Return what the tools from npm need; Debian's node only where there is none yet."""
    there = all(shutil.which(name) is not None for name in ("node", "npm"))
    return () if there else _NODE


def for_transparency() -> tuple[str, ...]:
    """Return what the tests of transparency run: programs of every day, and the suite of Python."""
    libraries = Path("/usr/lib").glob("python3.*/os.py")
    suites = sorted(f"lib{path.parent.name}-testsuite" for path in libraries)
    return (*FOR_COMPILING, "make", "git", "strace", *for_node(), *suites)


def missing(packages: Sequence[str]) -> list[str]:
    """Return those of `packages` that dpkg does not report as installed."""
    found = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *packages],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    installed = {line.split()[0] for line in found.splitlines() if line.endswith(" installed")}
    return [name for name in packages if name not in installed]


def ensure(
    packages: Sequence[str], progress: Progress, command: str, *, services: bool = True
) -> None:
    """Install what is missing of `packages`; raise MissingError or CommandError with the remedy.

    Without `services`, nothing that they bring is started, now or at the next boot.
    """
    names = missing(packages)
    if not names:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise MissingError(
            f"{command}: missing packages; install them with: sudo apt-get install "
            + " ".join(names)
        )
    with progress.step(f"install {' '.join(names)}") as step:
        if services:
            _install(names, step)
            return
        with quiet.nothing_starts():
            _install(names, step)
        quiet.not_at_boot(names)


def _install(names: Sequence[str], step: Step) -> None:
    if not any(_LISTS.glob("*_Packages*")):
        run([*_APT, "update"], step=step)
    try:
        _download(names, step)
    except CommandError:
        # The lists may be older than the archive.
        run([*_APT, "update"], step=step)
        _download(names, step)
    # The download may be cut off; dpkg may not, or the next apt-get finds half a package.
    run(
        [*_APT, "install", "--no-download", *names],
        step=step,
        environment={"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l"},
        whole=True,
    )


def _download(names: Sequence[str], step: Step) -> None:
    run([*_APT, "install", "--download-only", *names], step=step)
