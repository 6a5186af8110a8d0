"""What a careful author would want to know of rules that load: findings, never errors."""

from collections.abc import Iterator, Sequence

from rules.globs import PathGlobs
from rules.index import Table, Way, index_of
from rules.model import (
    PRECEDENCE,
    Action,
    ChangeMatch,
    ConnectMatch,
    ExecMatch,
    Finding,
    Match,
    OpenMatch,
    Rule,
    RuleSet,
    precedence,
)
from rules.regions import reaches_unix
from wire.acts import KINDS_OF_CHANGE, Kind
from wire.messages import OnNoAgent, OnTimeout

_ANYONE_TEXT = """
ash awk bash busybox bun csh dash deno doas env fish ksh lua node nodejs perl php python python3
ruby sh su sudo tclsh xargs zsh
"""
# Programs that run what they are told to.
_ANYONE = frozenset(_ANYONE_TEXT.split())
_SHORTEST_S = 30
# Changes that a build makes by the thousand; the others are rare enough to pass them all.
_FREQUENT = frozenset(KINDS_OF_CHANGE) - {Kind.CHOWN, Kind.MOUNT}
# Links on every distribution with a merged /usr; the kernel reports the name behind them.
_LINKED = {
    "/bin/": "/usr/bin/",
    "/lib/": "/usr/lib/",
    "/lib64/": "/usr/lib64/",
    "/sbin/": "/usr/sbin/",
    "/var/lock/": "/run/lock/",
    "/var/run/": "/run/",
}


def lint(rules: RuleSet) -> tuple[Finding, ...]:
    """Return the findings for a rule set, in order of place."""
    found: list[Finding] = []
    alike: dict[Match, list[Rule]] = {}
    for rule in rules.rules:
        alike.setdefault(rule.match, []).append(rule)
    for rule in rules.rules:
        for message in (
            *_release(rule),
            *_absent(rule),
            *_hasty(rule),
            *_unindexed(rule),
            *_broad_allow(rule),
            *_linked(rule),
            *_shadowed(rule, alike[rule.match]),
        ):
            found.append(Finding(rule.origin, rule.id, message))
    return tuple(sorted(found))


def _release(rule: Rule) -> Iterator[str]:
    if rule.on_timeout is OnTimeout.RELEASE:
        yield (
            "on_timeout: release lets the process run on when nobody answers, so waiting is a way "
            "round this rule; use kill or keep"
        )


def _absent(rule: Rule) -> Iterator[str]:
    if rule.on_no_agent is OnNoAgent.ALLOW:
        yield (
            "on_no_agent: allow lets every such act pass while no agent runs, so stopping the "
            "agent is a way round this rule; use hold or deny"
        )


def _hasty(rule: Rule) -> Iterator[str]:
    if rule.timeout_s < _SHORTEST_S:
        yield f"a timeout of {rule.timeout_s} s is over before a person has read the request"


def _paths(rule: Rule) -> tuple[str, ...] | None:
    """Return the rule's path patterns, or None where it has none and could have."""
    return rule.match.path.patterns if isinstance(rule.match.path, PathGlobs) else None


def _unindexed(rule: Rule) -> Iterator[str]:
    match = rule.match
    # An exec is rare enough to pass them all to the agent; stopping each is what costs.
    costly = rule.action in (Action.ASK, Action.DENY)
    if isinstance(match, OpenMatch):
        table, what, costly = Table.OPEN, "open", rule.action is not Action.ALLOW
    elif isinstance(match, ExecMatch):
        table, what = Table.EXEC, "exec"
    elif isinstance(match, ChangeMatch) and match.kind in _FREQUENT:
        table, what = Table.CHANGE, str(match.kind)
    elif isinstance(match, ConnectMatch) and reaches_unix(match):
        table, what = Table.UNIX, "connect to a unix socket"
    else:
        return
    if not costly:
        return
    patterns = _paths(rule)
    if patterns is None:
        yield f"it has no path, so the kernel passes every {what} of the subject to the agent"
        return
    for pattern in patterns:
        if index_of(pattern, table).way is Way.ANYTHING:
            yield (
                f"{pattern!r} has no literal part to look up, so the kernel passes every {what} of "
                "the subject to the agent; write names out where you can"
            )


def _broad_allow(rule: Rule) -> Iterator[str]:
    match = rule.match
    if rule.action is not Action.ALLOW or not isinstance(match, ExecMatch):
        return
    for pattern in _paths(rule) or ():
        if "/" not in pattern or pattern.startswith("**/"):
            yield f"{pattern!r} allows every program of that name, wherever it lies; write /..."
        if pattern.rpartition("/")[2] in _ANYONE and match.argv is None:
            yield f"{pattern!r} runs whatever it is given, so allowing it allows everything"


def _linked(rule: Rule) -> Iterator[str]:
    if not isinstance(rule.match, OpenMatch | ChangeMatch):
        return
    for pattern in _paths(rule) or ():
        for link, behind in _LINKED.items():
            if pattern.startswith(link):
                real = behind + pattern.removeprefix(link)
                yield f"{pattern!r} goes through a link on most systems; write {real!r} as well"


def _shadowed(rule: Rule, alike: Sequence[Rule]) -> Iterator[str]:
    """`alike` are the rules with the same conditions, in the order in which they decide."""
    for other in alike:
        if other is rule or not _decides_before(other, rule):
            continue
        wider = not other.subjects or (rule.subjects and rule.subjects <= other.subjects)
        if wider:
            yield f"{other.id} ({other.place}) matches the same and decides; remove one of them"
            return


def _decides_before(other: Rule, rule: Rule) -> bool:
    if PRECEDENCE.index(other.action) != PRECEDENCE.index(rule.action):
        return PRECEDENCE.index(other.action) < PRECEDENCE.index(rule.action)
    return precedence(other) < precedence(rule)
