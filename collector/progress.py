"""One line that says where a request stands, from what people decided and what the host did.

It turns to "released" or "killed" only on the host's own word.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from collector.sanitize import clean
from wire.acts import Kind
from wire.messages import Answer, Decision, Ground, HoldOpened, HoldState, HoldStateName

_GROUNDS = {
    Ground.DECISION: "decided",
    Ground.GRANT: "covered by a grant",
    Ground.RULE: "by the rule",
    Ground.TIMEOUT_POLICY: "nobody answered in time, as the rule or the policy says",
    Ground.BREAK_GLASS: "break-glass",
    Ground.EMERGENCY: "emergency",
    Ground.WITHDRAWN: "withdrawn",
}
_ENDS = {
    HoldStateName.APPROVED,
    HoldStateName.DENIED,
    HoldStateName.EXPIRED,
    HoldStateName.CANCELLED,
    HoldStateName.SUPERSEDED,
}
_OUTCOMES = {
    HoldStateName.RELEASED: "released",
    HoldStateName.KILLED: "killed",
    HoldStateName.REFUSED: "refused",
}
_VERBS = {Answer.APPROVE: "approved", Answer.DENY: "denied"}
_NAME_LIMIT = 80


def state_line(
    opened: HoldOpened,
    states: Sequence[HoldState] = (),
    decision: Decision | None = None,
    notes: Sequence[str] = (),
) -> str:
    """Return where the request stands, with what the centre has remarked; times are UTC."""
    ordered = sorted(states, key=lambda state: state.sequence)
    end = next((state for state in ordered if state.state in _ENDS), None)
    outcome = next((state for state in ordered if state.state in _OUTCOMES), None)
    line = _wait(opened, end, outcome, decision)
    if decision is not None and end is not None and _too_late(end, decision):
        line += f"; too late: {_said(decision)}"
    return "; ".join((line, *notes))


def _wait(
    opened: HoldOpened,
    end: HoldState | None,
    outcome: HoldState | None,
    decision: Decision | None,
) -> str:
    if outcome is not None:
        return f"{_OUTCOMES[outcome.state]} at {clock(outcome.time_ns)}: {_cause(end, outcome)}"
    if end is not None:
        return _ended(end)
    if decision is not None:
        if opened.act.kind is Kind.ASK:
            return _said(decision)
        return f"{_said(decision)}, waiting for the host to confirm"
    if opened.grant is not None:
        return f"covered by grant {opened.grant[:8]}, waiting for the host to confirm"
    if opened.deadline_ns:
        return f"waiting until {clock(opened.deadline_ns)}"
    return "waiting, without a deadline"


def _cause(end: HoldState | None, outcome: HoldState) -> str:
    """Say why the host did it: who decided, or which other ground there was."""
    source = outcome if outcome.ground is not None or end is None else end
    if end is not None and end.state in (HoldStateName.APPROVED, HoldStateName.DENIED):
        by = end.by or outcome.by
        if by and source.ground in (None, Ground.DECISION):
            return f"{end.state.value} by {_name(by)}"
    if source.ground is not None:
        by = f", {_name(source.by)}" if source.by else ""
        return _GROUNDS[source.ground] + by
    return "the host named no ground" if end is None else end.state.value


def _ended(end: HoldState) -> str:
    when = clock(end.time_ns)
    if end.state is HoldStateName.EXPIRED:
        return f"expired at {when}: nobody answered in time"
    if end.state is HoldStateName.CANCELLED:
        return (
            f"cancelled at {when}: the process ended before an answer took effect; whether "
            "somebody let it run on before that is not known"
        )
    if end.state is HoldStateName.SUPERSEDED:
        by = f" by {_name(end.by)}" if end.by else ""
        cause = f"{_name(end.detail)}{by}" if end.detail else "a newer order or rule has settled it"
        return f"superseded at {when}: {cause}"
    by = f" by {_name(end.by)}" if end.by else ""
    return f"{end.state.value}{by} at {when}, waiting for the host to confirm"


def _too_late(end: HoldState, decision: Decision) -> bool:
    """Say whether the wait was over for another reason before the decision could count."""
    if end.state in (HoldStateName.APPROVED, HoldStateName.DENIED):
        return end.state.value != _VERBS[decision.answer]
    # Silence that was decided at the centre ends the wait itself.
    return (end.state, decision.ground) != (HoldStateName.EXPIRED, Ground.TIMEOUT_POLICY)


def _said(decision: Decision) -> str:
    if decision.ground is Ground.TIMEOUT_POLICY:
        return f"expired at {clock(decision.time_ns)}: nobody decided in time"
    if decision.ground is Ground.BREAK_GLASS:
        return f"break-glass by {_name(decision.by)} at {clock(decision.time_ns)}"
    if decision.ground is Ground.WITHDRAWN:
        return f"withdrawn by {_name(decision.by)} at {clock(decision.time_ns)}"
    return f"{_VERBS[decision.answer]} by {_name(decision.by)} at {clock(decision.time_ns)}"


def _name(text: str) -> str:
    return clean(text, _NAME_LIMIT).text


def clock(time_ns: int) -> str:
    """Return the time of day in UTC."""
    try:
        return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).strftime("%H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        # A host may send any number; its card must still be shown.
        return "an impossible time"
