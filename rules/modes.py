"""Which rules a host can put into effect, by the mode that its kernel side works in. Pure."""

from collections.abc import Collection, Mapping
from enum import StrEnum

from rules.model import Action, Finding, Rule, RuleSet, named_kinds
from wire.acts import KINDS_OF_PROCESSES, Kind
from wire.messages import OnDeny, OnNoAgent


class HostMode(StrEnum):
    """How a host holds acts, best first."""

    GATE = "gate"
    STOP = "stop"
    AUDIT = "audit"


_CALLS = frozenset({Kind.EXEC, Kind.OPEN, Kind.CONNECT, Kind.SEND})
KINDS: Mapping[HostMode, frozenset[Kind]] = {
    HostMode.GATE: frozenset(KINDS_OF_PROCESSES),
    HostMode.STOP: _CALLS,
    HostMode.AUDIT: _CALLS,
}


def in_effect(rules: RuleSet, mode: HostMode) -> RuleSet:
    """Return the rules about acts that the mode can see."""
    return RuleSet(tuple(rule for rule in rules.rules if named_kinds(rule.match) & KINDS[mode]))


def without_effect(
    rules: RuleSet, mode: HostMode, missing: Collection[Kind] = ()
) -> tuple[Finding, ...]:
    """Return a finding for each rule that the mode cannot put into effect, in part or whole.

    `missing` are kinds that this host's kernel has no hook for, whatever its mode. A pack has
    many such rules, so a caller may want to say them in one line: see `powerless`.
    """
    return tuple(
        sorted(
            Finding(rule.origin, rule.id, message)
            for rule in rules.rules
            for message in _without(rule, mode, missing)
        )
    )


def words(rules: RuleSet, mode: HostMode, missing: Collection[Kind] = ()) -> tuple[str, ...]:
    """Return the same for people: rules without any effect in one line, however many they are."""
    named = ", ".join(rule.id for rule in powerless(rules, mode, missing))
    first = (f"{mode} mode cannot put these rules into effect here: {named}",) if named else ()
    none = {rule.id for rule in powerless(rules, mode, missing)}
    rest = (one for one in without_effect(rules, mode, missing) if one.rule not in none)
    return (*first, *(f"{one.place}: {one.rule}: {one.message}" for one in rest))


def powerless(rules: RuleSet, mode: HostMode, missing: Collection[Kind] = ()) -> tuple[Rule, ...]:
    """Return the rules that have no effect at all in the mode."""
    there = KINDS[mode] - frozenset(missing)
    return tuple(rule for rule in rules.rules if not named_kinds(rule.match) & there)


def _without(rule: Rule, mode: HostMode, missing: Collection[Kind]) -> list[str]:
    kinds = named_kinds(rule.match)
    seen = (kinds & KINDS[mode]) - frozenset(missing)
    if not seen:
        why = f"{mode} mode does not see it"
        if kinds & KINDS[mode]:
            why = "this kernel has no hook for it"
        return [f"a rule about {_names(kinds)} has no effect here: {why}"]
    if mode is HostMode.GATE or rule.action not in (Action.ASK, Action.DENY):
        return []
    found = []
    if rule.on_deny is OnDeny.REFUSE:
        found.append(f"on_deny: refuse is a kill here: in {mode} mode a call cannot be refused")
    if rule.on_no_agent is not OnNoAgent.HOLD:
        found.append(
            f"on_no_agent: {rule.on_no_agent} is hold here: {mode} mode does not notice that the "
            "agent is gone"
        )
    return found


def _names(kinds: Collection[Kind]) -> str:
    return " or ".join(sorted(kinds))
