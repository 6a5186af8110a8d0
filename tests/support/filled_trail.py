"""A trail with a week of holds in it: approved, denied, expired, and let go by break-glass."""

from dataclasses import replace

import duckdb

from collector.trail.rows import (
    Row,
    arrow_of,
    decision_row,
    host_row,
    opened_row,
    state_row,
    vote_row,
)
from collector.trail.schema import BATCHES, CHAIN_BREAKS
from tests.support.wire_host import BOOT, exec_act, opened, rule, state
from wire.ids import HoldId, HostId, RequestId, VoteId
from wire.messages import (
    Answer,
    Decision,
    Ground,
    HoldOpened,
    HoldStateName,
    HostRecord,
    Severity,
    Vote,
)

HOST = HostId("a" * 32)
SILENT = HostId("5" * 32)
# Monday, 1 June 2026, 09:00 UTC, and the end of the Sunday after it.
BEGIN_NS = 1_780_304_400 * 10**9
END_NS = BEGIN_NS + 7 * 86_400 * 10**9
S = 10**9
HOUR = 3600 * S
_KEY = "k" * 44


def add(trail: duckdb.DuckDBPyConnection, *rows: Row) -> None:
    """Write rows as the writer of the trail does: those of one table together."""
    by_table: dict[str, list[Row]] = {}
    for row in rows:
        by_table.setdefault(row.table.name, []).append(row)
    for name, same in by_table.items():
        trail.register("incoming", arrow_of(same[0].table, same))
        trail.execute(f"INSERT INTO {name} BY NAME SELECT * FROM incoming")  # noqa: S608
        trail.unregister("incoming")


def hold_at(number: int, time_ns: int, *argv: str, owner: str = "lee@example.com") -> HoldOpened:
    """Return a hold that was opened then; its id follows from its number."""
    act = exec_act(*argv, time_ns=time_ns)
    severity = (Severity.LOW, Severity.HIGH, Severity.CRITICAL)[number % 3]
    facts = rule(id=("net.upload", "db.export", "pkg.install")[number % 3], severity=severity)
    made = opened(HOST, act=act, rule_facts=facts, owner=owner, hold=f"{number:032x}")
    return replace(made, opened_ns=time_ns, deadline_ns=time_ns + 300 * S)


def vote_at(number: int, hold: HoldOpened, by: str, answer: Answer, after_s: float) -> Vote:
    """Return what a person said so many seconds after the opening."""
    return Vote(
        vote=VoteId(f"{number:032x}"),
        request=RequestId(hold.hold),
        by=by,
        via="web",
        answer=answer,
        reason="agreed in the ticket" if answer is Answer.APPROVE else "not without a ticket",
        digest=hold.digest,
        time_ns=hold.opened_ns + int(after_s * S),
    )


def decision_of(hold: HoldOpened, *votes: Vote, ground: Ground = Ground.DECISION) -> Decision:
    """Return what the votes came to."""
    last = votes[-1]
    return Decision(
        request=RequestId(hold.hold),
        answer=last.answer,
        ground=ground,
        by=", ".join(vote.by for vote in votes),
        via="web",
        reason=last.reason,
        digest=hold.digest,
        votes=tuple(vote.vote for vote in votes),
        time_ns=last.time_ns,
    )


def settled(hold: HoldOpened, *votes: Vote, ground: Ground = Ground.DECISION) -> list[Row]:
    """Return the rows of a hold, the votes, their decision and what the host did of it."""
    made = decision_of(hold, *votes, ground=ground)
    approved = made.answer is Answer.APPROVE
    ended = HoldStateName.APPROVED if approved else HoldStateName.DENIED
    done = HoldStateName.RELEASED if approved else HoldStateName.KILLED
    states = [
        replace(
            state(hold, sequence, name, ground=ground),
            time_ns=made.time_ns + sequence * 10**6,
            by=made.by,
            reason=made.reason,
        )
        for sequence, name in enumerate((ended, done), 1)
    ]
    return [
        opened_row(hold, b"", hold.opened_ns),
        *(vote_row(vote, _KEY, vote.time_ns) for vote in votes),
        decision_row(made, _KEY, made.time_ns),
        *(state_row(said, said.time_ns) for said in states),
    ]


