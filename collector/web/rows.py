"""A request as one row of a list: the same texts for the page and for the live stream."""

import time
from collections import OrderedDict
from dataclasses import dataclass, fields

from collector.alike import alike
from collector.approvals.applied import Applied, Policies
from collector.approvals.checks import may_decide
from collector.approvals.own import own_request
from collector.approvals.record import Record, RequestState
from collector.card import Summary, summary
from collector.identity.hosts import HostNames
from collector.identity.people import Caller
from collector.progress import state_line
from collector.sanitize import clean
from collector.web import words
from collector.words import clock, left
from wire.acts import Kind

_NAME_LIMIT = 80
_STUCK_LIMIT = 400
_KEPT = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row; every text is safe to show. `barred` says why this person may not answer."""

    id: str
    href: str
    label: str
    who: str
    verb: str
    what: str
    where: str
    host: str
    subject: str
    rule: str
    severity: str
    guarantee: str
    guarantee_words: str
    opened: str
    opened_iso: str
    deadline_iso: str
    left: str
    state: str  # picks the shape
    open: bool
    status: str
    done: str
    state_line: str
    barred: str
    asked: str  # votes so far, where one is not enough, and whom the policy still asks
    stuck: str
    unknown: str


# What the live inbox fills in for a new request.
BLANK = Row(**{one.name: "" for one in fields(Row)} | {"open": True})  # type: ignore[arg-type]


class Rows:
    """Makes rows under the enrolled names of hosts."""

    def __init__(self, names: HostNames, policies: Policies) -> None:
        self._names = names
        self._policies = policies
        # A long command takes long to make safe to show, and a stream shows it to many.
        self._said: OrderedDict[str, Summary] = OrderedDict()

    def row(self, record: Record, caller: Caller) -> Row:
        """Return the row of a request as this person sees it."""
        opened, act = record.opened, record.opened.act
        same = alike(record).count
        applied = self._policies.apply(record)
        said, stands = self._summary(record), words.status(record)
        is_whole = act.kind in (Kind.EXEC, Kind.ASK)
        what = said.what if is_whole else said.where
        is_open = record.state is RequestState.OPEN
        return Row(
            id=record.id,
            href=f"/requests/{record.id}",
            label=f"{said.who} {words.VERBS[act.kind]} {what}",
            who=said.who,
            verb=words.VERBS[act.kind],
            what=what + (f" ({same} identical)" if same > 1 else ""),
            where=said.where if is_whole else said.what,
            host=clean(self._names.name(opened.host, opened.host_name), _NAME_LIMIT).text,
            subject=clean(act.subject, _NAME_LIMIT).text,
            rule=clean(opened.rule.id, _NAME_LIMIT).text,
            severity=opened.rule.severity.value,
            guarantee=act.guarantee.value,
            guarantee_words=words.guarantee(act.guarantee),
            opened=clock(opened.opened_ns),
            opened_iso=words.iso(opened.opened_ns),
            deadline_iso=words.iso(opened.deadline_ns) if is_open and opened.deadline_ns else "",
            left=_left(opened.deadline_ns) if is_open else "",
            state=stands.key,
            open=is_open,
            status=stands.word,
            done=stands.done,
            state_line=state_line(opened, record.states, record.decision, record.notes),
            barred=self._barred(record, caller, applied) if is_open else "",
            asked=words.asked(record, applied.policy) if is_open else "",
            stuck=clean(applied.stuck, _STUCK_LIMIT).text if is_open else "",
            unknown=clean(", ".join(applied.unknown), _STUCK_LIMIT).text if is_open else "",
        )

    def _barred(self, record: Record, caller: Caller, applied: Applied) -> str:
        """Return why this person may not answer an open request, or nothing."""
        if not caller.role.decides:
            return "your role may read and not decide"
        if own_request(record, caller) is not None:
            return "yours: another reviewer must answer"
        now_ns = time.time_ns()
        if not applied.counts_for(caller, now_ns):
            return "its policy asks other people"
        return "you have approved" if may_decide(record, caller, applied, now_ns).approved else ""

    def _summary(self, record: Record) -> Summary:
        said = self._said.pop(record.id, None) or summary(record.opened.act)
        self._said[record.id] = said
        if len(self._said) > _KEPT:
            self._said.popitem(last=False)
        return said


def _left(deadline_ns: int) -> str:
    rest = left(deadline_ns, time.time_ns())
    return f"{rest} left" if rest[0].isdigit() else rest
