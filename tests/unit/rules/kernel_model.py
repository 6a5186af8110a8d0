"""What the kernel side does with KernelTables, written plainly, to hold the tables against."""

import ipaddress

from rules.addresses import Network
from rules.superset import KernelTables, Table, Want, observe_bit, stop_bit
from wire.acts import KINDS_OF_CHANGE, KINDS_WITHOUT_FILE, Act, Kind, Transport

READ_BITS = Want.OBSERVE_READ | Want.STOP_READ
WRITE_BITS = Want.OBSERVE_WRITE | Want.STOP_WRITE
STOP_BITS = Want.STOP_READ | Want.STOP_WRITE
WITH_STOP = Want.REFUSE | Want.NO_AGENT_DENY | Want.NO_AGENT_HOLD
BOTH_NAMES = (Kind.RENAME, Kind.LINK)


def want(tables: KernelTables, act: Act) -> Want:
    """Return the bits that the kernel finds for an act."""
    if act.kind not in tables.kinds:
        return Want(0)
    if act.kind is Kind.EXEC:
        if act.path_cut:
            return tables.widest(Table.EXEC)
        found = lookup(tables, Table.EXEC, act.executable)
        return found | lookup(tables, Table.EXEC, act.filename)
    if act.kind is Kind.OPEN:
        found = _path(tables, Table.OPEN, act)
        flags = set(act.flags)
        bits = WRITE_BITS if flags & {"write", "create", "truncate"} else Want(0)
        if "read" in flags or not flags:
            bits |= READ_BITS
        found &= bits | WITH_STOP
        if "truncate" in flags and "created" not in flags:
            found |= change(tables, act, Kind.TRUNCATE)
        return found
    if act.kind in KINDS_OF_CHANGE:
        return change(tables, act, act.kind)
    if act.kind in KINDS_WITHOUT_FILE:
        return of_kind(tables.other, act.kind)
    if act.transport is Transport.UNIX:
        if act.addresses_cut or (not act.path_resolved and _unclean(act.path)):
            return tables.widest(Table.UNIX)
        return _path(tables, Table.UNIX, act)
    if act.addresses_cut:
        return tables.uninspected
    return network(tables, act.address, act.port, act.transport)


def change(tables: KernelTables, act: Act, kind: Kind) -> Want:
    """Return the bits of a change of files, all of whose names are looked up."""
    if act.path_cut or act.second_path_cut:
        return of_kind(tables.widest(Table.CHANGE), kind)
    found = lookup(tables, Table.CHANGE, act.path)
    if kind in BOTH_NAMES:
        found |= lookup(tables, Table.CHANGE, act.second_path)
    return of_kind(found, kind)


def of_kind(found: Want, kind: Kind) -> Want:
    """Return what is wanted of one kind, said as for an exec."""
    stop = Want.STOP_READ | found & WITH_STOP if found & stop_bit(kind) else Want(0)
    return stop | (Want.OBSERVE_READ if found & observe_bit(kind) else Want(0))


def _unclean(name: str) -> bool:
    return bool({"", ".", ".."} & set(name.removeprefix("/").split("/")))


def _path(tables: KernelTables, table: Table, act: Act) -> Want:
    return tables.widest(table) if act.path_cut else lookup(tables, table, act.path)


def lookup(tables: KernelTables, table: Table, path: str) -> Want:
    """Return the bits of one name: two longest matches, each component, and the rest."""
    raw = path.encode()
    found = tables.anything.get(table, Want(0))
    keys = {key.encode(): bits for (t, key), bits in tables.prefixes.items() if t is table}
    keys |= {key.encode() + b"\0": bits for (t, key), bits in tables.exact.items() if t is table}
    assert all(len(key) <= 200 for key in keys)
    found |= _longest(keys, raw + b"\0")
    names = [] if table is Table.UNIX and path.startswith("@") else raw.split(b"/")
    for name in names:
        found |= tables.components.get((table, name[:31].decode(errors="replace")), Want(0))
    ends = {key.encode()[::-1]: bits for (t, key), bits in tables.suffixes.items() if t is table}
    assert all(0 < len(key) <= 31 for key in ends)
    return found | _longest(ends, raw[::-1])


def _longest(keys: dict[bytes, Want], text: bytes) -> Want:
    hits = [key for key in keys if text.startswith(key)]
    return keys[max(hits, key=len)] if hits else Want(0)


def network(
    tables: KernelTables, address: str, port: int, transport: Transport | None = Transport.TCP
) -> Want:
    """Return the bits of the longest prefix that holds the address, for port and transport."""
    if not tables.networks:
        return Want(0)
    where = ipaddress.ip_address(address)
    if isinstance(where, ipaddress.IPv6Address) and where.ipv4_mapped:
        where = where.ipv4_mapped
    hits: list[Network] = [net for net in tables.networks if where in net]
    entry = tables.networks[max(hits, key=lambda net: net.prefixlen)]
    wants = entry.ports.get(port, entry.any_port)
    if transport is Transport.TCP:
        return wants.tcp
    return wants.udp if transport is Transport.UDP else wants.other
