"""The keys of the rule language, and how a rule is made of them."""

import re

from rules import examples, yamltree
from rules.conditions_schema import MATCH_KEYS, read_match
from rules.errors import ExampleError
from rules.model import DEFAULT_TIMEOUT_S, Action, Example, Examples, Rule
from rules.reading import Reader
from wire.messages import KillScope, OnDeny, OnNoAgent, OnTimeout, Severity

# Every key there is. docs/rules.md documents each, and a test holds it to that.
KEYS: dict[str, tuple[str, ...]] = {
    "file": ("rules",),
    "rule": (
        "id",
        "description",
        "severity",
        "match",
        "subjects",
        "action",
        "timeout",
        "on_timeout",
        "kill",
        "on_deny",
        "on_no_agent",
        "reason",
        "examples",
    ),
    **MATCH_KEYS,
    "examples": ("match", "no_match"),
}
_REQUIRED = ("id", "description", "severity", "match", "action")
# Keys that would be silently without effect under another action.
_ONLY_WITH = {
    "timeout": (Action.ASK,),
    "on_timeout": (Action.ASK,),
    "reason": (Action.ASK,),
    "kill": (Action.ASK, Action.DENY),
    "on_deny": (Action.ASK, Action.DENY),
    "on_no_agent": (Action.ASK, Action.DENY),
}
_ID = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*")


def read_rule(reader: Reader, node: yamltree.Node) -> Rule | None:
    """Return the rule of one list item, or None after telling the reader all that is wrong."""
    before = len(reader.problems)
    keys = reader.keys(node, KEYS["rule"], "the rule")
    if keys is None:
        return None
    for name in _REQUIRED:
        if name not in keys:
            reader.refuse(node.place, f"the rule has no {name}", f"add `{name}:`")
    rule_id = _id(reader, keys["id"]) if "id" in keys else None
    description = reader.text(keys["description"], "description") if "description" in keys else None
    severity = reader.choice(keys["severity"], Severity, "severity") if "severity" in keys else None
    action = reader.choice(keys["action"], Action, "action") if "action" in keys else None
    match = read_match(reader, keys["match"]) if "match" in keys else None
    if action is not None:
        _refuse_without_effect(reader, keys, action)
    timeout, on_timeout, kill, reason = _ask_keys(reader, keys)
    on_deny, on_no_agent = _stop_keys(reader, keys)
    subjects = _subjects(reader, keys)
    samples = _examples(reader, keys["examples"]) if "examples" in keys else Examples()
    if len(reader.problems) > before:
        return None
    assert rule_id and description and severity and action and match
    return Rule(
        id=rule_id,
        description=" ".join(description.split()),
        severity=severity,
        action=action,
        match=match,
        subjects=subjects,
        timeout_s=timeout,
        on_timeout=on_timeout,
        kill=kill,
        reason_required=reason,
        on_deny=on_deny,
        on_no_agent=on_no_agent,
        examples=samples,
        origin=node.place,
    )


def _id(reader: Reader, node: yamltree.Node) -> str | None:
    text = reader.text(node, "id")
    if text is not None and (not _ID.fullmatch(text) or len(text) > 128):
        reader.refuse(
            node.place,
            f"id {text[:130]!r} is not an id",
            "write at most 128 of a-z, 0-9 and -, in parts joined by dots, as in secrets.ssh-keys",
        )
        return None
    return text


def _refuse_without_effect(reader: Reader, keys: dict[str, yamltree.Node], action: Action) -> None:
    for name, actions in _ONLY_WITH.items():
        if name in keys and action not in actions:
            reader.refuse(
                keys[name].place,
                f"{name} has no effect with action {action}",
                f"remove it, or use action {' or '.join(actions)}",
            )


def _ask_keys(
    reader: Reader, keys: dict[str, yamltree.Node]
) -> tuple[int, OnTimeout, KillScope, bool]:
    timeout: int | None = DEFAULT_TIMEOUT_S
    on_timeout: OnTimeout | None = OnTimeout.KILL
    kill: KillScope | None = KillScope.PROCESS
    required = True
    if "timeout" in keys:
        timeout = reader.duration(keys["timeout"], "timeout", "1s", "7d")
    if "on_timeout" in keys:
        on_timeout = reader.choice(keys["on_timeout"], OnTimeout, "on_timeout")
    if "kill" in keys:
        kill = reader.choice(keys["kill"], KillScope, "kill")
    if "reason" in keys:
        text = reader.text(keys["reason"], "reason")
        if text not in (None, "required", "waived"):
            reader.refuse(
                keys["reason"].place, f"reason cannot be {text!r}", "use required or waived"
            )
        required = text != "waived"
    return (
        timeout or DEFAULT_TIMEOUT_S,
        on_timeout or OnTimeout.KILL,
        kill or KillScope.PROCESS,
        required,
    )


def _stop_keys(reader: Reader, keys: dict[str, yamltree.Node]) -> tuple[OnDeny, OnNoAgent]:
    on_deny: OnDeny | None = None
    on_no_agent: OnNoAgent | None = None
    if "on_deny" in keys:
        on_deny = reader.choice(keys["on_deny"], OnDeny, "on_deny")
    if "on_no_agent" in keys:
        on_no_agent = reader.choice(keys["on_no_agent"], OnNoAgent, "on_no_agent")
    if on_deny is OnDeny.REFUSE and "kill" in keys:
        reader.refuse(
            keys["kill"].place,
            "kill has no effect with on_deny refuse, which kills nothing",
            "remove one of them",
        )
    return on_deny or OnDeny.KILL, on_no_agent or OnNoAgent.HOLD


def _subjects(reader: Reader, keys: dict[str, yamltree.Node]) -> frozenset[str]:
    if "subjects" not in keys:
        return frozenset()
    return frozenset(item.text for item in reader.texts(keys["subjects"], "subjects"))


def _examples(reader: Reader, node: yamltree.Node) -> Examples:
    keys = reader.keys(node, KEYS["examples"], "examples") or {}
    found: dict[str, tuple[Example, ...]] = {}
    for name, value in keys.items():
        texts = reader.texts(value, f"examples.{name}")
        for item in texts:
            try:
                examples.parse(item.text)
            except ExampleError as error:
                reader.refuse(item.place, f"examples.{name}: {error.problem}", error.remedy)
        found[name] = tuple(Example(item.text, item.place) for item in texts)
    return Examples(**found)
