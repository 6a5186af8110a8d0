"""Watched subjects: names of users, groups and cgroups made into what the kernel compares."""

import grp
import pwd
from collections.abc import Sequence
from pathlib import PurePosixPath

from agent.config import SubjectConfig
from agent.errors import ConfigError
from agent.sensor.interface import Subject

_MOUNT = "/sys/fs/cgroup"


def resolve(subjects: Sequence[SubjectConfig], *, place: str) -> tuple[Subject, ...]:
    """Return the subjects with ids for names; raise ConfigError that names what is unknown."""
    return tuple(
        Subject(
            index=index,
            name=subject.name,
            uids=tuple(_uid(user, f"{place}: subject {subject.name!r}") for user in subject.users),
            gids=tuple(
                _gid(group, f"{place}: subject {subject.name!r}") for group in subject.groups
            ),
            cgroups=tuple(
                _cgroup(path, f"{place}: subject {subject.name!r}") for path in subject.cgroups
            ),
            responsible=subject.responsible,
        )
        for index, subject in enumerate(subjects, start=1)
    )


def _uid(user: str | int, place: str) -> int:
    if isinstance(user, int):
        uid = _in_range(user, f"{place}: users")
    else:
        try:
            uid = pwd.getpwnam(user).pw_uid
        except KeyError as error:
            raise ConfigError(
                f"{place}: users: there is no user {user!r} on this host; create it, correct the "
                "name, or give its number"
            ) from error
    if uid == 0:
        raise ConfigError(
            f"{place}: users: {user!r} is root, and root cannot be watched as a user (the agent "
            "is root too); watch root's AI service by its cgroup"
        )
    return uid


def _gid(group: str | int, place: str) -> int:
    if isinstance(group, int):
        gid = _in_range(group, f"{place}: groups")
    else:
        try:
            gid = grp.getgrnam(group).gr_gid
        except KeyError as error:
            raise ConfigError(
                f"{place}: groups: there is no group {group!r} on this host; create it, correct "
                "the name, or give its number"
            ) from error
    if gid == 0:
        raise ConfigError(
            f"{place}: groups: {group!r} is root's group and cannot be watched; watch root's AI "
            "service by its cgroup"
        )
    return gid


def _in_range(number: int, place: str) -> int:
    # The last one means "no id" to the kernel.
    if not 0 <= number < 0xFFFF_FFFF:
        raise ConfigError(f"{place}: {number} is not an id (0 to 4294967294)")
    return number


def _cgroup(path: str, place: str) -> str:
    name = path.removeprefix(_MOUNT) if path.startswith(f"{_MOUNT}/") else path
    parts = PurePosixPath(name).parts
    if not name.startswith("/") or ".." in parts:
        raise ConfigError(
            f"{place}: cgroups: {path!r} is not a path under the cgroup mount; write it as in "
            "/proc/PID/cgroup, for example /system.slice/ai-worker.service"
        )
    if len(parts) < 2:
        raise ConfigError(
            f"{place}: cgroups: {path!r} is the whole host, the agent included; name the cgroup "
            "of the AI service"
        )
    return str(PurePosixPath(name))
