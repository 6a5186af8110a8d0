"""What the rules say about one act: the ruling, independent of the order of rules and files."""

from collections.abc import Sequence
from dataclasses import dataclass

from rules.conditions import Truth, truth_of
from rules.model import Action, Rule, RuleSet, uses_path
from rules.seen import Seen
from wire.acts import Act
from wire.messages import RuleFacts


@dataclass(frozen=True, slots=True)
class Ruling:
    """The action for an act and the rule that decided it; None, None where no rule matches.

    `matched` holds every rule that matches, the deciding one first.
    """

    action: Action | None
    rule: Rule | None
    matched: tuple[Rule, ...]


def decide(rules: RuleSet, act: Act, aliases: Sequence[str] = ()) -> Ruling:
    """Return what the rules say about `act`; deny beats allow beats ask beats observe.

    `aliases` are other paths of the same file (a bind mount, a hard link): any of them may match
    a rule, and a rule that allows must match them all.
    """
    seen = Seen(act, aliases)
    matched = tuple(rule for rule in rules.by_kind[act.kind] if matches(rule, seen))
    if not matched:
        return Ruling(None, None, ())
    return Ruling(matched[0].action, matched[0], matched)


def matches(rule: Rule, seen: Seen) -> bool:
    """Return whether a rule matches, taking doubt as a match unless the rule allows."""
    if rule.subjects and seen.act.subject not in rule.subjects:
        return False
    if rule.action is not Action.ALLOW:
        return truth_of(rule.match, seen) is not Truth.NO
    return not barred_from_allow(rule, seen) and truth_of(rule.match, seen) is Truth.SURE


def barred_from_allow(rule: Rule, seen: Seen) -> bool:
    """Return whether the act's name is in such doubt that no allow may rest on it.

    Not even on its exceptions: a name that is not resolved fails to match them, too.
    """
    return not seen.act.path_resolved and uses_path(rule.match)


def facts(rule: Rule, ruleset: RuleSet) -> RuleFacts:
    """Return what the reviewer and the auditor need of a rule, with the set that it came from."""
    return RuleFacts(
        id=rule.id,
        description=rule.description,
        severity=rule.severity,
        reason_required=rule.reason_required,
        on_timeout=rule.on_timeout,
        kill=rule.kill,
        ruleset=ruleset.digest,
        on_deny=rule.on_deny,
        on_no_agent=rule.on_no_agent,
    )
