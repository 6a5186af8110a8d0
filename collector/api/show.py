"""A record as the API gives it to one caller."""

from dataclasses import replace

from collector.api.models import (
    CommentOut,
    DecisionOut,
    MayDecideOut,
    RequestOut,
)
from collector.approvals.policy import may_decide
from collector.approvals.record import Record
from collector.card import as_dict, render
from collector.identity.hosts import HostNames
from collector.identity.people import Caller


def show(record: Record, caller: Caller, names: HostNames, *, with_card: bool) -> RequestOut:
    """Return the request for this caller, with the card for people if asked for."""
    # The enrolled name, so that no host can pass for another one before a reviewer.
    opened = replace(
        record.opened, host_name=names.name(record.opened.host, record.opened.host_name)
    )
    decision, may = record.decision, may_decide(record, caller)
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
        may_decide=MayDecideOut(allowed=may.allowed, why=may.why),
        card=as_dict(render(opened, record.states, decision)) if with_card else None,
    )
