"""How surely an act meets a condition. What was cut or not resolved can never be sure.

A rule that asks, denies or observes takes what could be; a rule that allows takes only what is
sure. An exception (`not`) turns the scale over, so the same reading fails closed in both.
"""

import posixpath
from collections.abc import Iterator, Sequence
from enum import IntEnum
from functools import cached_property

from rules.addresses import Networks, Ports, parse_address
from rules.globs import PathGlobs, TextGlobs
from rules.model import ConnectMatch, ExecMatch, Match, Mode, OpenMatch
from wire.acts import Act, Kind, Transport


class Truth(IntEnum):
    """Ordered, so that AND is the least and NOT counts from the other end."""

    NO = 0
    COULD = 1
    SURE = 2


def negation(truth: Truth) -> Truth:
    """Return how surely a condition does not hold."""
    return Truth(2 - truth)


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
        unresolved = self.act.kind is not Kind.OPEN and not self.act.path_resolved
        return self.act.path if unresolved else ""

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every path by which the act may be known."""
        if self.is_unix and self.called.startswith("@"):
            return (self.primary, *self.aliases)
        return (self.primary, *self.aliases, *spellings(self.called, self.act.cwd))

    @cached_property
    def where_unknown(self) -> bool:
        """Whether the caller gave a relative name and nobody knows relative to what."""
        rooted = ("/", "@") if self.is_unix else "/"
        relative = bool(self.called) and not self.called.startswith(rooted)
        return relative and not self.act.cwd.startswith("/")

    @cached_property
    def sure_names(self) -> tuple[str, ...]:
        """The names of which one must match for certainty: resolved, or absolute and clean."""
        if self.act.kind is Kind.EXEC:
            clean = self.called.startswith("/") and posixpath.normpath(self.called) == self.called
            return (self.primary, self.called) if clean else (self.primary,)
        return (self.primary,)

    @cached_property
    def vague(self) -> bool:
        """Whether the path that the kernel gave may stand for another."""
        return self.act.path_cut or not self.act.path_resolved

    @cached_property
    def command(self) -> str:
        return " ".join(self.act.argv)

    @cached_property
    def address(self) -> tuple[int, int] | None:
        return parse_address(self.act.address)

    @cached_property
    def modes(self) -> frozenset[Mode]:
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


Condition = tuple[str, Truth]


def conditions(match: Match, seen: Seen) -> Iterator[Condition]:
    """Yield each condition's name and how surely the act meets it, exceptions turned over."""
    yield from _plain(match, seen)
    if match.negated is not None:
        for name, truth in _plain(match.negated, seen):
            yield f"not.{name}", negation(truth)


def truth_of(match: Match, seen: Seen) -> Truth:
    """Return how surely the act meets all conditions."""
    least = Truth.SURE
    for _, truth in conditions(match, seen):
        if truth is Truth.NO:
            return truth
        least = min(least, truth)
    return least


def _plain(match: Match, seen: Seen) -> Iterator[Condition]:
    if isinstance(match, OpenMatch):
        if match.mode is not None:
            yield "mode", Truth.SURE if match.mode & seen.modes else Truth.NO
        if match.path is not None:
            yield "path", _path(match.path, seen)
    elif isinstance(match, ExecMatch):
        yield from _exec(match, seen)
    else:
        yield from _connect(match, seen)


def _exec(match: ExecMatch, seen: Seen) -> Iterator[Condition]:
    if match.path is not None:
        yield "path", _path(match.path, seen)
    if match.arg is not None:
        yield "arg", _arg(match.arg, seen)
    if match.argv is not None:
        yield "argv", _argv(match.argv, seen)
    if match.cwd is not None:
        yield "cwd", _cwd(match.cwd, seen)


def _connect(match: ConnectMatch, seen: Seen) -> Iterator[Condition]:
    if match.transport is not None:
        known = seen.act.transport
        held = Truth.COULD if known is None else Truth.SURE
        yield "transport", held if known is None or known in match.transport else Truth.NO
    if match.port is not None:
        yield "port", _port(match.port, seen)
    if match.address is not None:
        yield "address", _address(match.address, seen)
    if match.path is not None:
        # Of a call whose descriptor was gone when it returned, nobody knows what it reached.
        unknown = seen.act.transport is None and seen.act.addresses_cut
        unnamed = not seen.is_unix or not (seen.primary or seen.act.addresses_cut)
        yield "path", Truth.NO if unnamed and not unknown else _path(match.path, seen)


def _path(globs: PathGlobs, seen: Seen) -> Truth:
    if seen.act.path_cut or seen.act.addresses_cut:
        return Truth.COULD
    if not any(globs.matches(name) for name in seen.names):
        # Relative to an unknown directory, the last component is all there is to go by.
        tail = seen.called.rpartition("/")[2]
        return Truth.COULD if seen.where_unknown and globs.tail_matches(tail) else Truth.NO
    if seen.vague:
        return Truth.COULD
    sure = any(globs.matches(name) for name in seen.sure_names) and all(
        globs.matches(name) for name in seen.aliases
    )
    return Truth.SURE if sure else Truth.COULD


def _argv(globs: TextGlobs, seen: Seen) -> Truth:
    if seen.act.argv_cut:
        return Truth.COULD if globs.could_begin(seen.command) else Truth.NO
    return Truth.SURE if globs.matches(seen.command) else Truth.NO


def _arg(globs: TextGlobs, seen: Seen) -> Truth:
    if seen.act.argv_cut:
        return Truth.COULD
    # The first is what the caller calls the program, not something it tells it.
    return Truth.SURE if any(globs.matches(a) for a in seen.act.argv[1:]) else Truth.NO


def _cwd(globs: PathGlobs, seen: Seen) -> Truth:
    if not seen.act.cwd.startswith("/"):
        return Truth.COULD
    return Truth.SURE if globs.matches(seen.act.cwd) else Truth.NO


def _address(networks: Networks, seen: Seen) -> Truth:
    if seen.is_unix:
        return Truth.NO
    if seen.act.addresses_cut:
        return Truth.COULD
    if seen.address is None:
        # No address at all is AF_UNSPEC, which ends a connection; one that cannot be read is odd.
        return Truth.COULD if seen.act.address else Truth.NO
    return Truth.SURE if networks.hold(seen.address) else Truth.NO


def _port(ports: Ports, seen: Seen) -> Truth:
    if seen.is_unix:
        return Truth.NO
    if seen.act.addresses_cut:
        return Truth.COULD
    return Truth.SURE if ports.hold(seen.act.port) else Truth.NO
