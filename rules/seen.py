"""One act as the conditions of rules ask about it: by which names it is known, and how surely."""

import posixpath
from collections.abc import Sequence
from functools import cached_property

from rules.addresses import parse_address
from rules.model import Mode
from wire.acts import Act, Kind, Transport

_OF_SOCKETS = frozenset({Kind.CONNECT, Kind.SEND, Kind.LISTEN})
_BOTH_NAMED = frozenset({Kind.RENAME, Kind.LINK})
_MOVED = frozenset({"bind", "move"})


class Seen:
    """One act, with what the conditions ask for worked out once, and only if they ask."""

    def __init__(self, act: Act, aliases: Sequence[str] = ()) -> None:
        self.act = act
        self.aliases = tuple(aliases)
        self.is_unix = act.transport is Transport.UNIX or (act.transport is None and bool(act.path))

    @cached_property
    def primary(self) -> str:
        """The name that the kernel gave: of the program, the file or the socket."""
        return self.act.executable if self.act.kind is Kind.EXEC else self.act.path

    @cached_property
    def called(self) -> str:
        """The name that the caller gave, where that is not resolved."""
        if self.act.kind is Kind.EXEC:
            return self.act.filename
        unresolved = self.act.kind in _OF_SOCKETS and not self.act.path_resolved
        return self.act.path if unresolved else ""

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every path by which the act may be known."""
        if self.is_unix and self.called.startswith("@"):
            return (self.primary, *self.aliases)
        spelled = spellings(self.called, self.act.cwd)
        return (self.primary, *self.aliases, *spelled, *self.second_names)

    @cached_property
    def second_names(self) -> tuple[str, ...]:
        """By what the second path of the act may be known, where that names a file."""
        second = self.act.second_path
        if not second:
            return ()
        if self.act.kind in _BOTH_NAMED:
            return (second,)
        if not self.mounts_file:
            return ()
        cwd = self.act.cwd
        below = second if second.startswith("/") else f"{cwd}/{second}"
        return (second, _normal(below)) if below.startswith("/") else (second,)

    @cached_property
    def mounts_file(self) -> bool:
        """Whether a file or directory is mounted, by the name that the caller has for it."""
        act = self.act
        bound = act.operation.partition(" ")[0] in _MOVED or "/" in act.second_path
        return act.kind is Kind.MOUNT and bool(act.second_path) and bound

    @cached_property
    def loose_ends(self) -> tuple[str, ...]:
        """The last components of names that are relative to nobody knows what."""
        if self.act.cwd.startswith("/"):
            return ()
        rooted = ("/", "@") if self.is_unix else "/"
        names = (self.called, self.act.second_path if self.mounts_file else "")
        return tuple(
            name.rpartition("/")[2] for name in names if name and not name.startswith(rooted)
        )

    @cached_property
    def sure_names(self) -> tuple[str, ...]:
        """The first names, of which one must match for certainty: resolved, or written cleanly."""
        if self.act.kind is Kind.EXEC:
            clean = self.called.startswith("/") and posixpath.normpath(self.called) == self.called
            return (self.primary, self.called) if clean else (self.primary,)
        return (self.primary,)

    @cached_property
    def vague(self) -> bool:
        """Whether the path that the kernel gave may stand for another."""
        return self.cut or not self.act.path_resolved or self.mounts_file

    @cached_property
    def cut(self) -> bool:
        """Whether part of a name is missing."""
        return self.act.path_cut or self.act.second_path_cut

    @cached_property
    def operation(self) -> str:
        """What exactly the act does, as its kind says it; empty if that is not known."""
        return "to 0 bytes" if self.act.kind is Kind.OPEN else self.act.operation

    @cached_property
    def command(self) -> str:
        return " ".join(self.act.argv)

    @cached_property
    def address(self) -> tuple[int, int] | None:
        return parse_address(self.act.address)

    @cached_property
    def modes(self) -> frozenset[Mode]:
        if self.act.kind in (Kind.CREATE, Kind.TRUNCATE):
            return frozenset({Mode.WRITE})
        flags = set(self.act.flags)
        # Who opens to read only may say append as well, and still cannot.
        writes = flags - {"read", "append"} or flags == {"append"}
        read = {Mode.READ} if "read" in flags else set()
        return frozenset(read | ({Mode.WRITE} if writes else set()))


def spellings(name: str, cwd: str) -> tuple[str, ...]:
    """Return a name as its caller wrote it and, where that differs, as it reads from `cwd`."""
    if not name:
        return ()
    # Such a name is a directory's, and what it reads as ends in another component.
    if name.rpartition("/")[2] in ("", ".", ".."):
        return (name,)
    if not name.startswith("/"):
        if not cwd.startswith("/"):
            return (name,)
        return (name, _normal(f"{cwd}/{name}"))
    normal = _normal(name)
    return (name,) if normal == name else (name, normal)


def _normal(path: str) -> str:
    return "/" + posixpath.normpath(path).lstrip("/")
