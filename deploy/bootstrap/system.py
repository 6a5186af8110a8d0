"""Says whether this machine can run Holdfast, in one line when it cannot."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path

from deploy.bootstrap.errors import MissingError, UnsupportedError

KERNEL_TYPES = Path("/sys/kernel/btf/vmlinux")
_OLDEST_DEBIAN = 12
_OLDEST_KERNEL = (5, 10)


def os_release(path: Path = Path("/etc/os-release")) -> dict[str, str]:
    """Return the fields of os-release; empty if the file is not there."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    fields = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, value in fields}


def check_system(release: Mapping[str, str], kernel: str, types: Path, command: str) -> str:
    """Return a remark for the user, usually empty; raise UnsupportedError with the reason."""
    name = release.get("PRETTY_NAME") or release.get("ID") or "an unknown system"
    family = {release.get("ID", ""), *release.get("ID_LIKE", "").split()}
    if "debian" not in family:
        raise UnsupportedError(
            f"{command}: this is {name}; it needs Debian {_OLDEST_DEBIAN} or later "
            "(see docs/install.md for other systems)"
        )
    if release.get("ID") == "debian":
        version = release.get("VERSION_ID", "")
        if version.isdigit() and int(version) < _OLDEST_DEBIAN:
            raise UnsupportedError(
                f"{command}: this is {name}; it needs Debian {_OLDEST_DEBIAN} or later"
            )
    numbers = tuple(int(part) for part in kernel.split("-")[0].split(".")[:2] if part.isdigit())
    if numbers < _OLDEST_KERNEL:
        oldest = ".".join(map(str, _OLDEST_KERNEL))
        raise UnsupportedError(f"{command}: kernel {kernel} is too old; it needs {oldest} or later")
    if not types.exists():
        raise UnsupportedError(
            f"{command}: kernel {kernel} has no {types}; it needs one built with "
            "CONFIG_DEBUG_INFO_BTF=y, as Debian's are (is this a container or an own kernel?)"
        )
    if release.get("ID") != "debian":
        return f"{name} is of Debian's family but not tested; going on"
    return ""


def check_this_system(command: str) -> str:
    """Check the machine that this runs on; see check_system."""
    return check_system(os_release(), platform.release(), KERNEL_TYPES, command)


def check_root(command: str) -> None:
    """Raise MissingError unless this is root."""
    if os.geteuid() != 0:
        raise MissingError(f"{command}: the kernel lets only root do this; run: sudo {command}")
