"""What was held, said and decided as OCSF: findings, orders on entities, hosts. See docs/export.md.

A hold is a Detection Finding that waits for people: what they say and what the host does are
updates of the same finding, whose uid is that of the hold.
"""

import shlex
from collections.abc import Callable, Mapping

from collector.export.ocsf_base import (
    ACCOUNT,
    AUTHENTICATION,
    BASE,
    ENTITY,
    FINDING,
    HIGH,
    INFORMATIONAL,
    INVENTORY,
    LOW,
    MEDIUM,
    OF_RULE,
    OTHER,
    Activity,
    Names,
    device,
    made,
)
from collector.export.values import Facts, Row, base_name, ip, milliseconds, plain, without_nothing

_CREATE, _UPDATE, _CLOSE = (
    Activity(FINDING, number, name) for number, name in ((1, "Create"), (2, "Update"), (3, "Close"))
)
_NEW, _IN_PROGRESS, _RESOLVED = (1, "New"), (2, "In Progress"), (4, "Resolved")
_ENDS = frozenset({"released", "killed", "refused", "cancelled", "superseded"})
_ALLOWED, _DENIED = ((1, "Allowed"), (8, "Approved")), ((2, "Denied"), (2, "Blocked"))
_WAITS = ((OTHER, "Asked"), (14, "Delayed"))
_OF_STATE = {
    "approved": _ALLOWED,
    "released": ((1, "Allowed"), (1, "Allowed")),
    "denied": _DENIED,
    "expired": _DENIED,
    "killed": _DENIED,
    "refused": _DENIED,
}
_OF_ANSWER = {"approve": _ALLOWED, "deny": _DENIED}
# Held text of which there is much, and the exact bytes, which only Parquet, CSV and jsonl have.
_LEFT_OUT = frozenset({"id", "message", "act"})

_Shape = Callable[[Row, Names], tuple[Activity, int, Facts]]


def record(table: str, time: str, row: Row, names: Names) -> Facts:
    """Return a record of a table; `time` is the column of its time."""
    activity, severity, facts = _SHAPES.get(table, _other)(row, names)
    unmapped = {name: plain(value) for name, value in row.items() if name not in _LEFT_OUT}
    return made(
        activity,
        row,
        table=table,
        time_ns=row[time],
        severity=severity,
        facts=facts,
        unmapped=unmapped,
    )


def _control(outcome: tuple[tuple[int, str], tuple[int, str]] | None) -> Facts:
    if outcome is None:
        return {}
    (action_id, action), (disposition_id, disposition) = outcome
    return {
        "action_id": action_id,
        "action": action,
        "disposition_id": disposition_id,
        "disposition": disposition,
    }


def _status(status: tuple[int, str]) -> Facts:
    return {"status_id": status[0], "status": status[1]}


def _finding(uid: str, title: str, **more: object) -> Facts:
    return {"finding_info": without_nothing({"uid": uid or "unknown", "title": title, **more})}


def _said_by(name: str) -> Facts:
    return {"actor": {"user": {"name": name}}} if name else {"actor": {"app_name": "holdfast"}}


def _hold(row: Row, names: Names) -> tuple[Activity, int, Facts]:
    process = without_nothing(
        {
            "pid": row["pid"],
            "name": base_name(row["executable"]),
            "path": row["executable"],
            "cmd_line": shlex.join(row["argv"] or ()),
            "working_directory": row["cwd"],
            "user": without_nothing({"uid": str(row["uid"]), "name": row["user"]}),
        }
    )
    facts = {
        **_finding(
            row["hold"],
            f"{row['kind']} held by {row['rule']}",
            desc=row["rule_description"],
            types=["hold"],
            created_time=milliseconds(row["opened_ns"]),
            analytic=without_nothing(
                {
                    "type_id": 1,
                    "type": "Rule",
                    "uid": row["rule"] or "unknown",
                    "desc": row["rule_description"],
                }
            ),
        ),
        "evidences": [{"process": process, "name": row["kind"]}],
        "device": device(row["host"], names),
        "actor": without_nothing({"process": process, "app_name": row["subject"]}),
        "policy": without_nothing({"uid": row["rule"] or "unknown", "version": row["ruleset"]}),
        "message": row["claim"],
        "is_alert": True,
        **_status(_NEW),
        **_control(_WAITS),
    }
    return _CREATE, OF_RULE.get(row["severity"], MEDIUM), facts


def _state(row: Row, names: Names) -> tuple[Activity, int, Facts]:
    state = row["state"]
    ended = state in _ENDS
    facts = {
        **_finding(row["hold"], f"hold is {state}", modified_time=milliseconds(row["time_ns"])),
        **_status(_RESOLVED if ended else _IN_PROGRESS),
        **_control(_OF_STATE.get(state)),
        **_said_by(row["by"]),
        "device": device(row["host"], names),
        "status_code": row["ground"],
        "status_detail": row["detail"],
        "comment": row["reason"],
    }
    return _CLOSE if ended else _UPDATE, INFORMATIONAL, facts


