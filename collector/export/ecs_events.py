"""Events as ECS: category and type of each kind of act, and what goes where. See docs/export.md."""

import shlex
from collections.abc import Mapping

from collector.export.ecs_base import Names, file, host, made
from collector.export.values import Facts, Row, base_name, errno_name, ip, without_nothing

_SORTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "exec": ("process", ("start",)),
    "open": ("file", ("access",)),
    "create": ("file", ("creation",)),
    "truncate": ("file", ("change",)),
    "delete": ("file", ("deletion",)),
    "rename": ("file", ("change",)),
    "link": ("file", ("creation",)),
    "symlink": ("file", ("creation",)),
    "chmod": ("file", ("change",)),
    "chown": ("file", ("change",)),
    "mount": ("host", ("change",)),
    "connect": ("network", ("connection", "start")),
    "send": ("network", ("connection", "info")),
    "listen": ("network", ("info",)),
    "trace": ("process", ("access",)),
    "identity": ("process", ("change",)),
    "module": ("driver", ("start",)),
    "bpf": ("driver", ("start",)),
    "namespace": ("process", ("change",)),
}
_OTHER = ("host", ("info",))
_FILE_TYPES = {"directory": "dir", "file": "file", "device": "char"}
# ECS counts from 0 as its sources do; these are the levels of syslog, turned round.
_SEVERITY = {"ask": 4, "deny": 5}
_LEFT_OUT = frozenset(
    "id host number time_ns tid pid uid gid program argv path address port rule".split()
)


def event(row: Row, names: Names) -> Facts:
    """Return an event."""
    kind, result = row["kind"], row.get("result")
    category, types = _SORTS.get(kind, _OTHER)
    if category == "network" and row.get("action") in ("allow", "deny"):
        types = (*types, "allowed" if row["action"] == "allow" else "denied")
    failed = errno_name(result)
    asked = row.get("action") in ("ask", "deny")
    said: Facts = {
        "kind": "pipeline_error" if kind == "gap" else "alert" if asked else "event",
        "category": [category],
        "type": list(types),
        "action": kind,
        "outcome": "failure" if failed else "unknown" if result is None else "success",
        "severity": _SEVERITY.get(row.get("action") or "", 2),
        "reason": row.get("detail"),
    }
    facts: Facts = {
        "host": host(row["host"], names),
        "process": _process(row),
        "user": _id(row.get("uid")),
        "rule": without_nothing({"id": row.get("rule")}),
        "error": without_nothing({"code": failed}),
        "message": row.get("detail"),
        **_what(row, category),
    }
    return made(
        row,
        table="events",
        time_ns=row["time_ns"],
        event=said,
        facts=facts,
        left_out=_LEFT_OUT if kind != "exec" else _LEFT_OUT - {"path"},
    )


def _id(number: int | None) -> Facts | None:
    return None if number is None else {"id": str(number)}


def _process(row: Row) -> Facts:
    program = row.get("program") or ""
    argv = list(row.get("argv") or ())
    tid = row.get("tid")
    execs = row["kind"] == "exec"
    return without_nothing(
        {
            "pid": row.get("pid"),
            "thread": None if tid is None else {"id": tid},
            "name": base_name(program),
            "executable": program if execs else None,
            "args": argv,
            "args_count": len(argv) if argv else None,
            "command_line": shlex.join(argv) if argv else None,
            "user": _id(row.get("uid")),
            "group": _id(row.get("gid")),
        }
    )


def _what(row: Row, category: str) -> Facts:
    kind, path, second = row["kind"], row.get("path"), row.get("second_path")
    operation = row.get("operation") or ""
    if category == "network":
        return _network(row)
    if not path:
        return {}
    if kind == "module":
        return {"file": file(path)}
    inode, device = row.get("inode"), row.get("device")
    return {
        "file": file(
            path,
            inode=str(inode) if inode else None,
            device=str(device) if device else None,
            target_path=second if kind in ("rename", "link", "symlink") else None,
            type="symlink" if kind == "symlink" else _FILE_TYPES.get(operation),
            mode=operation if kind == "chmod" else None,
        )
    }


def _network(row: Row) -> Facts:
    address, port, transport = row.get("address"), row.get("port"), row.get("transport")
    place = without_nothing(
        {
            "address": address or row.get("path"),
            "ip": ip(address),
            "port": port if port is not None and 0 <= port < 65536 else None,
        }
    )
    listens = row["kind"] == "listen"
    known = ip(address)
    kind = "ipv6" if known and ":" in known else "ipv4" if known else None
    return {
        "source" if listens else "destination": place,
        "network": without_nothing(
            {
                "transport": transport,
                "type": kind,
                "direction": "ingress" if listens else "egress",
            }
        ),
    }