def expired(hold: HoldOpened) -> list[Row]:
    """Return the rows of a hold that nobody answered."""
    return [
        opened_row(hold, b"", hold.opened_ns),
        *(
            state_row(
                replace(
                    state(hold, sequence, name, ground=Ground.TIMEOUT_POLICY),
                    time_ns=hold.deadline_ns,
                ),
                hold.deadline_ns,
            )
            for sequence, name in enumerate((HoldStateName.EXPIRED, HoldStateName.KILLED), 1)
        ),
    ]


def fill(trail: duckdb.DuckDBPyConnection) -> None:
    """Write a week: 40 holds decided by three people, 4 that expired, a use of break-glass."""
    people = ("ann@example.com", "bob@example.com", "zoe@example.com")
    rows: list[Row] = []
    for number in range(1, 41):
        hold = hold_at(number, BEGIN_NS + number * 4 * HOUR, "pg_dump", f"db{number % 4}")
        answer = Answer.DENY if number % 5 == 0 else Answer.APPROVE
        rows += settled(hold, vote_at(number, hold, people[number % 3], answer, 3 + number * 2))
    for number in range(41, 45):
        rows += expired(hold_at(number, BEGIN_NS + number * HOUR, "curl", "https://example.net"))
    glass = hold_at(50, BEGIN_NS + 30 * HOUR, "systemctl", "restart", "db")
    vote = vote_at(50, glass, "zoe@example.com", Answer.APPROVE, 20)
    vote = replace(vote, ground=Ground.BREAK_GLASS)
    rows += settled(glass, vote, ground=Ground.BREAK_GLASS)
    for host, host_name, mode in ((HOST, "web-1", "gate"), (SILENT, "web-2", "stop")):
        record = HostRecord(
            host=host,
            name=host_name,
            mode=mode,
            kernel="6.1.0",
            version="0.1.0",
            boot_id=BOOT,
            subjects=("ai-worker",),
            ruleset="r" * 64,
            started_ns=BEGIN_NS - HOUR,
        )
        rows.append(host_row(record, host * 2, BEGIN_NS - HOUR))
    for sequence in range(1, 8):
        when = BEGIN_NS + sequence * 20 * HOUR
        values = {
            "host": HOST,
            "sequence": sequence,
            "first": sequence * 10 - 9,
            "count": 10,
            "previous": "0" * 64,
            "chain": f"{sequence:064x}",
            "last_event_ns": when - S,
            "gap_events": 0,
            "received_ns": when,
            "chain_version": 1,
            "groups": "[]",
        }
        rows.append(Row(BATCHES, values))
    add(trail, *rows)


def lose_batches(trail: duckdb.DuckDBPyConnection) -> None:
    """Write that two batches of the host never came."""
    values = {
        "host": HOST,
        "sequence": 6,
        "kind": "gap",
        "detail": "2 batches are missing",
        "missing_batches": 2,
        "missing_events": 20,
        "received_ns": BEGIN_NS + 5 * HOUR,
    }
    add(trail, Row(CHAIN_BREAKS, values))


def release_unexplained(trail: duckdb.DuckDBPyConnection) -> HoldId:
    """Write a release whose decision the centre never made."""
    hold = hold_at(60, BEGIN_NS + 33 * HOUR, "scp", "dump", "far:")
    add(trail, opened_row(hold, b"", hold.opened_ns))
    said = state(hold, 1, HoldStateName.RELEASED, ground=Ground.DECISION)
    add(trail, state_row(replace(said, time_ns=hold.opened_ns + S), hold.opened_ns + S))
    return hold.hold
