"""Why the rules say what they say about one act, in words for the person who writes rules."""

from collections.abc import Iterator, Sequence

from rules.conditions import Truth, conditions
from rules.globs import PathGlobs, TextGlobs
from rules.match import barred_from_allow, decide, matches
from rules.model import Action, Match, Rule, RuleSet
from rules.seen import Seen
from wire.acts import KINDS_OF_CHANGE, KINDS_WITHOUT_FILE, Act, Kind

_POWERS = frozenset(KINDS_WITHOUT_FILE) - {Kind.LISTEN}


def explain(rules: RuleSet, act: Act, aliases: Sequence[str] = ()) -> str:
    """Return the ruling, each rule that matches and, for those of the same kind that do not, why.

    What came from the process is shown escaped.
    """
    ruling = decide(rules, act, aliases)
    seen = Seen(act, aliases)
    lines = [f"act: {describe(act)}"]
    if ruling.rule is None:
        lines.append("ruling: none; no rule matches, so the act runs on unrecorded")
    else:
        lines.append(f"ruling: {ruling.action} by {ruling.rule.id} ({ruling.rule.place})")
    for rule in ruling.matched:
        lines.append(f"  match  {_title(rule)}")
        lines.extend(f"           {line}" for line in _reasons(rule.match, seen))
    for rule in rules.by_kind[act.kind]:
        if not matches(rule, seen):
            lines.append(f"  no     {_title(rule)}: {_why_not(rule, seen)}")
    return "\n".join(lines)


def describe(act: Act) -> str:
    """Return one escaped line that says what the act is."""
    if act.kind is Kind.EXEC:
        what = f"{act.executable!a} called as {act.filename!a}, arguments {list(act.argv)!a}"
        cut = act.argv_cut
    elif act.kind is Kind.OPEN:
        what, cut = (
            f"{act.path!a} for {', '.join(act.flags) or 'neither reading nor writing'}",
            False,
        )
    elif act.kind in KINDS_OF_CHANGE or act.kind in _POWERS:
        what, cut = _change(act), act.second_path_cut
    elif act.path:
        what, cut = f"unix {act.path!a}", act.addresses_cut
    else:
        what, cut = f"{act.transport} {act.address!a} port {act.port}", act.addresses_cut
    marks = [
        words
        for words, set_ in (
            ("cut short", cut or act.path_cut),
            ("path not resolved", not act.path_resolved),
        )
        if set_
    ]
    return f"{act.kind} {what} by {act.subject!a}" + (f" ({', '.join(marks)})" if marks else "")


def _change(act: Act) -> str:
    names = " and ".join(f"{name!a}" for name in (act.path, act.second_path) if name)
    target = f"process {act.target.pid} {act.target.comm!a}" if act.target else ""
    operation = f"({act.operation!a})" if act.operation else ""
    return " ".join(part for part in (names, target, operation) if part) or "of nothing known"


def _title(rule: Rule) -> str:
    return f"{rule.id}: {rule.action}, {rule.severity} ({rule.place})"


def _reasons(match: Match, seen: Seen) -> Iterator[str]:
    for name, truth in conditions(match, seen):
        doubt = "" if truth is Truth.SURE else " (in doubt, so taken as met)"
        yield f"{name}{_pattern(match, name, seen)}{doubt}"


def _pattern(match: Match, name: str, seen: Seen) -> str:
    """Return which pattern met which name, where one condition holds patterns."""
    globs = getattr(match, name, None)
    texts: Sequence[str] = ()
    if isinstance(globs, PathGlobs):
        texts = (seen.act.cwd,) if name == "cwd" else seen.names
    elif isinstance(globs, TextGlobs):
        texts = {"arg": seen.act.argv[1:], "operation": (seen.operation,)}.get(
            name, (seen.command,)
        )
    for text in texts:
        found = globs.which(text) if isinstance(globs, PathGlobs | TextGlobs) else None
        if found is not None:
            return f" {found!r} matches {text!a}"
    return ""


def _why_not(rule: Rule, seen: Seen) -> str:
    if rule.subjects and seen.act.subject not in rule.subjects:
        return f"only for {', '.join(sorted(rule.subjects))}"
    if rule.action is Action.ALLOW and barred_from_allow(rule, seen):
        return "the path is not resolved, and nothing is allowed on an unresolved path"
    wanted = Truth.SURE if rule.action is Action.ALLOW else Truth.COULD
    failed = [name for name, truth in conditions(rule.match, seen) if truth < wanted]
    words = [
        f"excepted by {name}" if name.startswith("not.") else f"{name} does not match"
        for name in failed
    ]
    return "; ".join(words)
