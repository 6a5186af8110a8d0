"""A record as the API gives it to one caller."""

import time
from collections import OrderedDict
from dataclasses import replace
from typing import Any

from collector.alike import alike
from collector.api.models import (
    CommentOut,
    DecisionOut,
    HoldOut,
    MayDecideOut,
    PolicyOut,
    RequestOut,
    VoteOut,
)
from collector.api.models_orders import GrantableOut, GrantIn
from collector.approvals.applied import Applied, Policies
from collector.approvals.checks import may_decide
from collector.approvals.record import Record
from collector.approvals.tally import missing_words, tally
from collector.card import as_dict, render
from collector.identity.hosts import HostNames
from collector.identity.people import Caller
from collector.orders.terms import Terms, grantable_by
from wire.messages import HoldOpened, WantedGrant

_KEPT_CARDS = 256


class Shower:
    """Shows requests under the enrolled names of hosts; the newest cards are kept.

    A card depends on nobody in particular, and a long command takes long to make safe to show:
    however many people follow, it is rendered once.
    """

    def __init__(self, names: HostNames, policies: Policies) -> None:
        self._names = names
        self._policies = policies
        self._cards: OrderedDict[tuple[str, str, str, int], dict[str, Any]] = OrderedDict()

    def show(self, record: Record, caller: Caller, *, with_card: bool) -> RequestOut:
        """Return the request for this caller, with the card for people if asked for."""
        # The enrolled name, so that no host can pass for another one before a reviewer.
        name = self._names.name(record.opened.host, record.opened.host_name)
        opened = replace(record.opened, host_name=name)
        card = self._card(record, opened) if with_card else None
        now_ns = time.time_ns()
        applied = self._policies.apply(record)
        may = may_decide(record, caller, applied, now_ns)
        return _request(
            record,
            opened,
            MayDecideOut(allowed=may.allowed, why=may.why, approved=may.approved),
            _policy(record, applied),
            grantable_by(record),
            card,
        )

    def _card(self, record: Record, opened: HoldOpened) -> dict[str, Any]:
        key = (record.id, record.hold, opened.host_name, record.length)
        card = self._cards.pop(key, None)
        if card is None:
            card = as_dict(
                render(opened, record.states, record.decision, alike(record), record.notes)
            )
        self._cards[key] = card
        if len(self._cards) > _KEPT_CARDS:
            self._cards.popitem(last=False)
        return card


def _policy(record: Record, applied: Applied) -> PolicyOut:
    policy = applied.policy
    standing = tally(record.votes, policy.approve, policy.break_glass)
    return PolicyOut(
        id=policy.id,
        description=policy.description,
        reason_required=applied.reason_required,
        missing=missing_words(standing.missing),
        deadline_ns=applied.deadline_ns,
        stuck=applied.stuck,
        unknown=list(applied.unknown),
        break_glass=list(policy.break_glass),
    )


def _wanted(grant: WantedGrant) -> GrantIn:
    terms = Terms.of(grant)
    return GrantIn(minutes=terms.minutes, uses=terms.uses, scope=terms.scope)


def _hold(record: Record) -> HoldOut:
    opened = record.opened
    return HoldOut(
        hold=record.hold,
        state=record.state,
        outcome=record.outcome,
        ground=record.ground,
        opened_ns=opened.opened_ns,
        deadline_ns=opened.deadline_ns,
        pid=opened.act.process.pid,
        digest=opened.digest,
    )


def _request(
    record: Record,
    opened: HoldOpened,
    may: MayDecideOut,
    policy: PolicyOut,
    why_no_grant: str | None,
    card: dict[str, Any] | None,
) -> RequestOut:
    decision = record.decision
    return RequestOut(
        request=record.id,
        host=opened.host,
        host_name=opened.host_name,
        state=record.state,
        outcome=record.outcome,
        opened_ns=opened.opened_ns,
        deadline_ns=opened.deadline_ns,
        owner=opened.owner,
        rule=opened.rule,
        digest=opened.digest,
        act=opened.act,
        count=len(record.holds),
        holds=[_hold(one) for one in record.holds],
        decision=None
        if decision is None
        else DecisionOut(
            answer=decision.answer,
            by=decision.by,
            via=decision.via,
            reason=decision.reason,
            time_ns=decision.time_ns,
        ),
        ground=record.ground,
        states=list(record.states),
        comments=[
            CommentOut(by=one.by, via=one.via, text=one.text, time_ns=one.time_ns)
            for one in record.comments
        ],
        votes=[
            VoteOut(
                by=one.by,
                via=one.via,
                answer=one.answer,
                reason=one.reason,
                time_ns=one.time_ns,
                grant=None if one.grant is None else _wanted(one.grant),
            )
            for one in record.votes
        ],
        policy=policy,
        may_decide=may,
        grantable=GrantableOut(allowed=why_no_grant is None, why=why_no_grant or ""),
        grant=opened.grant,
        card=card,
    )
