"""What a rule is, once it is read: frozen values, patterns compiled. No files, no acts."""

import hashlib
import json
from dataclasses import dataclass, field
from enum import StrEnum

from rules.addresses import Networks, Ports
from rules.errors import Place
from rules.globs import PathGlobs, TextGlobs
from wire.acts import Kind, Transport
from wire.messages import KillScope, OnDeny, OnNoAgent, OnTimeout, Severity


class Action(StrEnum):
    """What a rule says about the acts that it matches."""

    OBSERVE = "observe"
    ASK = "ask"
    DENY = "deny"
    ALLOW = "allow"


class Mode(StrEnum):
    """How a file is opened; write stands for append, truncate and create too."""

    READ = "read"
    WRITE = "write"


# The first that matches wins, whatever the order of rules and files.
PRECEDENCE = (Action.DENY, Action.ALLOW, Action.ASK, Action.OBSERVE)
SEVERITIES = tuple(Severity)
DEFAULT_TIMEOUT_S = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecMatch:
    """Conditions on an exec; None is no condition. None of `negated`'s own may hold."""

    path: PathGlobs | None = None
    argv: TextGlobs | None = None
    arg: TextGlobs | None = None
    cwd: PathGlobs | None = None
    negated: "ExecMatch | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenMatch:
    """Conditions on an open; None is no condition. None of `negated`'s own may hold."""

    path: PathGlobs | None = None
    mode: frozenset[Mode] | None = None
    negated: "OpenMatch | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectMatch:
    """Conditions on a connect or send; None is no condition. None of `negated`'s own may hold."""

    address: Networks | None = None
    port: Ports | None = None
    transport: frozenset[Transport] | None = None
    path: PathGlobs | None = None
    negated: "ConnectMatch | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeMatch:
    """Conditions on a change of files, of one `kind` of KINDS_OF_CHANGE; None is no condition.

    None of `negated`'s own may hold.
    """

    kind: Kind
    path: PathGlobs | None = None
    operation: TextGlobs | None = None
    negated: "ChangeMatch | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenMatch:
    """Conditions on a listen; None is no condition. None of `negated`'s own may hold."""

    address: Networks | None = None
    port: Ports | None = None
    transport: frozenset[Transport] | None = None
    path: PathGlobs | None = None
    negated: "ListenMatch | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerMatch:
    """Conditions on a trace, identity, module, bpf or namespace; None is no condition.

    Only a module has a path. None of `negated`'s own may hold.
    """

    kind: Kind
    path: PathGlobs | None = None
    operation: TextGlobs | None = None
    negated: "PowerMatch | None" = None


Match = ExecMatch | OpenMatch | ConnectMatch | ChangeMatch | ListenMatch | PowerMatch


def uses_path(match: Match) -> bool:
    """Return whether any condition, or any exception, looks at a path."""
    return match.path is not None or (match.negated is not None and uses_path(match.negated))


def kinds_of(match: Match) -> frozenset[Kind]:
    """Return the kinds of act that the conditions are about.

    A file that an open makes or empties is a create or a truncate where it is seen before it has
    happened, and a rule about one is about the other.
    """
    if isinstance(match, OpenMatch):
        return frozenset({Kind.OPEN, Kind.CREATE, Kind.TRUNCATE} if writes(match) else {Kind.OPEN})
    if isinstance(match, ChangeMatch) and match.kind is Kind.TRUNCATE:
        return frozenset({Kind.TRUNCATE, Kind.OPEN})
    return named_kinds(match)


def named_kinds(match: Match) -> frozenset[Kind]:
    """Return the kinds by whose name the conditions go: what a host must see to know them."""
    if isinstance(match, ExecMatch):
        return frozenset({Kind.EXEC})
    if isinstance(match, OpenMatch):
        return frozenset({Kind.OPEN})
    if isinstance(match, ConnectMatch):
        return frozenset({Kind.CONNECT, Kind.SEND})
    return frozenset({Kind.LISTEN if isinstance(match, ListenMatch) else match.kind})


