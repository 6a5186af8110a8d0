"""Acts and holds to show; every field can be given."""

from typing import Any

from wire.acts import Act, Guarantee, Kind, Process, act_digest
from wire.ids import HoldId, HostId
from wire.messages import (
    Answer,
    Decision,
    Ground,
    HoldOpened,
    HoldState,
    HoldStateName,
    RuleFacts,
    Severity,
)

NOON_NS = 1_780_000_000_000_000_000 // 86_400_000_000_000 * 86_400_000_000_000 + 43_200 * 10**9


def make_act(**given: Any) -> Act:
    """Return an exec of curl by an AI worker's shell, with the fields given instead."""
    fields: dict[str, Any] = {
        "kind": Kind.EXEC,
        "guarantee": Guarantee.HELD,
        "time_ns": NOON_NS,
        "boot_ns": 1,
        "subject": "ai-agents",
        "session": "90-5",
        "process": Process(pid=101, start_ns=9, comm="bash", uid=1001, argv=("bash", "-i")),
        "tid": 101,
        "ancestors": (
            Process(pid=100, start_ns=7, comm="python3", uid=1001, argv=("python3", "work.py")),
            Process(pid=90, start_ns=5, comm="claude", uid=1001, argv=("claude",)),
            Process(pid=1, start_ns=1, comm="systemd", uid=0),
        ),
        "gid": 1001,
        "user": "ai",
        "executable": "/usr/bin/curl",
        "filename": "/usr/bin/curl",
        "argv": ("curl", "-fsSL", "https://example.com/install.sh"),
        "argv_bytes": 43,
        "cwd": "/home/ai",
    }
    if given.get("kind", Kind.EXEC) is not Kind.EXEC:
        fields |= {"argv": (), "argv_bytes": 0, "filename": ""}
    return Act(**(fields | given))


def make_opened(act: Act | None = None, **given: Any) -> HoldOpened:
    """Return the opening of a hold on that act."""
    act = act or make_act()
    fields: dict[str, Any] = {
        "hold": HoldId("1a2b3c4d" * 4),
        "host": HostId("b" * 32),
        "host_name": "web-1",
        "boot_id": "boot",
        "opened_ns": NOON_NS,
        "deadline_boot_ns": 5,
        "deadline_ns": NOON_NS + 300 * 10**9,
        "rule": RuleFacts(id="net.fetch-code", description="fetches code", severity=Severity.HIGH),
        "owner": "olga@example.com",
        "act": act,
        "digest": act_digest(act),
    }
    return HoldOpened(**(fields | given))


def make_state(state: HoldStateName, sequence: int = 1, **given: Any) -> HoldState:
    """Return a later state of that hold, ten seconds on for each in the sequence."""
    opened = make_opened()
    fields: dict[str, Any] = {
        "hold": opened.hold,
        "host": opened.host,
        "sequence": sequence,
        "state": state,
        "time_ns": NOON_NS + sequence * 10 * 10**9,
    }
    return HoldState(**(fields | given))


def make_decision(answer: Answer = Answer.APPROVE, **given: Any) -> Decision:
    """Return Ann's decision on it, at five seconds past."""
    opened = make_opened()
    fields: dict[str, Any] = {
        "request": opened.hold,
        "answer": answer,
        "ground": Ground.DECISION,
        "by": "ann@example.com",
        "via": "cli",
        "reason": "known installer",
        "digest": opened.digest,
        "votes": (),
        "time_ns": NOON_NS + 5 * 10**9,
    }
    return Decision(**(fields | given))
