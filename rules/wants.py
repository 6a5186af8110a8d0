"""The bits that the kernel's tables hold: what the rules want of an act."""

from collections.abc import Iterable
from enum import IntFlag
from functools import reduce
from operator import or_

from rules.model import Action, Mode, OpenMatch, Rule, writes
from wire.acts import KINDS_OF_CHANGE, KINDS_WITHOUT_FILE, Kind
from wire.messages import OnDeny, OnNoAgent


class Want(IntFlag):
    """What the rules want of an act. exec and connect use the READ bits only.

    An open for neither reading nor writing (O_PATH) counts as one for reading. What lies in
    Table.CHANGE and in the slot OTHER has `observe_bit` and `stop_bit` of a kind instead of the
    first four. The last three go with a stop, in every table. All are such that more of them,
    from a rule that does not apply, is never less strict: an act for which no rule says
    NO_AGENT_DENY or NO_AGENT_HOLD is one that all rules let pass while there is no agent.
    """

    OBSERVE_READ = 1
    OBSERVE_WRITE = 2
    STOP_READ = 4
    STOP_WRITE = 8
    REFUSE = 1 << 28  # a rule may want the call refused instead of the process killed
    NO_AGENT_DENY = 1 << 29
    NO_AGENT_HOLD = 1 << 30


NOTHING = Want(0)
# What goes with a stop in every table.
WITH_STOP = Want.REFUSE | Want.NO_AGENT_DENY | Want.NO_AGENT_HOLD
# Of hf_anything: what is wanted of the kinds that have no file to look up.
OTHER = 7


def observe_bit(kind: Kind) -> Want:
    """Return the bit of an observation in Table.CHANGE, or in OTHER, by the kind."""
    return Want(1 << 2 * _place(kind))


def stop_bit(kind: Kind) -> Want:
    """Return the bit of a stop in Table.CHANGE, or in OTHER, by the kind."""
    return Want(2 << 2 * _place(kind))


def _place(kind: Kind) -> int:
    if kind in KINDS_OF_CHANGE:
        return KINDS_OF_CHANGE.index(kind)
    return KINDS_WITHOUT_FILE.index(kind)


def union(wants: Iterable[Want]) -> Want:
    """Return all bits that any has."""
    return reduce(or_, wants, NOTHING)


def want_of(rule: Rule) -> Want:
    """Return the bits of a rule; for an open, of the modes that it is about."""
    observe = rule.action is Action.OBSERVE
    read = Want.OBSERVE_READ if observe else Want.STOP_READ
    if not isinstance(rule.match, OpenMatch):
        return read | _with_stop(rule)
    write = Want.OBSERVE_WRITE if observe else Want.STOP_WRITE
    modes = rule.match.mode or frozenset(Mode)
    wanted = (read if Mode.READ in modes else NOTHING) | (write if writes(rule.match) else NOTHING)
    return wanted | _with_stop(rule)


def want_of_kind(kind: Kind, rule: Rule) -> Want:
    """Return the bits of a rule in Table.CHANGE or OTHER, for a kind that it is about."""
    observe = rule.action is Action.OBSERVE
    return (observe_bit(kind) if observe else stop_bit(kind)) | _with_stop(rule)


def _with_stop(rule: Rule) -> Want:
    if rule.action is Action.OBSERVE:
        return NOTHING
    refuse = Want.REFUSE if rule.on_deny is OnDeny.REFUSE else NOTHING
    if rule.on_no_agent is OnNoAgent.ALLOW:
        return refuse
    deny = rule.on_no_agent is OnNoAgent.DENY
    return refuse | (Want.NO_AGENT_DENY if deny else Want.NO_AGENT_HOLD)
