"""Whether an answer may be given: who, to what, with which words. Pure; asked at that moment."""

from dataclasses import dataclass

from collector.approvals.applied import Applied
from collector.approvals.own import own_request, own_subject
from collector.approvals.record import Outcome, Record, RequestState
from collector.approvals.tally import missing_words, tally
from collector.errors import Refusal
from collector.identity.names import forms_of
from collector.identity.people import Caller
from collector.policy.model import Unknown
from collector.redact import REDACTOR
from wire.messages import Answer, Ground, Vote

LONGEST_REASON = 4000
LONGEST_COMMENT = 8000


@dataclass(frozen=True, slots=True)
class MayDecide:
    """Whether a caller may answer a request, and why not.

    `approved`: they have, and others are still asked; what is left to them is to deny it after all.
    """

    allowed: bool
    why: str
    approved: bool = False


def may_decide(record: Record, caller: Caller, applied: Applied, now_ns: int) -> MayDecide:
    """Return what the checks would say, for showing beside the request."""
    try:
        check_caller(record, caller, applied, now_ns)
        check_open(record)
        check_in_time(applied, now_ns)
    except Refusal as refusal:
        return MayDecide(False, refusal.message)
    whole, counts_for = applied.known.whole(caller), applied.counts_for(caller, now_ns)
    if voted_before(record, whole, Answer.APPROVE, counts_for) is not None:
        policy = applied.policy
        missing = missing_words(tally(record.votes, policy.approve, policy.break_glass).missing)
        return MayDecide(False, f"you have approved; still asked: {missing}", approved=True)
    return MayDecide(True, "")


def check_caller(record: Record, caller: Caller, applied: Applied, now_ns: int) -> None:
    """Raise Refusal unless this person may decide this request; admins have no exemption."""
    check_reviewer(record, applied.known.whole(caller))
    if not applied.counts_for(caller, now_ns):
        policy = applied.policy
        groups = " and ".join(dict.fromkeys(quota.group for quota in policy.approve))
        raise Refusal(
            403,
            "not_approver",
            f"policy {policy.id} asks people of {groups}, and {caller.name} is not one of them",
            "leave it to them; who is in a group is the identity provider's to say",
        )


def check_person(caller: Caller) -> None:
    """Raise Refusal for a machine: only people answer, and speak, beside a request."""
    if caller.machine:
        raise Refusal(
            403,
            "machine_caller",
            f"{caller.name} is a machine, and machines neither decide nor comment",
            "have a person sign in and answer",
        )


def check_reviewer(record: Record, caller: Caller) -> None:
    """Raise Refusal unless this is a person who decides at all, and the request is not theirs."""
    check_decides(caller)
    if (why := own_request(record, caller)) is not None:
        raise Refusal(403, "own_request", why, "ask another reviewer; nobody decides their own")


def check_not_own(owner: str, caller: Caller) -> None:
    """Raise Refusal for who answers for a subject; `owner` names everybody who does."""
    if (why := own_subject(owner, caller)) is not None:
        raise Refusal(403, "own_request", why, "ask another reviewer; nobody decides their own")


def check_decides(caller: Caller) -> None:
    """Raise Refusal unless this is a person with a role that decides."""
    check_person(caller)
    if not caller.role.decides:
        raise Refusal(
            403,
            "forbidden_role",
            f"{caller.name} has the role {caller.role.value}, which may read but not decide",
            "ask a reviewer, or have an administrator make you a token with --role reviewer",
        )


def check_break_glass(record: Record, caller: Caller, applied: Applied, reason: str) -> None:
    """Raise Refusal unless the policy lets this person release without the others."""
    check_reviewer(record, applied.known.whole(caller))
    if not frozenset(caller.groups) & frozenset(applied.policy.break_glass):
        groups = ", ".join(applied.policy.break_glass) or "nobody"
        raise Refusal(
            403,
            "not_break_glass",
            f"policy {applied.policy.id} lets {groups} break the glass, not {caller.name}",
            "have somebody of those groups do it, or ask for the approvals that are missing",
        )
    if not reason:
        raise Refusal(
            422,
            "reason_required",
            "breaking the glass needs a reason, whatever the policy says of others",
            "say what the emergency is; everybody who was passed over is told",
        )


def may_break_glass(record: Record, caller: Caller, applied: Applied, now_ns: int) -> bool:
    """Return whether this person, with a reason, could release the request without the others."""
    try:
        check_break_glass(record, caller, applied, reason="given later")
        check_open(record)
        check_in_time(applied, now_ns)
    except Refusal:
        return False
    return True


