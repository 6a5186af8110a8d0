"""Further facts of the week in filled_trail: events, a grant and its uses, a quarantine."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import duckdb

from collector.trail.event_rows import event_rows
from collector.trail.orders import effect_row, order_row
from collector.trail.rows import Row, opened_row, state_row
from collector.trail.writer import Writer
from tests.support.filled_trail import BEGIN_NS, HOST, HOUR, S, add, hold_at
from tests.support.wire_host import BOOT, batch, state
from wire.acts import Kind
from wire.codec import encode
from wire.ids import OrderId, RequestId
from wire.messages import EventBatch, Ground, HoldStateName
from wire.orders import Grant, Quarantine, QuarantineLifted, covered

_KEY = "k" * 44
SESSION = "100-5000"
ACTOR = {"subject": "ai-worker", "session": SESSION, "pid": 4242, "tid": 4242, "uid": 1001}


def fill_acts(trail: duckdb.DuckDBPyConnection) -> None:
    """Write what the AI session did on the first morning, as its host's agent tells it."""
    first = BEGIN_NS + 10 * 60 * S
    acts: list[dict[str, object]] = [
        {"kind": "exec", "program": "/usr/bin/git", "argv": ["git", "pull"], "count": 1},
        {"kind": "exec", "program": "/usr/bin/make", "argv": ["make", "-j4"], "count": 1},
        {"kind": "open", "program": "make", "path": "/srv/app/Makefile", "flags": "read"},
        {"kind": "open", "program": "cat", "path": "/etc/passwd", "flags": "read", "count": 3},
        {"kind": "open", "program": "cat", "path": "/etc/shadow", "flags": "read", "result": -13},
        {"kind": "exec", "program": "/usr/bin/git", "argv": ["git", "push"], "count": 1},
        {
            "kind": "connect",
            "program": "git",
            "transport": "tcp",
            "address": "192.0.2.7",
            "port": 443,
            "rule": "net.observe",
            "count": 2,
        },
        {
            "kind": "connect",
            "program": "curl",
            "transport": "tcp",
            "address": "198.51.100.9",
            "port": 25,
            "rule": "net.mail",
            "result": -13,
        },
    ]
    rows = [
        {"result": 0, "action": "observe", "guarantee": "held", "count": 1}
        | ACTOR
        | act
        | {"time_ns": first + number * 60 * S}
        for number, act in enumerate(acts)
    ]
    rows.append({"kind": "gap", "time_ns": first + HOUR, "count": 5, "detail": "ring: full"})
    told = batch(HOST, 8, 71, rows, previous=f"{7:064x}")
    _write(trail, told)


def fill_orders(trail: duckdb.DuckDBPyConnection) -> None:
    """Write a grant that was used twice, and a quarantine that was lifted."""
    asked = hold_at(4, BEGIN_NS + 16 * HOUR, "pg_dump", "db0")
    grant = Grant(
        order=OrderId("9" * 32),
        host=HOST,
        subject="ai-worker",
        session=SESSION,
        covers=covered(replace(asked.act, kind=Kind.EXEC), asked.rule.id, None),
        uses=3,
        boot_id=BOOT,
        expires_boot_ns=HOUR,
        expires_ns=BEGIN_NS + 17 * HOUR,
        request=RequestId(asked.hold),
        by="bob@example.com",
        via="web",
        reason="the nightly dump, three tries",
        time_ns=BEGIN_NS + 16 * HOUR,
    )
    rows: list[Row] = [order_row(grant, b"grant", _KEY, grant.time_ns)]
    for number in (90, 91):
        used = hold_at(number, grant.time_ns + number * 10 * S, "pg_dump", "db0")
        rows.append(opened_row(used, b"", used.opened_ns))
        for sequence, name in enumerate((HoldStateName.APPROVED, HoldStateName.RELEASED), 1):
            said = replace(
                state(used, sequence, name, ground=Ground.GRANT),
                time_ns=used.opened_ns + sequence * 10**6,
                order=grant.order,
                by=grant.by,
                reason=grant.reason,
            )
            rows.append(state_row(said, said.time_ns))
            if name is HoldStateName.APPROVED:
                rows.append(effect_row(said, said.time_ns))
    stopped = Quarantine(
        order=OrderId("7" * 32),
        host=HOST,
        quarantine=OrderId("8" * 32),
        subject="ai-worker",
        everywhere=False,
        by="ann@example.com",
        via="slack",
        reason="it sends mail",
        time_ns=BEGIN_NS + 50 * HOUR,
    )
    lifted = QuarantineLifted(
        order=OrderId("6" * 32),
        host=HOST,
        quarantine=stopped.quarantine,
        by="zoe@example.com",
        via="web",
        reason="a test of the mail server, agreed",
        time_ns=BEGIN_NS + 52 * HOUR,
    )
    rows += [order_row(one, b"order", _KEY, one.time_ns) for one in (stopped, lifted)]
    add(trail, *rows)


def _write(trail: duckdb.DuckDBPyConnection, told: EventBatch) -> None:
    packed = encode(told)
    rows = event_rows(told, packed)

    async def write() -> None:
        writer = Writer(trail, on_fatal=lambda why: None)
        try:
            await writer.write(batches=[rows])
        finally:
            await asyncio.to_thread(writer.close)

    # A loop of its own, whether or not one runs here.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, write()).result()
