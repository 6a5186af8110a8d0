"""Lets packages be installed for their programs alone: what they bring as a service stays off."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.bootstrap.commands import run, uninterrupted

# dpkg's scripts ask this program before they start a service; 101 says no.
POLICY = Path("/usr/sbin/policy-rc.d")
_NO = "#!/bin/sh\n# Written by the set-up of Holdfast's tests; gone when it ends.\nexit 101\n"
_UNITS = Path("lib/systemd/system")


@contextmanager
def nothing_starts(policy: Path = POLICY) -> Iterator[None]:
    """Have no package start a service in the body. A policy that the machine has is left alone."""
    ours = _write(policy)
    try:
        yield
    finally:
        if ours:
            with uninterrupted():
                policy.unlink()


def _write(policy: Path) -> bool:
    try:
        descriptor = os.open(policy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w") as file:
        file.write(_NO)
    return True


def not_at_boot(packages: Sequence[str], root: Path = Path("/")) -> None:
    """Disable the services that have a package's name, for who has just installed it."""
    if shutil.which("systemctl") is None:
        return
    for name in packages:
        if (root / _UNITS / f"{name}.service").exists():
            run(["systemctl", f"--root={root}", "disable", f"{name}.service"])
