"""Whether a verdict may be obeyed: every check that stands between a message and a release. Pure.

Whoever steals a NATS password can send anything here and releases nothing by it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from agent.holds.model import Hold
from wire import codec
from wire.errors import MessageError, SignatureError
from wire.ids import HoldId, HostId, VerdictId
from wire.messages import Answer, Ground, HoldStateName, Verdict
from wire.signing import Verifier

# What a centre may give as its ground; the others are the host's own.
_APPROVING = frozenset({Ground.DECISION, Ground.GRANT, Ground.BREAK_GLASS})
# Silence at the centre may end a wait, and never lets anything go.
_DENYING = _APPROVING | {Ground.TIMEOUT_POLICY}
_ENDED = frozenset({HoldStateName.EXPIRED, HoldStateName.CANCELLED, HoldStateName.SUPERSEDED})


@dataclass(frozen=True, slots=True)
class Obey:
    """The verdict is good and its hold waits for it."""

    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Late:
    """The verdict came too late: its hold has ended without it, or its own life is over."""

    verdict: Verdict
    hold: Hold


@dataclass(frozen=True, slots=True)
class Repeated:
    """The very verdict that was dealt with before, delivered again."""

    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing may happen because of this message; `reason` says why, in words."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checker:
    """What a verdict is held against. `find` and `used` look into the journal."""

    host: HostId
    boot_id: str
    verifier: Verifier
    find: Callable[[HoldId], Hold | None]
    used: Callable[[VerdictId], HoldId | None]

    def check(
        self, data: bytes, headers: dict[str, str] | None, boot_ns: int
    ) -> Obey | Late | Repeated | Refused:
        """Say what to do about a message from the verdict stream at `boot_ns`."""
        try:
            self.verifier.check(data, headers)
            verdict = codec.decode_as(data, Verdict)
        except (SignatureError, MessageError) as error:
            return Refused(str(error))
        if verdict.host != self.host:
            return Refused(f"verdict {verdict.verdict} is for host {verdict.host}, not this one")
        spent = self.used(verdict.verdict)
        if spent is not None:
            if spent == verdict.hold:
                return Repeated(verdict)
            return Refused(f"verdict {verdict.verdict} was used before, on hold {spent}")
        hold = self.find(verdict.hold)
        if hold is None:
            return Refused(f"hold {verdict.hold} is not one of this host")
        problem = self._mismatch(verdict, hold)
        if problem:
            return Refused(f"hold {hold.id}: {problem}")
        if hold.state in _ENDED:
            return Late(verdict, hold)
        if not hold.waiting:
            return Refused(f"hold {hold.id} is {hold.state} already and waits for no answer")
        if hold.deadline_boot_ns and boot_ns >= hold.deadline_boot_ns:
            # Whatever the verdict says of its own life, and though the wait is not closed yet.
            return Refused(f"hold {hold.id}: its deadline has come")
        if verdict.expires_boot_ns and boot_ns >= verdict.expires_boot_ns:
            return Late(verdict, hold)
        return Obey(verdict)

    def _mismatch(self, verdict: Verdict, hold: Hold) -> str:
        if verdict.boot_id != self.boot_id or hold.boot_id != self.boot_id:
            return f"verdict {verdict.verdict} is for another boot of this host"
        if verdict.digest != hold.digest:
            return f"verdict {verdict.verdict} is about another act (its digest differs)"
        allowed = _APPROVING if verdict.answer is Answer.APPROVE else _DENYING
        if verdict.ground not in allowed:
            return (
                f"verdict {verdict.verdict} says {verdict.answer} on the ground {verdict.ground}, "
                "which no centre may give for that"
            )
        if hold.deadline_boot_ns and not verdict.expires_boot_ns:
            return f"verdict {verdict.verdict} has no expiry and the hold has"
        return ""
