"""The tables of the trail. Columns are Arrow types; DuckDB's DDL is derived from them.

Times named *_ns are nanoseconds since the epoch (UTC). `received_ns` is the collector's clock.
"""

from dataclasses import dataclass

import pyarrow as pa

from wire.events import COLUMNS, ColumnType

VERSION = 10

_TEXTS = pa.list_(pa.string())
_ARROW = {ColumnType.INT: pa.int64(), ColumnType.TEXT: pa.string(), ColumnType.TEXTS: _TEXTS}
_DUCKDB = {
    pa.int64(): "BIGINT",
    pa.string(): "VARCHAR",
    pa.bool_(): "BOOLEAN",
    pa.binary(): "BLOB",
    _TEXTS: "VARCHAR[]",
}


def sql_type(kind: pa.DataType) -> str:
    """Return DuckDB's name of a type."""
    return _DUCKDB[kind]


@dataclass(frozen=True, slots=True)
class Table:
    """One table; rows whose `key` is there already are left out. No key: every row is kept."""

    name: str
    schema: pa.Schema
    key: tuple[str, ...] = ()

    @property
    def ddl(self) -> str:
        """The statement that makes the table, unless it is there."""
        columns = [
            f'"{column.name}" {_DUCKDB[column.type]}{"" if column.nullable else " NOT NULL"}'
            for column in self.schema
        ]
        if self.key:
            columns.append(f"PRIMARY KEY ({', '.join(self.key)})")
        return f"CREATE TABLE IF NOT EXISTS {self.name} (\n  " + ",\n  ".join(columns) + "\n)"


def _schema(**columns: pa.DataType) -> pa.Schema:
    """Return a schema; a name that ends in `_or_null` may be absent and loses that ending."""
    return pa.schema(
        pa.field(name.removesuffix("_or_null"), kind, nullable=name.endswith("_or_null"))
        for name, kind in columns.items()
    )


_INT, _TEXT, _BOOL, _BYTES = pa.int64(), pa.string(), pa.bool_(), pa.binary()

