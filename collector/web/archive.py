"""Holds, hosts and search: what was, by filters that the trail's reader knows by name; no SQL."""

import asyncio
import time
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from fastapi.responses import Response

from collector.api.export import exports as list_exports
from collector.api.trail import event_cursor, event_place
from collector.api.trail import hosts as list_hosts
from collector.approvals.listing import list_records, place_after
from collector.identity.hosts import HostNames
from collector.identity.sessions import Session
from collector.trail.reader import EventFilter, RequestFilter
from collector.web.desk import Desk, DeskDep, PersonDep
from collector.web.happenings import Happening, happening
from collector.web.rows import Row
from wire.event_kinds import EventKind
from wire.ids import HostId
from wire.messages import Severity

router = APIRouter(include_in_schema=False)

_PAGE = 50
_FOUND = 25
_HOUR_NS = 3600 * 10**9
_AGES = {
    "hour": _HOUR_NS,
    "day": 24 * _HOUR_NS,
    "week": 7 * 24 * _HOUR_NS,
    "month": 30 * 24 * _HOUR_NS,
}

State = Literal["", "open", "approved", "denied", "expired", "cancelled", "superseded"]
Age = Literal["", "hour", "day", "week", "month"]
SearchAge = Literal["hour", "day", "week", "month", "always"]
Kind = EventKind | Literal[""]
Text = Annotated[str, Query(max_length=400)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The filters as they were given; an empty one filters nothing."""

    q: str = ""
    state: str = ""
    severity: str = ""
    host: str = ""
    subject: str = ""
    rule: str = ""
    session: str = ""
    kind: str = ""
    since: str = ""

    def link(self, path: str, **changes: str) -> str:
        """Return the address of a page with these filters and changes."""
        given = {name: getattr(self, name) for name in self.__slots__} | changes
        query = urlencode({name: value for name, value in given.items() if value})
        return f"{path}?{query}" if query else path

    @property
    def any(self) -> bool:
        """Whether anything is looked for; an age alone is nothing."""
        return any(getattr(self, name) for name in self.__slots__ if name != "since")


@router.get("/holds")
async def holds(
    desk: DeskDep,
    session: PersonDep,
    state: State = "",
    severity: Severity | Literal[""] = "",
    host: Text = "",
    subject: Text = "",
    rule: Text = "",
    q: Text = "",
    since: Age = "",
    after: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """List every hold there ever was, newest first."""
    wanted = Wanted(
        q=q, state=state, severity=str(severity), host=host, subject=subject, rule=rule, since=since
    )
    rows, further = await _requests(desk, session, wanted, limit=_PAGE, after=after)
    return desk.pages.render(
        "holds",
        session=session,
        wanted=wanted,
        rows=rows,
        older=wanted.link("/holds", after=further) if further else "",
        newest=wanted.link("/holds") if after else "",
        hosts=await _host_names(desk),
    )


@router.get("/hosts")
async def hosts(desk: DeskDep, session: PersonDep) -> Response:
    """List the enrolled hosts, what each last said of itself, and how exports do."""
    found = await list_hosts(session.caller, desk.services)
    exports = (await list_exports(session.caller, desk.services)).exports
    return desk.pages.render("hosts", session=session, hosts=found.hosts, exports=exports)


@router.get("/search")
async def search(
    desk: DeskDep,
    session: PersonDep,
    q: Text = "",
    host: Text = "",
    subject: Text = "",
    session_: Annotated[str, Query(alias="session", max_length=100)] = "",
    kind: Kind = "",
    since: SearchAge = "week",
    after: Annotated[str | None, Query(max_length=100)] = None,
) -> Response:
    """Find requests and events that have a text in them, or are of one session."""
    wanted = Wanted(q=q, host=host, subject=subject, session=session_, kind=kind, since=since)
    rows: list[Row] = []
    more = ""
    events: list[Happening] = []
    older = ""
    if wanted.any:
        async with desk.searching:
            rows, more = await _requests(desk, session, wanted, limit=_FOUND, after=None)
            events, older = await _events(desk, wanted, after)
    return desk.pages.render(
        "search",
        session=session,
        wanted=wanted,
        rows=rows,
        more_requests=wanted.link("/holds", since="" if since == "always" else since)
        if more
        else "",
        events=events,
        older=wanted.link("/search", after=older) + "#events" if older else "",
        kinds=tuple(EventKind),
        later_page=after is not None,
        hosts=await _host_names(desk),
    )


async def _requests(
    desk: Desk, session: Session, wanted: Wanted, *, limit: int, after: str | None
) -> tuple[list[Row], str]:
    """Return rows, newest first, and what `after` is for the page behind them."""
    services = desk.services
    listed = await list_records(
        services.book,
        services.reader,
        RequestFilter(
            state=wanted.state or None,
            severity=wanted.severity or None,
            host=await _host(desk, wanted.host),
            subject=wanted.subject or None,
            rule=wanted.rule or None,
            session=wanted.session or None,
            text=wanted.q or None,
            since_ns=_since(wanted.since),
            after=await place_after(services.book, after or None),
            limit=limit,
        ),
    )
    rows = [desk.rows.row(record, session.caller) for record in listed.records]
    return rows, listed.next or ""


async def _events(desk: Desk, wanted: Wanted, after: str | None) -> tuple[list[Happening], str]:
    found = await desk.services.reader.events(
        EventFilter(
            host=await _host(desk, wanted.host),
            subject=wanted.subject or None,
            session=wanted.session or None,
            kind=wanted.kind or None,
            text=wanted.q or None,
            since_ns=_since(wanted.since),
            after=event_cursor(after) if after else None,
            limit=_PAGE,
        )
    )
    names = desk.services.names
    shown = [happening(one, names.name(HostId(one["host"]), one["host"])) for one in found[:_PAGE]]
    return shown, event_place(found[_PAGE - 1]) if len(found) > _PAGE else ""


async def _host(desk: Desk, text: str) -> HostId | None:
    return await asyncio.to_thread(desk.services.names.find, text) if text else None


async def _host_names(desk: Desk) -> list[str]:
    names: HostNames = desk.services.names
    return sorted(host.name for host in await asyncio.to_thread(names.all))


def _since(age: str) -> int | None:
    return time.time_ns() - _AGES[age] if age in _AGES else None