def voted_before(
    record: Record, caller: Caller, answer: Answer, counts_for: tuple[str, ...]
) -> Vote | None:
    """Return the vote by which this person has said as much already: they count once."""
    mine = forms_of((caller.name, *caller.names))
    same = (
        vote
        for vote in record.votes
        if vote.answer is answer
        and vote.ground is Ground.DECISION
        and mine & forms_of((vote.by, *vote.names))
        and (answer is Answer.DENY or set(counts_for) <= set(vote.counts_for))
    )
    return next(same, None)


def check_open(record: Record) -> None:
    """Raise Refusal unless the request still waits for an answer."""
    ended = record.ended_by_host
    if record.decision is not None and record.decision.ground is Ground.TIMEOUT_POLICY:
        ended = ended or RequestState.EXPIRED
    if record.state is RequestState.CANCELLED and record.is_ask:
        raise Refusal(410, "cancelled", "who asked has withdrawn it", "nothing is left to decide")
    if ended in (RequestState.EXPIRED, RequestState.CANCELLED, RequestState.SUPERSEDED):
        raise Refusal(410, ended.value, _GONE[ended], "nothing is left to decide")
    if record.opened.grant is not None:
        raise Refusal(
            409,
            "already_decided",
            f"grant {record.opened.grant} covers it, and nobody is asked",
            "nothing is left to decide; `holdfast grants` lists grants",
            {"decided_by": "", "answer": "approve", "grant": record.opened.grant},
        )
    if record.decision is not None:
        decision = record.decision
        raise Refusal(
            409,
            "already_decided",
            f"{decision.by} has already answered {decision.answer.value}",
            "nothing is left to decide; `holdfast show` tells what the host did",
            {
                "decided_by": decision.by,
                "answer": decision.answer.value,
                "ground": decision.ground.value,
                "decided_ns": decision.time_ns,
                "reason": decision.reason,
            },
        )
    if ended is not None or record.finished:
        raise _ended_by_host(record)


def check_in_time(applied: Applied, now_ns: int) -> None:
    """Raise Refusal once the policy's or an ask's deadline has passed, silence stored or not."""
    if applied.late(now_ns):
        raise Refusal(
            410,
            RequestState.EXPIRED.value,
            _GONE[RequestState.EXPIRED],
            "nothing is left to decide",
        )


def check_answer(record: Record, applied: Applied, *, reason: str, digest: str | None) -> None:
    """Raise Refusal if the answer is not about the act as it stands, or gives no reason."""
    if digest is not None and digest not in [one.opened.digest for one in record.holds]:
        raise Refusal(
            409,
            "digest_mismatch",
            "the answer is about another act than the one that waits",
            "look at the request again and answer what it shows now",
            {"digest": record.opened.digest},
        )
    if applied.reason_required and not reason:
        asks = f"rule {record.opened.rule.id}" if applied.policy.reason is None else "the policy"
        raise Refusal(
            422,
            "reason_required",
            f"{asks} asks for a reason",
            "say in a few words why; it is kept in the trail",
        )


def check_known_requester(applied: Applied) -> None:
    """Raise Refusal for an approval of what somebody unknown asks, if the policy says so."""
    if applied.policy.unknown_requester is Unknown.REFUSE and applied.unknown:
        raise Refusal(
            403,
            "unknown_requester",
            f"nobody who is known is {' or '.join(applied.unknown)}, so it may be anybody's own",
            "deny it, or have an administrator say whose name that is: oidc.logins in "
            "collector.toml, or --login of a token",
        )


def check_text(text: str, *, longest: int, name: str) -> str:
    """Return what a person has typed as it may be kept: without secrets and outer blanks.

    Raises Refusal if it is too long.
    """
    if len(text) > longest:
        raise Refusal(
            422,
            "validation",
            f"{name} has {len(text)} characters, more than {longest}",
            "shorten it",
        )
    return REDACTOR.words(text.strip())


def _ended_by_host(record: Record) -> Refusal:
    """Return the refusal for a hold that the host ended without asking the centre."""
    last = record.confirmed or record.states[-1]
    by = last.by or f"host {record.opened.host_name}"
    return Refusal(
        409,
        "already_decided",
        f"{by} has ended the wait ({last.ground.value if last.ground else 'no ground given'})",
        "nothing is left to decide; `holdfast show` tells what the host did",
        {
            "decided_by": by,
            "answer": "approve" if record.outcome is Outcome.RELEASED else "deny",
            "decided_ns": last.time_ns,
            "reason": last.reason or last.detail,
        },
    )


_GONE = {
    RequestState.EXPIRED: "nobody answered in time, and that ended the wait",
    RequestState.CANCELLED: "the process is gone",
    RequestState.SUPERSEDED: "a newer rule, grant or quarantine has settled it",
}
