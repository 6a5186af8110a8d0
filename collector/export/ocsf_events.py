"""Events as OCSF: the class of each kind of act, and what goes where. See docs/export.md.

What a kind has no class for goes into Base Event, and nothing is left out: see `unmapped`.
"""

import os
import re
import shlex
from collections.abc import Callable, Mapping

from collector.export.ocsf_base import (
    BASE,
    FILE,
    HIGH,
    INFORMATIONAL,
    KERNEL,
    KERNEL_EXTENSION,
    LOG,
    MEDIUM,
    MEMORY,
    NETWORK,
    OTHER,
    PROCESS,
    Activity,
    Names,
    device,
    made,
)
from collector.export.values import (
    Facts,
    Row,
    base_name,
    errno_name,
    folder,
    ip,
    without_nothing,
)

_ACTIONS = {
    "observe": ((3, "Observed"), (17, "Logged")),
    "allow": ((1, "Allowed"), (1, "Allowed")),
    "ask": ((OTHER, "Asked"), (14, "Delayed")),
    "deny": ((2, "Denied"), (2, "Blocked")),
}
# An act that could not be held back has happened, whatever followed.
_LATE = ((3, "Observed"), (15, "Detected"))
_SEVERITY = {"ask": MEDIUM, "deny": HIGH}
_PROTOCOLS = {"tcp": 6, "udp": 17}
_FILE_TYPES = {
    "directory": (2, "Folder"),
    "fifo": (6, "Named Pipe"),
    "socket": (5, "Local Socket"),
    "device": (OTHER, "Device"),
    "file": (1, "Regular File"),
}
_UNKNOWN_TYPE = (0, "Unknown")
_NETWORK_KINDS = ("connect", "send", "listen")
_ALWAYS_MAPPED = frozenset(
    {"id", "host", "number", "time_ns", "pid", "tid", "uid", "gid", "session", "count", "rule"}
)
_MAPPED: Mapping[str, frozenset[str]] = {
    "exec": frozenset({"program"}),
    **dict.fromkeys(_NETWORK_KINDS, frozenset({"transport"})),
    **dict.fromkeys(
        ("open", "create", "truncate", "delete", "chmod", "chown"), frozenset({"path"})
    ),
    **dict.fromkeys(("rename", "link"), frozenset({"path", "second_path"})),
    "trace": frozenset({"target_pid", "target_comm"}),
}

Shape = tuple[Activity, Facts]


def event(row: Row, names: Names) -> Facts:
    """Return an event; every column that has a value is somewhere in it."""
    activity, facts = _SHAPES.get(row["kind"], _other)(row)
    action = row.get("action")
    result = row.get("result")
    rule = row.get("rule")
    status = (0, "Unknown") if result is None else (1, "Success") if result >= 0 else (2, "Failure")
    common: Facts = {
        "actor": _actor(row),
        "device": device(row["host"], names),
        "count": row.get("count"),
        "message": row.get("detail"),
        "status_id": status[0],
        "status": status[1],
        "status_code": errno_name(result),
        "status_detail": os.strerror(-result)
        if result is not None and -4096 < result < 0
        else None,
        "policy": rule and {"uid": rule, "name": rule},
        **_control(action, row.get("guarantee")),
    }
    # What a shape says of its own kind counts more.
    facts = {**common, **facts}
    return made(
        activity,
        row,
        table="events",
        time_ns=row["time_ns"],
        severity=_SEVERITY.get(action or "", INFORMATIONAL),
        facts=facts,
        unmapped=_unmapped(row),
    )


def _unmapped(row: Row) -> Facts:
    """Return what no attribute has, or has in another form only."""
    kind = row["kind"]
    mapped = _ALWAYS_MAPPED | _MAPPED.get(kind, frozenset())
    address = row.get("address")
    if kind in _NETWORK_KINDS and address and ip(address) == address:
        mapped |= {"address", "port"} if _is_port(row.get("port")) else {"address"}
    return {name: value for name, value in row.items() if name not in mapped}


def _is_port(port: int | None) -> bool:
    return port is not None and 0 <= port < 65536


def _control(action: str | None, guarantee: str | None) -> Facts:
    known = _ACTIONS.get(action or "")
    if known is None:
        return {}
    if guarantee == "late" and action in ("ask", "deny"):
        known = _LATE
    (action_id, words), (disposition_id, disposition) = known
    return {
        "action_id": action_id,
        "action": words,
        "disposition_id": disposition_id,
        "disposition": disposition,
        "is_alert": action in ("ask", "deny"),
    }


def _user(uid: int | None) -> Facts | None:
    return None if uid is None else {"uid": str(uid)}


def _process(row: Row) -> Facts:
    """Return the process that acts; one without a number is told as not known."""
    gid, session = row.get("gid"), row.get("session")
    program = row.get("program") or ""
    named: Facts = {"name": base_name(program)} if program else {}
    if row["kind"] == "exec" and program:
        named = {
            "name": base_name(program),
            "path": program,
            "file": _file(program, (8, "Executable File")),
            "cmd_line": shlex.join(row.get("argv") or ()),
        }
    pid = row.get("pid")
    return without_nothing(
        {
            "pid": pid,
            "uid": "unknown" if pid is None else None,
            "tid": row.get("tid"),
            "user": _user(row.get("uid")),
            "group": None if gid is None else {"uid": str(gid)},
            "auid": row.get("login_uid"),
            "session": session and {"uid": session},
            **named,
        }
    )


