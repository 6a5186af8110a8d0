"""Holds and verdicts as values, for tests without processes."""

from agent.holds.model import Hold, Voice
from agent.release import ProcessId
from agent.sensor.interface import HeldKey
from wire.ids import HoldId, HostId, VerdictId, new_id, request_of
from wire.messages import Answer, Ground, Verdict

HOST = HostId("a" * 32)


ONE = ProcessId(2, 1)


def hold_of(process: ProcessId = ONE, number: int = 1, **changes: object) -> Hold:
    """Return a hold that waits."""
    values: dict[str, object] = {
        "id": HoldId(new_id()),
        "key": HeldKey(number),
        "process": process,
        "session": "1-1",
        "act_boot_ns": number,
        "boot_id": "boot-1",
        "digest": "d",
        "voice": Voice.STATES,
    } | changes
    return Hold(**values)  # type: ignore[arg-type]


def verdict_on(hold: Hold, answer: Answer) -> Verdict:
    """Return a verdict on a hold."""
    return Verdict(
        verdict=VerdictId(new_id()),
        host=HOST,
        hold=hold.id,
        request=request_of(hold.id),
        digest=hold.digest,
        answer=answer,
        ground=Ground.DECISION,
        by="ann",
        via="cli",
        reason="",
        boot_id=hold.boot_id,
        expires_boot_ns=hold.deadline_boot_ns,
        time_ns=1,
    )
