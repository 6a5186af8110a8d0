"""Who, beside root, may write a path or put another in its place. Reads only."""

import grp
import os
import pwd
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def loose(paths: Iterable[Path]) -> tuple[tuple[str, str], ...]:
    """Return the paths, and directories above them, that others may write, each with who may."""
    found: dict[str, str] = {}
    for path in paths:
        # As it is written and where links lead: whoever may change either decides.
        for one in {path.absolute(), path.resolve()}:
            for part in (one, *one.parents):
                who = _others(part, is_parent=part != one)
                if who:
                    found.setdefault(str(part), who)
    return tuple(sorted(found.items()))


def _others(path: Path, *, is_parent: bool) -> str:
    try:
        seen = path.lstat()
    except OSError:
        return ""
    if stat.S_ISLNK(seen.st_mode):
        return "" if seen.st_uid == 0 else f"its owner {_user(seen.st_uid)}"
    if seen.st_uid not in {0, os.geteuid()}:
        return f"its owner {_user(seen.st_uid)}"
    if is_parent and seen.st_mode & stat.S_ISVTX:
        return ""  # as in /tmp: what lies in it belongs to whom it belongs to
    if seen.st_mode & stat.S_IWOTH:
        return "everybody"
    if seen.st_mode & stat.S_IWGRP and seen.st_gid != 0:
        return f"group {_group(seen.st_gid)}"
    return ""


def _user(uid: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def _group(gid: int) -> str:
    with suppress(KeyError):
        return grp.getgrgid(gid).gr_name
    return str(gid)
