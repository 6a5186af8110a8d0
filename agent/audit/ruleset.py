"""The audit rules for what is watched: subjects by user, login user and group, files by directory.

Pure, but for a look at which directories are there. Each rule is a line as `auditctl -l` shows it,
so that what is in the kernel can be compared with what is wanted. audit compares little, so they
let through more than the rules are about, and never less of what audit can see.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.sensor.interface import Subject
from rules.superset import KernelTables, Table, Want
from wire.acts import Kind

# Calls by number, as auditctl lists them, of 64-bit programs and of 32-bit ones beside them.
_OPEN = {"b64": "open,creat,openat,openat2", "b32": "open,creat,openat,openat2"}
_OPEN_GENERIC = "openat,openat2"
_EXEC = "execve,execveat"
_REACH = {"b64": "connect,sendto,sendmsg,sendmmsg", "b32": "sendmmsg,connect,sendto,sendmsg"}
# On machines where both run; there socketcall(2) reaches out too.
_BOTH = {"x86_64"}
_SOCKETCALLS = (3, 11, 16, 20)
# Each rule on a directory is compared at every call of every process of the host.
_MOST_DIRECTORIES = 12
# auditctl would read anything else as something else, or show it in another way.
_PLAIN = re.compile(r"[\w./+@,:=-]+", re.ASCII)
_ALL = "/"


@dataclass(frozen=True, slots=True)
class Files:
    """Which files opens are reported of: below directories, and single ones; None: of all."""

    directories: tuple[str, ...]
    files: tuple[str, ...]


def audit_rules(
    subjects: Sequence[Subject], tables: KernelTables, *, key: str, machine: str
) -> list[str]:
    """Return the rules, in no order that matters, without duplicates."""
    who = [
        f"-F {name}={number}"
        for subject in subjects
        for names, numbers in (
            (("uid", "euid", "auid"), subject.uids),
            (("gid", "egid"), subject.gids),
        )
        for number in numbers
        for name in names
    ]
    what = _what(tables, machine)
    end = f"-F key={key}"
    return list(
        dict.fromkeys(
            f"-a always,exit -F arch={arch} -S {calls} {' '.join((*one, rest))} {end}".replace(
                "  ", " "
            )
            for arch, calls, before, rest in what
            for one in ((before, name) if before else (name,) for name in who)
        )
    )


def _what(tables: KernelTables, machine: str) -> list[tuple[str, str, str, str]]:
    """Return (arch, calls, condition before who, condition behind) of each sort of rule."""
    found = []
    for arch in ("b64", "b32") if machine in _BOTH else ("b64",):
        if Kind.EXEC in tables.kinds:
            found.append((arch, _EXEC, "", "-F success=1"))
        if Kind.OPEN in tables.kinds:
            calls = _OPEN[arch] if machine in _BOTH else _OPEN_GENERIC
            files = files_of(tables)
            if files is None:
                found.append((arch, calls, "", ""))
            else:
                found += [(arch, calls, "", f"-F dir={one}") for one in files.directories]
                found += [(arch, calls, "", f"-F path={one}") for one in files.files]
        if tables.kinds & {Kind.CONNECT, Kind.SEND}:
            # Not what goes over a connection, as most of it does.
            found.append((arch, _REACH[arch], "", "-F saddr_fam!=0"))
            if arch == "b32":
                found += [(arch, "socketcall", f"-F a0=0x{n:x}", "") for n in _SOCKETCALLS]
    return found


def files_of(
    tables: KernelTables, is_directory: Callable[[str], bool] = lambda path: Path(path).is_dir()
) -> Files | None:
    """Return which files opens are about, None if that cannot be told by paths.

    A directory that is not there yet is watched from the nearest that is.
    """
    everywhere = (
        tables.anything.get(Table.OPEN),
        *(want for (table, _), want in tables.components.items() if table is Table.OPEN),
        *(want for (table, _), want in tables.suffixes.items() if table is Table.OPEN),
    )
    if any(everywhere):
        return None
    directories = {
        _existing(path[: path.rfind("/") + 1], is_directory)
        for (table, path), want in tables.prefixes.items()
        if table is Table.OPEN and want
    }
    files = set()
    for (table, path), want in tables.exact.items():
        if table is not Table.OPEN or not want:
            continue
        # A watch is on the name, and does not follow a link that the name may be.
        for one in {path, _real(path)}:
            above = one.rpartition("/")[0] or _ALL
            if is_directory(above) and _PLAIN.fullmatch(one):
                files.add(one)
            else:
                directories.add(_existing(one, is_directory))
    directories = {
        one for one in directories if not any(_below(one, other) for other in directories - {one})
    }
    if _ALL in directories or len(directories) > _MOST_DIRECTORIES:
        return None
    files = {one for one in files if not any(_below(one, other) for other in directories)}
    return Files(tuple(sorted(directories)), tuple(sorted(files)))


def _real(path: str) -> str:
    return str(Path(path).resolve())


def _existing(path: str, is_directory: Callable[[str], bool]) -> str:
    """Return the nearest directory that is there and can be named in a rule."""
    at = path.rstrip("/") or _ALL
    while at != _ALL and not (is_directory(at) and _PLAIN.fullmatch(at)):
        at = at.rpartition("/")[0] or _ALL
    return _real(at)


def _below(path: str, directory: str) -> bool:
    return path.startswith(directory.rstrip("/") + "/")


__all__ = ["Files", "Want", "audit_rules", "files_of"]
