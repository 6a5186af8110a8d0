"""The keys of the rule language, and how a rule is made of them."""

import ipaddress
import re

from rules import examples, yamltree
from rules.addresses import Network, Networks, Ports, unmapped
from rules.errors import ExampleError
from rules.globs import PathGlobs, TextGlobs
from rules.model import (
    DEFAULT_TIMEOUT_S,
    Action,
    ConnectMatch,
    Example,
    Examples,
    ExecMatch,
    Match,
    Mode,
    OpenMatch,
    Rule,
)
from rules.reading import Reader
from wire.acts import Transport
from wire.messages import KillScope, OnTimeout, Severity

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
        "reason",
        "examples",
    ),
    "match": ("exec", "open", "connect"),
    "exec": ("path", "argv", "arg", "cwd", "not"),
    "open": ("path", "mode", "not"),
    "connect": ("address", "port", "transport", "path", "not"),
    "examples": ("match", "no_match"),
}
_REQUIRED = ("id", "description", "severity", "match", "action")
# Keys that would be silently without effect under another action.
_ONLY_WITH = {
    "timeout": (Action.ASK,),
    "on_timeout": (Action.ASK,),
    "reason": (Action.ASK,),
    "kill": (Action.ASK, Action.DENY),
}
_ID = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*")
_PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


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
    match = _match(reader, keys["match"]) if "match" in keys else None
    if action is not None:
        _refuse_without_effect(reader, keys, action)
    timeout, on_timeout, kill, reason = _ask_keys(reader, keys)
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


def _subjects(reader: Reader, keys: dict[str, yamltree.Node]) -> frozenset[str]:
    if "subjects" not in keys:
        return frozenset()
    return frozenset(item.text for item in reader.texts(keys["subjects"], "subjects"))


def _match(reader: Reader, node: yamltree.Node) -> Match | None:
    keys = reader.keys(node, KEYS["match"], "match")
    if keys is None:
        return None
    if len(keys) != 1:
        reader.refuse(
            node.place,
            f"match has {len(keys)} of exec, open and connect",
            "give it exactly one; write a rule for each",
        )
        return None
    ((kind, conditions),) = keys.items()
    before = len(reader.problems)
    match: Match | None
    if kind == "exec":
        match = _exec(reader, conditions, "exec")
    elif kind == "open":
        match = _open(reader, conditions, "open")
    else:
        match = _connect(reader, conditions, "connect")
    return match if len(reader.problems) == before else None


def _conditions(reader: Reader, node: yamltree.Node, what: str) -> dict[str, yamltree.Node] | None:
    kind = what.partition(".")[0]
    allowed = [key for key in KEYS[kind] if key != "not" or what == kind]
    keys = reader.keys(node, allowed, what)
    if keys is not None and not keys:
        reader.refuse(node.place, f"{what} has no condition", f"give it {', '.join(allowed)}")
    return keys


def _exec(reader: Reader, node: yamltree.Node, what: str) -> ExecMatch | None:
    keys = _conditions(reader, node, what)
    if keys is None:
        return None
    return ExecMatch(
        path=_paths(reader, keys, "path", what),
        argv=_texts(reader, keys, "argv", what),
        arg=_texts(reader, keys, "arg", what),
        cwd=_paths(reader, keys, "cwd", what),
        negated=_exec(reader, keys["not"], f"{what}.not") if "not" in keys else None,
    )


def _open(reader: Reader, node: yamltree.Node, what: str) -> OpenMatch | None:
    keys = _conditions(reader, node, what)
    if keys is None:
        return None
    return OpenMatch(
        path=_paths(reader, keys, "path", what),
        mode=reader.choices(keys["mode"], Mode, f"{what}.mode") if "mode" in keys else None,
        negated=_open(reader, keys["not"], f"{what}.not") if "not" in keys else None,
    )


def _connect(reader: Reader, node: yamltree.Node, what: str) -> ConnectMatch | None:
    keys = _conditions(reader, node, what)
    if keys is None:
        return None
    transport = (
        _transports(reader, keys["transport"], f"{what}.transport") if "transport" in keys else None
    )
    # Within `not` each key counts by itself, so there they do not exclude each other.
    if what == "connect":
        _refuse_impossible(reader, keys, transport)
    return ConnectMatch(
        address=_networks(reader, keys["address"], what) if "address" in keys else None,
        port=_ports(reader, keys["port"], what) if "port" in keys else None,
        transport=transport,
        path=_paths(reader, keys, "path", what),
        negated=_connect(reader, keys["not"], f"{what}.not") if "not" in keys else None,
    )


def _refuse_impossible(
    reader: Reader, keys: dict[str, yamltree.Node], transport: frozenset[Transport] | None
) -> None:
    inet = next((name for name in ("address", "port") if name in keys), None)
    if inet and "path" in keys:
        reader.refuse(
            keys["path"].place,
            f"connect has both {inet} and path, and no socket has both",
            "write a rule for each",
        )
    if transport is None:
        return
    if inet and transport == {Transport.UNIX}:
        reader.refuse(keys[inet].place, f"a unix socket has no {inet}", "use path")
    if "path" in keys and Transport.UNIX not in transport:
        reader.refuse(keys["path"].place, "only a unix socket has a path", "use transport: unix")


def _transports(reader: Reader, node: yamltree.Node, what: str) -> frozenset[Transport] | None:
    found = reader.choices(node, Transport, what)
    if found and Transport.OTHER in found:
        reader.refuse(node.place, f"{what} cannot be 'other'", "use tcp, udp, unix or raw")
    return found


def _paths(
    reader: Reader, keys: dict[str, yamltree.Node], name: str, what: str
) -> PathGlobs | None:
    return reader.patterns(keys[name], PathGlobs, f"{what}.{name}") if name in keys else None


def _texts(
    reader: Reader, keys: dict[str, yamltree.Node], name: str, what: str
) -> TextGlobs | None:
    return reader.patterns(keys[name], TextGlobs, f"{what}.{name}") if name in keys else None


def _networks(reader: Reader, node: yamltree.Node, what: str) -> Networks | None:
    found: list[Network] = []
    for item in reader.texts(node, f"{what}.address"):
        try:
            found.append(unmapped(ipaddress.ip_network(item.text)))
        except ValueError as error:
            words = str(error)
            remedy = "write an address or prefix, as in 203.0.113.0/24; the kernel sees no names"
            if "host bits" in words:
                remedy = f"write {ipaddress.ip_network(item.text, strict=False)} or drop the length"
            reader.refuse(item.place, f"{what}.address: {words}", remedy)
    return Networks(tuple(found)) if found else None


def _ports(reader: Reader, node: yamltree.Node, what: str) -> Ports | None:
    found: list[tuple[int, int]] = []
    for item in reader.texts(node, f"{what}.port"):
        parts = _PORTS.fullmatch(item.text)
        low = int(parts[1]) if parts else -1
        high = int(parts[2] or parts[1]) if parts else -1
        if not 0 <= low <= high <= 65_535:
            reader.refuse(
                item.place,
                f"{what}.port cannot be {item.text!r}",
                "write a port from 0 to 65535, or a range as in 8000-8100",
            )
            continue
        found.append((low, high))
    return Ports(tuple(found)) if found else None


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
