"""A record as the API gives it to one caller."""

import time
from dataclasses import replace

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
from collector.card import as_dict
from collector.identity.people import Caller
from collector.orders.terms import Terms, grantable_by
from collector.shown.cards import ShownCards
from collector.shown.content import ShownCard
from wire.messages import HoldOpened, WantedGrant


class Shower:
    """Shows requests under the enrolled names of hosts, with their cards."""

    def __init__(self, cards: ShownCards, policies: Policies) -> None:
        self.cards = cards
        self._policies = policies

    def show(self, record: Record, caller: Caller, *, with_card: bool) -> RequestOut:
        """Return the request for this caller, with the card for people if asked for."""
        opened = replace(record.opened, host_name=self.cards.host_name(record.opened))
        card = self.cards.of(record) if with_card else None
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
    card: ShownCard | None,
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
        card=None if card is None else as_dict(card.card),
        card_digest=None if card is None else card.digest,
    )
