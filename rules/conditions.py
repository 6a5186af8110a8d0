"""How surely an act meets a condition. What was cut or not resolved can never be sure.

A rule that asks, denies or observes takes what could be; a rule that allows takes only what is
sure. An exception (`not`) turns the scale over, so the same reading fails closed in both.
"""

from collections.abc import Iterator
from enum import IntEnum

from rules.addresses import Networks, Ports
from rules.globs import PathGlobs, TextGlobs
from rules.model import (
    ChangeMatch,
    ConnectMatch,
    ExecMatch,
    ListenMatch,
    Match,
    OpenMatch,
    PowerMatch,
)
from rules.seen import Seen
from wire.acts import Kind


class Truth(IntEnum):
    """Ordered, so that AND is the least and NOT counts from the other end."""

    NO = 0
    COULD = 1
    SURE = 2


def negation(truth: Truth) -> Truth:
    """Return how surely a condition does not hold."""
    return Truth(2 - truth)


Condition = tuple[str, Truth]


def conditions(match: Match, seen: Seen) -> Iterator[Condition]:
    """Yield each condition's name and how surely the act meets it, exceptions turned over."""
    yield from _about(match, seen)
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


def _about(match: Match, seen: Seen) -> Iterator[Condition]:
    """Yield what the kind of a rule asks of an act that goes by the name of another kind."""
    act = seen.act
    if isinstance(match, OpenMatch) and act.kind is Kind.CREATE:
        # An open makes files, and neither directories nor devices.
        known = Truth.SURE if act.operation else Truth.COULD
        yield "create", known if act.operation in ("", "file") else Truth.NO
    elif isinstance(match, ChangeMatch) and act.kind is Kind.OPEN:
        empties = "truncate" in act.flags and "created" not in act.flags
        yield "truncate", Truth.SURE if empties else Truth.NO


def _plain(match: Match, seen: Seen) -> Iterator[Condition]:
    if isinstance(match, OpenMatch):
        if match.mode is not None:
            yield "mode", Truth.SURE if match.mode & seen.modes else Truth.NO
        if match.path is not None:
            yield "path", _path(match.path, seen)
    elif isinstance(match, ExecMatch):
        yield from _exec(match, seen)
    elif isinstance(match, ConnectMatch | ListenMatch):
        yield from _socket(match, seen)
    else:
        yield from _changed(match, seen)


def _exec(match: ExecMatch, seen: Seen) -> Iterator[Condition]:
    if match.path is not None:
        yield "path", _path(match.path, seen)
    if match.arg is not None:
        yield "arg", _arg(match.arg, seen)
    if match.argv is not None:
        yield "argv", _argv(match.argv, seen)
    if match.cwd is not None:
        yield "cwd", _cwd(match.cwd, seen)


def _changed(match: ChangeMatch | PowerMatch, seen: Seen) -> Iterator[Condition]:
    if match.operation is not None:
        yield "operation", _operation(match.operation, seen)
    if match.path is not None:
        yield "path", _path(match.path, seen)


def _socket(match: ConnectMatch | ListenMatch, seen: Seen) -> Iterator[Condition]:
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
    if seen.cut or seen.act.addresses_cut:
        return Truth.COULD
    if not any(globs.matches(name) for name in seen.names):
        # Relative to an unknown directory, the last component is all there is to go by.
        loose = any(globs.tail_matches(tail) for tail in seen.loose_ends)
        return Truth.COULD if loose else Truth.NO
    if seen.vague:
        return Truth.COULD
    sure = any(globs.matches(name) for name in seen.sure_names) and all(
        globs.matches(name) for name in (*seen.aliases, *seen.second_names)
    )
    return Truth.SURE if sure else Truth.COULD


def _operation(globs: TextGlobs, seen: Seen) -> Truth:
    if not seen.operation:
        return Truth.COULD
    return Truth.SURE if globs.matches(seen.operation) else Truth.NO


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