EVENT_COLUMNS = pa.schema(
    pa.field(column.name, _ARROW[column.type], nullable=column.null) for column in COLUMNS
)
EVENTS = Table(
    # A view over the Parquet files that `segments` names, and over the tail.
    "events",
    # number counts the events of a host from 1; batch is the batch that brought it.
    pa.schema([*_schema(host=_TEXT, number=_INT, batch=_INT), *EVENT_COLUMNS]),
)
EVENTS_TAIL = Table("events_tail", EVENTS.schema)
# In a file, and in the view: made from time_ns, so that a file can be passed over by a time as
# people write it. Columns of an event that come later go behind it in the files.
WHEN = pa.field("when", pa.timestamp("us"))
_BEFORE_WHEN = 32
STORED = pa.schema([*list(EVENTS.schema)[:_BEFORE_WHEN], WHEN, *list(EVENTS.schema)[_BEFORE_WHEN:]])
SEGMENTS = Table(
    "segments",
    _schema(
        file=_TEXT,
        rows=_INT,
        bytes=_INT,
        first_ns=_INT,  # time of its earliest event
        last_ns=_INT,
        level=_INT,  # how often its rows were merged with those of others
        made_ns=_INT,
        columns=_INT,  # how many of those of a file it has; the later ones are absent
        missing_ns_or_null=_INT,  # since when the file is known to be missing
    ),
    key=("file",),
)
BATCHES = Table(
    "batches",
    _schema(
        host=_TEXT,
        sequence=_INT,
        first=_INT,
        count=_INT,
        previous=_TEXT,  # chain digest of the batch before, as the host says
        chain=_TEXT,  # chain digest of this batch
        last_event_ns_or_null=_INT,
        gap_events=_INT,  # events that the host itself reports as lost
        received_ns=_INT,
        chain_version=_INT,  # 2: over the rows; 1: over the message, which is not kept
        groups=_TEXT,  # kind, count and digest of its events of each kind, JSON
    ),
)
CHAIN_BREAKS = Table(
    "chain_breaks",
    _schema(
        host=_TEXT,
        sequence=_INT,
        kind=_TEXT,  # gap, broken, fork, late, contents or unknown_columns
        detail=_TEXT,
        missing_batches=_INT,
        missing_events=_INT,
        received_ns=_INT,
    ),
)
HOLDS = Table(
    "holds",
    _schema(
        hold=_TEXT,
        request=_TEXT,
        host=_TEXT,
        host_name=_TEXT,
        boot_id=_TEXT,
        opened_ns=_INT,
        deadline_boot_ns=_INT,
        deadline_ns=_INT,
        owner=_TEXT,
        rule=_TEXT,
        rule_description=_TEXT,
        severity=_TEXT,
        reason_required=_BOOL,
        on_timeout=_TEXT,
        kill=_TEXT,
        ruleset=_TEXT,
        digest=_TEXT,
        kind=_TEXT,
        guarantee=_TEXT,
        subject=_TEXT,
        session=_TEXT,
        pid=_INT,
        uid=_INT,
        user=_TEXT,
        login_uid_or_null=_INT,
        login_user=_TEXT,
        executable=_TEXT,
        argv=_TEXTS,
        cwd=_TEXT,
        path=_TEXT,
        transport_or_null=_TEXT,
        address=_TEXT,
        port=_INT,
        act=_TEXT,  # the whole act, JSON
        message=_BYTES,  # exactly what the host sent, or the collector for an ask
        received_ns=_INT,
        claim=_TEXT,  # why, in the words of who acts, said before the act; checked by nobody
        claim_ns=_INT,  # when it was said; 0: nothing was
        session_name=_TEXT,  # what the session calls itself
        second_path=_TEXT,
        operation=_TEXT,  # what exactly, in the words of its kind
        target_pid_or_null=_INT,  # trace: the other process
        target_comm=_TEXT,
        on_deny=_TEXT,
        on_no_agent=_TEXT,
    ),
    key=("hold",),
)
HOLD_STATES = Table(
    "hold_states",
    _schema(
        hold=_TEXT,
        host=_TEXT,
        sequence=_INT,
        state=_TEXT,
        time_ns=_INT,
        ground_or_null=_TEXT,
        verdict_or_null=_TEXT,
        by=_TEXT,
        reason=_TEXT,
        detail=_TEXT,
        received_ns=_INT,
        capped_or_null=_TEXT,  # by which hold the summary of its session at the limit goes
        denied_beyond=_INT,  # acts of that session denied by then without asking anybody
    ),
    key=("hold", "sequence"),
)
VOTES = Table(
    "votes",
    _schema(
        vote=_TEXT,
        request=_TEXT,
        by=_TEXT,
        via=_TEXT,
        answer=_TEXT,
        reason=_TEXT,
        digest=_TEXT,
        time_ns=_INT,
        signed_by=_TEXT,  # public key of the collector that knew who it was
        received_ns=_INT,
        groups=_TEXTS,  # of the person, as the centre knew them then
        policy=_TEXT,  # the approval policy that admitted the vote
        counts_for=_TEXTS,  # groups whose quota it may fill; "": any reviewer's
        ground=_TEXT,  # decision, or break_glass
        names=_TEXTS,  # further ones of the person, under which they would count as the same
        also=_TEXTS,  # the other holds that the vote is about, where identical ones were folded
        also_digests=_TEXTS,  # the digests of their acts, one for one
        # For how long, how often and for whom an approval is to count; absent: for this once.
        grant_minutes_or_null=_INT,
        grant_uses_or_null=_INT,
        grant_whole_subject_or_null=_BOOL,
        card=_TEXT,  # digest of the card as it was shown to the person; empty: not known
    ),
    key=("vote",),
)
CARDS = Table(
    "cards",
    # Each card that a vote names, as it was shown.
    _schema(
        card=_TEXT,  # digest of the content
        request=_TEXT,
        content=_TEXT,  # everything on the card, canonical JSON
        signed_by=_TEXT,
        received_ns=_INT,
    ),
    key=("card", "request"),
)
COMMENTS = Table(
    "comments",
    _schema(
        comment=_TEXT,
        request=_TEXT,
        by=_TEXT,
        via=_TEXT,
        text=_TEXT,
        time_ns=_INT,
        signed_by=_TEXT,
        received_ns=_INT,
    ),
    key=("comment",),
)
DECISIONS = Table(
    "decisions",
    _schema(
        request=_TEXT,
        answer=_TEXT,
        ground=_TEXT,
        by=_TEXT,
        via=_TEXT,
        reason=_TEXT,
        digest=_TEXT,
        votes=_TEXTS,
        time_ns=_INT,
        signed_by=_TEXT,
        received_ns=_INT,
        policy=_TEXT,  # the approval policy that it was reached by
    ),
    key=("request",),
)
GRANTS = Table(
    "grants",
    _schema(
        grant=_TEXT,
        host=_TEXT,
        subject=_TEXT,
        session=_TEXT,  # empty: of any session of the subject
        kind=_TEXT,
        rule=_TEXT,
        what=_TEXT,
        uses=_INT,
        boot_id=_TEXT,
        expires_boot_ns=_INT,
        expires_ns=_INT,
        request=_TEXT,
        by=_TEXT,
        via=_TEXT,
        reason=_TEXT,
        time_ns=_INT,
        message=_BYTES,  # exactly what the collector signed
        signed_by=_TEXT,
        received_ns=_INT,
    ),
    key=('"grant"',),
)
_ENDS = {
    "order_id": _TEXT,
    "host": _TEXT,
    "by": _TEXT,
    "via": _TEXT,
    "reason": _TEXT,
    "time_ns": _INT,
    "message": _BYTES,
    "signed_by": _TEXT,
    "received_ns": _INT,
}
GRANT_REVOCATIONS = Table("grant_revocations", _schema(grant=_TEXT, **_ENDS), key=("order_id",))
QUARANTINES = Table(
    "quarantines",
    # One row for each host, and one more each time that it was told again.
    _schema(quarantine=_TEXT, subject=_TEXT, everywhere=_BOOL, **_ENDS),
    key=("order_id",),
)
QUARANTINE_LIFTS = Table("quarantine_lifts", _schema(quarantine=_TEXT, **_ENDS), key=("order_id",))
ORDER_EFFECTS = Table(
    "order_effects",
    # A hold that a grant has let pass, or a quarantine has ended.
    _schema(hold=_TEXT, host=_TEXT, order_id=_TEXT, state=_TEXT, time_ns=_INT, received_ns=_INT),
    key=("hold", "order_id"),
)
HOSTS = Table(
    "hosts",
    _schema(
        record=_TEXT,  # digest of what the host said of itself
        host=_TEXT,
        name=_TEXT,
        mode=_TEXT,
        kernel=_TEXT,
        version=_TEXT,
        boot_id=_TEXT,
        subjects=_TEXTS,
        ruleset=_TEXT,
        started_ns=_INT,
        received_ns=_INT,
        without_effect=_TEXTS,  # rules that its mode cannot put into effect
    ),
    key=("record",),
)
SIGN_INS = Table(
    "sign_ins",
    # What was done with who is let in, from the collector's own file of identities.
    _schema(
        sign_in=_TEXT,
        what=_TEXT,  # sign_in, sign_out, token_made, token_revoked, account_linked, person_removed
        outcome=_TEXT,  # ok or refused
        person=_TEXT,  # empty: nobody is proved
        role=_TEXT,
        via=_TEXT,  # browser, device, token, slack or another channel, administration
        proof=_TEXT,  # what proves the person from then on or was ended: an id, never a secret
        identity=_TEXT,  # the provider's own name for the person, with the provider
        reason=_TEXT,  # of a refusal
        address=_TEXT,  # of the network, empty where it is not known
        done_by=_TEXT,  # another than the person: who ran the command
        times=_INT,  # how many the row stands for: refusals that are the same are told together
        time_ns=_INT,  # of the first of them
        seen_by=_TEXT,  # public key of the collector
        received_ns=_INT,
    ),
    key=("sign_in",),
)
REJECTED = Table(
    "rejected",
    _schema(
        stream=_TEXT,
        stream_sequence=_INT,
        subject=_TEXT,
        host_or_null=_TEXT,  # whose subject it came in on; NATS admits only that host there
        reason=_TEXT,
        digest=_TEXT,  # SHA-256 of the bytes
        bytes=_INT,
        received_ns=_INT,
    ),
    key=("stream", "stream_sequence", "digest"),
)
CHECKPOINTS = Table(
    "checkpoints",
    _schema(
        number=_INT,
        time_ns=_INT,
        previous=_TEXT,  # digest of the line of the checkpoint before
        digest=_TEXT,  # of this line
        signed_by=_TEXT,
        line=_TEXT,  # exactly what was signed, with the signature
    ),
    key=("number",),
)
TOMBSTONES = Table(
    "tombstones",
    # Events that retention has dropped: those of one kind in some batches of a host.
    _schema(
        tombstone=_TEXT,
        host=_TEXT,
        kind=_TEXT,  # empty: all kinds, of batches whose events cannot be told apart by kind
        first_batch=_INT,
        last_batch=_INT,
        events=_INT,
        first_ns=_INT,  # time of the earliest of them
        last_ns=_INT,
        reason=_TEXT,  # age or size
        kept_ns=_INT,  # for how long the policy wanted them kept, from when they were received
        policy=_TEXT,  # as it was then, JSON
        time_ns=_INT,  # when they were dropped
        signed_by=_TEXT,  # public key of the collector
        signature=_TEXT,
    ),
    key=("tombstone",),
)
ANCHORS = Table(
    "anchors",
    # What an anchor outside has answered when a checkpoint was given to it.
    _schema(checkpoint=_INT, anchor=_TEXT, receipt=_TEXT, time_ns=_INT),
    key=("checkpoint", "anchor"),
)

TABLES: tuple[Table, ...] = (
    EVENTS_TAIL,
    SEGMENTS,
    BATCHES,
    CHAIN_BREAKS,
    HOLDS,
    HOLD_STATES,
    VOTES,
    CARDS,
    COMMENTS,
    DECISIONS,
    GRANTS,
    GRANT_REVOCATIONS,
    QUARANTINES,
    QUARANTINE_LIFTS,
    ORDER_EFFECTS,
    HOSTS,
    SIGN_INS,
    REJECTED,
    CHECKPOINTS,
    TOMBSTONES,
    ANCHORS,
)
