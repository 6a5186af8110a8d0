"""The conditions of the rule language, kind by kind, and how a match is made of them."""

import ipaddress
import re
from typing import TypeVar

from rules import yamltree
from rules.addresses import Network, Networks, Ports, unmapped
from rules.globs import PathGlobs, TextGlobs
from rules.model import (
    ChangeMatch,
    ConnectMatch,
    ExecMatch,
    ListenMatch,
    Match,
    Mode,
    OpenMatch,
    PowerMatch,
)
from rules.reading import Reader
from wire.acts import KINDS_OF_CHANGE, KINDS_OF_PROCESSES, Kind, Transport

S = TypeVar("S", ConnectMatch, ListenMatch)
C = TypeVar("C", ChangeMatch, PowerMatch)

_CHANGED = ("path", "operation", "not")
_NAMED = ("path", "not")  # what it does is said by its kind
_POWER = ("operation", "not")
_SOCKET = ("address", "port", "transport", "path", "not")
# A send is matched as the connect that it stands for.
MATCH_KEYS: dict[str, tuple[str, ...]] = {
    "match": tuple(str(kind) for kind in KINDS_OF_PROCESSES if kind is not Kind.SEND),
    "exec": ("path", "argv", "arg", "cwd", "not"),
    "open": ("path", "mode", "not"),
    "connect": _SOCKET,
    "create": _CHANGED,
    "truncate": _CHANGED,
    "delete": _CHANGED,
    "rename": _NAMED,
    "link": _NAMED,
    "symlink": _NAMED,
    "chmod": _CHANGED,
    "chown": _CHANGED,
    "mount": _CHANGED,
    "listen": _SOCKET,
    "trace": _POWER,
    "identity": _POWER,
    "module": _CHANGED,
    "bpf": _POWER,
    "namespace": _POWER,
}
_PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


def read_match(reader: Reader, node: yamltree.Node) -> Match | None:
    keys = reader.keys(node, MATCH_KEYS["match"], "match")
    if keys is None:
        return None
    if len(keys) != 1:
        reader.refuse(
            node.place,
            f"match has {len(keys)} kinds of act",
            f"give it exactly one of {', '.join(MATCH_KEYS['match'])}; write a rule for each",
        )
        return None
    ((name, conditions),) = keys.items()
    before = len(reader.problems)
    match = _of_kind(reader, conditions, name)
    return match if len(reader.problems) == before else None


def _of_kind(reader: Reader, node: yamltree.Node, name: str) -> Match | None:
    kind = Kind(name)
    if kind is Kind.EXEC:
        return _exec(reader, node, name)
    if kind is Kind.OPEN:
        return _open(reader, node, name)
    if kind is Kind.CONNECT:
        return _socket(reader, node, name, ConnectMatch)
    if kind is Kind.LISTEN:
        return _socket(reader, node, name, ListenMatch)
    if kind in KINDS_OF_CHANGE:
        return _changed(reader, node, name, ChangeMatch)
    return _changed(reader, node, name, PowerMatch)


def _conditions(reader: Reader, node: yamltree.Node, what: str) -> dict[str, yamltree.Node] | None:
    kind = what.partition(".")[0]
    allowed = [key for key in MATCH_KEYS[kind] if key != "not" or what == kind]
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


def _socket(reader: Reader, node: yamltree.Node, what: str, made: type[S]) -> S | None:
    keys = _conditions(reader, node, what)
    if keys is None:
        return None
    transport = (
        _transports(reader, keys["transport"], f"{what}.transport") if "transport" in keys else None
    )
    # Within `not` each key counts by itself, so there they do not exclude each other.
    if "." not in what:
        _refuse_impossible(reader, keys, what, transport)
    return made(
        address=_networks(reader, keys["address"], what) if "address" in keys else None,
        port=_ports(reader, keys["port"], what) if "port" in keys else None,
        transport=transport,
        path=_paths(reader, keys, "path", what),
        negated=_socket(reader, keys["not"], f"{what}.not", made) if "not" in keys else None,
    )


def _changed(reader: Reader, node: yamltree.Node, what: str, made: type[C]) -> C | None:
    keys = _conditions(reader, node, what)
    if keys is None:
        return None
    return made(
        kind=Kind(what.partition(".")[0]),
        path=_paths(reader, keys, "path", what),
        operation=_texts(reader, keys, "operation", what),
        negated=_changed(reader, keys["not"], f"{what}.not", made) if "not" in keys else None,
    )


def _refuse_impossible(
    reader: Reader,
    keys: dict[str, yamltree.Node],
    what: str,
    transport: frozenset[Transport] | None,
) -> None:
    inet = next((name for name in ("address", "port") if name in keys), None)
    if inet and "path" in keys:
        reader.refuse(
            keys["path"].place,
            f"{what} has both {inet} and path, and no socket has both",
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
