"""What was held, said and decided as ECS. See docs/export.md."""

import shlex
from collections.abc import Mapping
from typing import Any

from collector.export.ecs_base import Names, file, host, made
from collector.export.values import Facts, Row, base_name, ip, without_nothing

_SEVERITY = {"info": 2, "low": 3, "medium": 4, "high": 5, "critical": 6}
_FINDING = ("alert", "intrusion_detection", ("info",))
_SORTS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "holds": _FINDING,
    "hold_states": ("event", "intrusion_detection", ("info",)),
    "votes": ("event", "intrusion_detection", ("info",)),
    "comments": ("event", "intrusion_detection", ("info",)),
    "decisions": ("event", "intrusion_detection", ("info",)),
    "grants": ("event", "iam", ("admin", "creation")),
    "grant_revocations": ("event", "iam", ("admin", "deletion")),
    "quarantines": ("event", "iam", ("admin", "change")),
    "quarantine_lifts": ("event", "iam", ("admin", "change")),
    "order_effects": ("event", "intrusion_detection", ("info",)),
    "hosts": ("asset", "host", ("info",)),
    "chain_breaks": _FINDING,
    "rejected": _FINDING,
}
_OTHER = ("event", "configuration", ("info",))
_ALLOWED = frozenset({"approve", "approved", "released"})
_DENIED = frozenset({"deny", "denied", "expired", "killed", "refused"})
_LEFT_OUT = frozenset({"id", "message", "act", "host"})


def record(table: str, time: str, row: Row, names: Names) -> Facts:
    """Return a record of a table; `time` is the column of its time."""
    kind, category, types = _SORTS.get(table, _OTHER)
    outcome = row.get("answer") or row.get("state")
    if category == "intrusion_detection" and table in ("hold_states", "decisions", "order_effects"):
        types = ("allowed",) if outcome in _ALLOWED else types
        types = ("denied",) if outcome in _DENIED else types
    said: Facts = {
        "kind": kind,
        "category": [category],
        "type": list(types),
        "action": f"{table}:{outcome}" if outcome else table,
        "severity": _SEVERITY.get(row.get("severity") or "", 2),
        "reason": row.get("reason") or row.get("detail"),
    }
    by = row.get("by")
    if table == "sign_ins":
        said |= _signed_in(row)
    facts: Facts = {
        "host": host(row["host"], names) if row.get("host") else None,
        "user": {"name": by} if by else None,
        "rule": without_nothing(
            {"id": row.get("rule"), "description": row.get("rule_description")}
        ),
        "message": row.get("text") or row.get("reason") or row.get("claim") or row.get("detail"),
        **(_held(row) if table == "holds" else {}),
        **(_from(row) if table == "sign_ins" else {}),
    }
    return made(row, table=table, time_ns=row[time], event=said, facts=facts, left_out=_LEFT_OUT)


def _signed_in(row: Row) -> Facts:
    what = row["what"]
    ways = {"sign_in": ("authentication", "start"), "sign_out": ("authentication", "end")}
    category, kind = ways.get(what, ("iam", "admin"))
    return {
        "category": [category],
        "type": [kind],
        "action": f"sign_ins:{what}",
        "outcome": "failure" if row["outcome"] == "refused" else "success",
    }


def _from(row: Row) -> Facts:
    known = ip(row["address"])
    return {
        "source": without_nothing({"address": row["address"], "ip": known}),
        "user": {"name": row["person"]} if row["person"] else None,
    }


def _held(row: Row) -> dict[str, Any]:
    argv = list(row["argv"] or ())
    return {
        "process": without_nothing(
            {
                "pid": row["pid"],
                "executable": row["executable"],
                "name": base_name(row["executable"]),
                "args": argv,
                "args_count": len(argv) if argv else None,
                "command_line": shlex.join(argv) if argv else None,
                "working_directory": row["cwd"],
            }
        ),
        "user": without_nothing({"id": str(row["uid"]), "name": row["user"]}),
        "file": file(row["path"]) if row["path"] else None,
    }