def writes(match: OpenMatch) -> bool:
    """Return whether an open for writing could meet the conditions."""
    return match.mode is None or Mode.WRITE in match.mode


@dataclass(frozen=True, slots=True)
class Example:
    """One act in the one-line form, and where it stands."""

    text: str
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Acts that the rule must match, and acts that it must not."""

    match: tuple[Example, ...] = ()
    no_match: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. `timeout_s`, `on_timeout`, `reason_required` matter to ask, the rest to deny too.

    An empty `subjects` is every subject. `place` is "file:line:column" of the rule.
    """

    id: str
    description: str
    severity: Severity
    action: Action
    match: Match
    subjects: frozenset[str] = frozenset()
    timeout_s: int = DEFAULT_TIMEOUT_S
    on_timeout: OnTimeout = OnTimeout.KILL
    kill: KillScope = KillScope.PROCESS
    reason_required: bool = True
    on_deny: OnDeny = OnDeny.KILL
    on_no_agent: OnNoAgent = OnNoAgent.HOLD
    examples: Examples = field(default=Examples(), compare=False)
    origin: Place = field(default=Place(""), compare=False)

    @property
    def place(self) -> str:
        """Where the rule stands, for people."""
        return str(self.origin)


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """Something a careful author would want to know; it does not stop the rules from loading."""

    place: Place
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: warning: {self.rule}: {self.message}"


def precedence(rule: Rule) -> tuple[int, int, str]:
    """Return what rules are sorted by: action, then highest severity, then id."""
    return (PRECEDENCE.index(rule.action), -SEVERITIES.index(rule.severity), rule.id)


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All rules in force, most decisive first. `digest` is over what they mean, not where they are.

    `by_kind` holds, for each kind of act, the rules about it in the same order.
    """

    rules: tuple[Rule, ...]
    warnings: tuple[Finding, ...] = ()
    digest: str = field(init=False)
    by_kind: dict[Kind, tuple[Rule, ...]] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.rules, key=precedence))
        by_kind = {
            kind: tuple(rule for rule in ordered if kind in kinds_of(rule.match)) for kind in Kind
        }
        object.__setattr__(self, "rules", ordered)
        object.__setattr__(self, "by_kind", by_kind)
        object.__setattr__(self, "digest", _digest(ordered))


def match_as_data(match: Match) -> dict[str, object]:
    """Return the conditions as plain data, lists sorted, so that equal meaning is equal data."""
    data: dict[str, object] = {}
    for name in match.__dataclass_fields__:
        value = getattr(match, name)
        if value is None:
            continue
        if isinstance(value, PathGlobs | TextGlobs):
            data[name] = sorted(value.patterns)
        elif isinstance(value, Networks):
            data[name] = sorted(str(network) for network in value.networks)
        elif isinstance(value, Ports):
            data[name] = sorted(f"{low}-{high}" for low, high in value.ranges)
        elif isinstance(value, frozenset):
            data[name] = sorted(value)
        elif isinstance(value, Kind):
            data[name] = value.value
        else:
            data["not"] = match_as_data(value)
    return data


def _digest(rules: tuple[Rule, ...]) -> str:
    content = [
        {
            "id": rule.id,
            "description": rule.description,
            "severity": rule.severity,
            "action": rule.action,
            "about": type(rule.match).__name__,
            "match": match_as_data(rule.match),
            "subjects": sorted(rule.subjects),
            "timeout_s": rule.timeout_s,
            "on_timeout": rule.on_timeout,
            "kill": rule.kill,
            "reason_required": rule.reason_required,
        }
        | _later(rule)
        for rule in rules
    ]
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(b"holdfast rules 1\0" + canonical.encode()).hexdigest()


def _later(rule: Rule) -> dict[str, object]:
    """Return what the language has learned since, if the rule says it: others keep their digest."""
    return {
        name: value.value
        for name, value, default in (
            ("on_deny", rule.on_deny, OnDeny.KILL),
            ("on_no_agent", rule.on_no_agent, OnNoAgent.HOLD),
        )
        if value is not default
    }