def _actor(row: Row) -> Facts:
    session = row.get("session")
    return without_nothing(
        {
            "process": _process(row),
            "user": _user(row.get("uid")),
            "session": session and {"uid": session},
            "app_name": row.get("subject"),
        }
    )


def _file(path: str | None, kind: tuple[int, str] = _UNKNOWN_TYPE) -> Facts:
    path = path or ""
    return without_nothing(
        {
            "name": base_name(path) or "unknown",
            "path": path,
            "parent_folder": folder(path),
            "type_id": kind[0],
            "type": kind[1],
        }
    )


def _file_act(number: int, name: str) -> Callable[[Row], Shape]:
    def shape(row: Row) -> Shape:
        operation = row.get("operation") or ""
        second = row.get("second_path")
        kind = row["kind"]
        what = _FILE_TYPES.get(operation, _UNKNOWN_TYPE)
        if kind == "symlink":
            what = (7, "Symbolic Link")
        facts: Facts = {"file": _file(row.get("path"), what)}
        if kind in ("rename", "link") and second:
            facts["file_result"] = _file(second)
        activity = Activity(FILE, number, name)
        if kind == "mount" and operation.startswith("umount"):
            activity = Activity(FILE, 13, "Unmount")
        return activity, facts

    return shape


def _exec(row: Row) -> Shape:
    facts = {"process": _process(row), "launch_type_id": 3, "launch_type": "Exec"}
    return Activity(PROCESS, 1, "Launch"), facts


def _network(number: int, name: str) -> Callable[[Row], Shape]:
    def shape(row: Row) -> Shape:
        transport = row.get("transport")
        address, port = ip(row.get("address")), row.get("port")
        listens = row["kind"] == "listen"
        local = transport == "unix"
        endpoint = without_nothing(
            {
                "ip": address,
                "port": port if _is_port(port) else None,
                "name": None if address else row.get("path") or row.get("address") or "unknown",
            }
        )
        version = 0 if address is None else 6 if ":" in address else 4
        direction = (4, "Local") if local else (1, "Inbound") if listens else (2, "Outbound")
        facts = {
            "src_endpoint" if listens else "dst_endpoint": endpoint,
            "connection_info": without_nothing(
                {
                    "direction_id": direction[0],
                    "direction": direction[1],
                    "protocol_name": transport,
                    "protocol_num": _PROTOCOLS.get(transport or ""),
                    "protocol_ver_id": version,
                }
            ),
        }
        return Activity(NETWORK, number, name), facts

    return shape


def _trace(row: Row) -> Shape:
    pid, name = row.get("target_pid"), row.get("target_comm")
    target = without_nothing({"pid": pid, "name": name, "uid": "unknown" if pid is None else None})
    operation = row.get("operation") or ""
    activity = Activity(PROCESS, 3, "Open")
    if operation == "read memory":
        activity = Activity(MEMORY, 7, "Read")
    elif operation == "write memory":
        activity = Activity(MEMORY, 8, "Write")
    return activity, {"process": target}


def _identity(row: Row) -> Shape:
    operation = row.get("operation") or ""
    process = _process(row)
    activity = Activity(PROCESS, OTHER, "Set Group ID")
    if "uid" in operation.partition(" ")[0]:
        activity = Activity(PROCESS, 5, "Set User ID")
        if found := re.search(r" (\d+)", operation):
            process["user"] = {"uid": found[1]}
    return activity, {"process": process}


def _module(row: Row) -> Shape:
    driver = {"file": _file(row.get("path") or row.get("operation"))}
    return Activity(KERNEL_EXTENSION, 1, "Load"), {"driver": driver}


def _kernel(call: str) -> Callable[[Row], Shape]:
    def shape(row: Row) -> Shape:
        operation = row.get("operation") or call
        makes = operation.endswith(("_load", "_create"))
        name = operation.partition(" ")[0] if call == "unshare" else call
        facts = {
            "kernel": {
                "name": operation,
                "type_id": 2,
                "type": "System Call",
                "system_call": name,
            }
        }
        return Activity(KERNEL, *((1, "Create") if makes else (4, "Invoke"))), facts

    return shape


def _gap(row: Row) -> Shape:
    facts = {
        "log_name": "holdfast events",
        "log_type_id": 2,
        "log_type": "Application",
        "status_id": 2,
        "status": "Failure",
        "message": row.get("detail") or "events were lost; count says how many",
    }
    return Activity(LOG, OTHER, "Events Lost"), facts


def _other(row: Row) -> Shape:
    return Activity(BASE, OTHER, str(row["kind"]).capitalize() or "Other"), {}


_SHAPES: Mapping[str, Callable[[Row], Shape]] = {
    "exec": _exec,
    "open": _file_act(14, "Open"),
    "create": _file_act(1, "Create"),
    "truncate": _file_act(3, "Update"),
    "delete": _file_act(4, "Delete"),
    "rename": _file_act(5, "Rename"),
    "link": _file_act(OTHER, "Link"),
    "symlink": _file_act(1, "Create"),
    "chmod": _file_act(7, "Set Security"),
    "chown": _file_act(7, "Set Security"),
    "mount": _file_act(12, "Mount"),
    "connect": _network(1, "Open"),
    "send": _network(6, "Traffic"),
    "listen": _network(7, "Listen"),
    "trace": _trace,
    "identity": _identity,
    "module": _module,
    "bpf": _kernel("bpf"),
    "namespace": _kernel("unshare"),
    "gap": _gap,
}
