"""Routes for the record: hosts, events, questions in SQL; and who is asking."""

import asyncio
import re
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from collector.api.errors import documented
from collector.api.events_stream import until_gone
from collector.api.fields import Time
from collector.api.models_people import WhoAmI
from collector.api.models_trail import EventPage, HostList, HostOut, QueryColumn, QueryIn, QueryOut
from collector.api.requests import Limit, to_ns
from collector.api.services import AnyCallerDep, ServicesDep, TrailReaderDep
from collector.approvals.register import hosts_of
from collector.errors import Refusal, SqlError
from collector.trail.reader import EventFilter
from wire.event_kinds import EventKind
from wire.ids import HostId

router = APIRouter()


@router.get("/whoami", tags=["people"], summary="Who the token proves", responses=documented(401))
async def whoami(caller: AnyCallerDep) -> WhoAmI:
    """Return the caller's name, role, groups and login users; or the scopes of a machine."""
    return WhoAmI(
        name=caller.name,
        role=caller.role,
        logins=list(caller.logins),
        groups=list(caller.groups),
        machine=caller.machine,
        scopes=list(caller.scopes),
        authenticated_ns=caller.authenticated_ns,
    )


@router.get("/hosts", tags=["hosts"], summary="List hosts", responses=documented(401, 403))
async def hosts(_: TrailReaderDep, services: ServicesDep) -> HostList:
    """List every enrolled host, and what it last said of itself."""
    said = {row["host"]: row for row in await services.reader.hosts()}
    waiting = hosts_of(services.book.register.unfinished())
    enrolled = {host.host: host.name for host in await asyncio.to_thread(services.names.all)}
    found = []
    for host in {*enrolled, *said}:
        facts = dict(said.get(host, {"host": host}))
        facts["name"] = enrolled.get(HostId(host)) or facts.get("name") or ""
        facts["subjects"] = facts.get("subjects") or []
        facts["without_effect"] = facts.get("without_effect") or []
        facts["open_holds"] = waiting.get(HostId(host), 0)
        found.append(HostOut(**facts))
    return HostList(hosts=sorted(found, key=lambda one: (one.name, one.host)))


@router.get(
    "/events",
    tags=["trail"],
    summary="List events, newest first",
    responses=documented(401, 403, 422),
)
async def events(
    _: TrailReaderDep,
    services: ServicesDep,
    host: Annotated[str | None, Query(description="host id or enrolled name")] = None,
    subject: str | None = None,
    session: str | None = None,
    kind: EventKind | None = None,
    path: Annotated[str | None, Query(description="a part of the path")] = None,
    address: str | None = None,
    rule: str | None = None,
    hold: str | None = None,
    since: Time | None = None,
    until: Time | None = None,
    limit: Limit = 100,
    after: Annotated[str | None, Query(description="`next` of the page before")] = None,
) -> EventPage:
    """List what watched processes did, by any of these filters together."""
    found = await services.reader.events(
        EventFilter(
            host=host and await asyncio.to_thread(services.names.find, host),
            subject=subject,
            session=session,
            kind=kind,
            path=path,
            address=address,
            rule=rule,
            hold=hold,
            since_ns=to_ns(since),
            until_ns=to_ns(until),
            after=None if after is None else event_cursor(after),
            limit=limit,
        )
    )
    page = found[:limit]
    more = len(found) > limit
    return EventPage(events=page, next=event_place(page[-1]) if more else None)


@router.post(
    "/trail/query",
    tags=["trail"],
    summary="Ask the trail in SQL",
    responses=documented(401, 403, 413, 422),
)
async def query(
    question: QueryIn, _: TrailReaderDep, services: ServicesDep, request: Request
) -> QueryOut:
    """Run one SELECT, read-only, without files or network, limited in time, rows and bytes.

    It is stopped when whoever asked goes away.
    """
    await services.book.caught_up()  # who has answered finds the answer here
    asking = asyncio.ensure_future(services.sql.run(question.sql, question.limit))
    gone = asyncio.create_task(until_gone(request.receive))
    try:
        await asyncio.wait({asking, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        asking.cancel()  # nothing, if it is done
    if not asking.done():
        raise SqlError("nobody waits for the answer any more")  # which nobody reads
    result = asking.result()
    return QueryOut(
        columns=[QueryColumn(name=name, type=kind) for name, kind in result.columns],
        rows=result.rows,
        truncated=result.truncated,
    )


def event_place(event: Mapping[str, Any]) -> str:
    """Return what is given as `after` for the events behind this one."""
    return f"{event['time_ns']}-{event['host']}-{event['number']}"


def event_cursor(text: str) -> tuple[int, str, int]:
    """Return the place that `event_place` wrote; raise Refusal if it did not."""
    time_ns, _, rest = text.partition("-")
    host, _, number = rest.rpartition("-")
    if not all(re.fullmatch("[0-9]{1,19}", one) for one in (time_ns, number)):
        raise Refusal(
            422,
            "validation",
            f"after: {text[:80]!r} is no cursor",
            "give `next` of a page as it was",
        )
    return int(time_ns), host, int(number)