def _answered(what: str) -> _Shape:
    def shape(row: Row, _: Names) -> tuple[Activity, int, Facts]:
        answer = row.get("answer")
        facts = {
            **_finding(
                row["request"],
                f"{what}: {answer or 'remark'}",
                modified_time=milliseconds(row["time_ns"]),
            ),
            **_status(_IN_PROGRESS),
            **_control(_OF_ANSWER.get(answer or "") if what == "decision" else None),
            **_said_by(row["by"]),
            "status_code": row.get("ground"),
            "comment": row.get("reason") or row.get("text"),
        }
        return _UPDATE, INFORMATIONAL, facts

    return shape


def _order(number: int, name: str, kind: str, uid: str, severity: int = INFORMATIONAL) -> _Shape:
    def shape(row: Row, names: Names) -> tuple[Activity, int, Facts]:
        entity = {
            "uid": row[uid] or "unknown",
            "type_id": OTHER,
            "type": kind,
            "name": row.get("subject"),
        }
        facts = {
            "entity": without_nothing(entity),
            **_said_by(row["by"]),
            "comment": row["reason"],
            "device": device(row["host"], names),
            "status_id": 1,
            "status": "Success",
        }
        return Activity(ENTITY, number, name), severity, facts

    return shape


def _effect(row: Row, names: Names) -> tuple[Activity, int, Facts]:
    facts = {
        **_finding(row["hold"], f"{row['state']} by order {row['order_id']}"),
        **_status(_IN_PROGRESS),
        **_control(_OF_STATE.get(row["state"])),
        "device": device(row["host"], names),
    }
    return _UPDATE, INFORMATIONAL, facts


def _host(row: Row, names: Names) -> tuple[Activity, int, Facts]:
    known = device(row["host"], names)
    if not known.get("name"):
        known |= without_nothing({"name": row["name"]})
    known["os"] = without_nothing({**known["os"], "kernel_release": row["kernel"]})
    known["agent_list"] = [
        without_nothing({"name": "holdfast-agent", "type_id": OTHER, "version": row["version"]})
    ]
    return Activity(INVENTORY, 1, "Log"), INFORMATIONAL, {"device": known}


def _break(row: Row, names: Names) -> tuple[Activity, int, Facts]:
    severity = {"broken": HIGH, "fork": HIGH, "gap": MEDIUM}.get(row["kind"], LOW)
    facts = {
        **_finding(row["id"], f"chain of events: {row['kind']}", desc=row["detail"]),
        **_status(_NEW),
        "device": device(row["host"], names),
        "count": row["missing_events"] or None,
    }
    return _CREATE, severity, facts


def _rejected(row: Row, names: Names) -> tuple[Activity, int, Facts]:
    facts = {
        **_finding(row["id"], "a message that was not taken", desc=row["reason"]),
        **_status(_NEW),
        "device": device(row["host"], names) if row["host"] else None,
    }
    return _CREATE, MEDIUM, facts


def _sign_in(row: Row, _: Names) -> tuple[Activity, int, Facts]:
    what, known = row["what"], ip(row["address"])
    place = without_nothing({"ip": known, "name": None if known else row["address"]})
    refused = row["outcome"] == "refused"
    facts: Facts = {
        "user": {"name": row["person"] or "unknown"},
        **(_said_by(row["done_by"]) if row["done_by"] else {}),
        "src_endpoint": place,
        "status_id": 2 if refused else 1,
        "status": "Failure" if refused else "Success",
        "status_detail": row["reason"],
        "count": row["times"],
    }
    severity = LOW if refused else INFORMATIONAL
    if what in ("sign_in", "sign_out"):
        activity = Activity(AUTHENTICATION, *((1, "Logon") if what == "sign_in" else (2, "Logoff")))
        return activity, severity, {**facts, "service": {"name": "holdfast"}}
    if what == "person_removed":
        return Activity(ACCOUNT, 6, "Delete"), severity, facts
    return Activity(ACCOUNT, OTHER, what or "Other"), severity, facts


def _other(row: Row, names: Names) -> tuple[Activity, int, Facts]:
    host = row.get("host")
    facts = {"device": device(str(host), names) if host else None}
    return Activity(BASE, OTHER, "Other"), INFORMATIONAL, facts


_SHAPES: Mapping[str, _Shape] = {
    "holds": _hold,
    "hold_states": _state,
    "votes": _answered("vote"),
    "comments": _answered("comment"),
    "decisions": _answered("decision"),
    "grants": _order(1, "Create", "Grant", "grant"),
    "grant_revocations": _order(4, "Delete", "Grant", "grant"),
    "quarantines": _order(12, "Suspend", "Subject", "quarantine", MEDIUM),
    "quarantine_lifts": _order(13, "Resume", "Subject", "quarantine"),
    "order_effects": _effect,
    "hosts": _host,
    "chain_breaks": _break,
    "rejected": _rejected,
    "sign_ins": _sign_in,
}
