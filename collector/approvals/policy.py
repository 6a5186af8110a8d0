"""Who may answer a request, and with what. Pure; asked at the moment of the answer."""

import re
import unicodedata
from dataclasses import dataclass

from collector.approvals.record import Outcome, Record, RequestState
from collector.errors import Refusal
from collector.identity.people import Caller

LONGEST_REASON = 4000
LONGEST_COMMENT = 8000
_SEVERAL = re.compile(r"[,;\uff0c\uff1b]|\s(?:and|&)\s", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class MayDecide:
    """Whether a caller may answer a request, and why not."""

    allowed: bool
    why: str


def may_decide(record: Record, caller: Caller) -> MayDecide:
    """Return what `check` would say, for showing beside the request."""
    try:
        check_caller(record, caller)
        check_open(record)
    except Refusal as refusal:
        return MayDecide(False, refusal.message)
    return MayDecide(True, "")


def check_caller(record: Record, caller: Caller) -> None:
    """Raise Refusal unless this person may decide this request; admins have no exemption."""
    if not caller.role.decides:
        raise Refusal(
            403,
            "forbidden_role",
            f"{caller.name} has the role {caller.role.value}, which may read but not decide",
            "ask a reviewer, or have an administrator make you a token with --role reviewer",
        )
    if (why := own_request(record, caller)) is not None:
        raise Refusal(403, "own_request", why, "ask another reviewer; nobody decides their own")


def own_request(record: Record, caller: Caller) -> str | None:
    """Return why the request counts as the caller's own, or None.

    Names are written in many ways, so any form in common counts: to refuse one person too many
    costs a second pair of eyes, to refuse one too few costs the boundary.
    """
    mine = _forms(caller.name).union(*map(_forms, caller.logins))
    if mine & set[str]().union(*map(_forms, _SEVERAL.split(record.opened.owner))):
        return f"{caller.name} answers for the subject that asks ({record.opened.owner})"
    login = record.opened.act.login_user
    if mine & _forms(login):
        return f"the session was started by login user {login}, who is you"
    return None


def check_open(record: Record) -> None:
    """Raise Refusal unless the request still waits for an answer."""
    ended = record.ended_by_host
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
                "decided_ns": decision.time_ns,
                "reason": decision.reason,
            },
        )
    if ended is not None or record.finished:
        raise _ended_by_host(record)


def check_answer(record: Record, *, reason: str, digest: str | None) -> None:
    """Raise Refusal if the answer is not about the act as it stands, or gives no reason."""
    if digest is not None and digest != record.opened.digest:
        raise Refusal(
            409,
            "digest_mismatch",
            "the answer is about another act than the one that waits",
            "look at the request again and answer what it shows now",
            {"digest": record.opened.digest},
        )
    if record.opened.rule.reason_required and not reason:
        raise Refusal(
            422,
            "reason_required",
            f"rule {record.opened.rule.id} asks for a reason",
            "say in a few words why; it is kept in the trail",
        )


def check_text(text: str, *, longest: int, name: str) -> str:
    """Return the text without outer blanks; raise Refusal if it is too long."""
    if len(text) > longest:
        raise Refusal(
            422,
            "validation",
            f"{name} has {len(text)} characters, more than {longest}",
            "shorten it",
        )
    return text.strip()


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
    RequestState.EXPIRED: "nobody answered in time and the host has acted on that",
    RequestState.CANCELLED: "the process is gone",
    RequestState.SUPERSEDED: "a newer rule, grant or quarantine has settled it",
}


def _forms(name: str) -> frozenset[str]:
    """Return the ways in which one name may be written: DOMAIN\\alice, alice@example.com, alice."""
    whole = _plain(name)
    account = whole.rpartition("\\")[2]
    forms = {whole, whole.partition("@")[0], account, account.partition("@")[0]}
    return frozenset(form for form in map(str.strip, forms) if form)


def _plain(text: str) -> str:
    # Folding can undo a normal form, so it is made once more.
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded).strip()
