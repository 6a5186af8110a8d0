"""Lists requests out of memory and trail together: the trail is a moment behind what is known."""

from collections.abc import Sequence
from dataclasses import dataclass

from collector.approvals.book import Book
from collector.approvals.record import Record
from collector.errors import Refusal
from collector.trail.reader import Reader, RequestFilter
from wire.ids import RequestId
from wire.targets import target


@dataclass(frozen=True, slots=True)
class Listed:
    """One page of requests, newest first; `next` is given as `after` for the page behind it."""

    records: tuple[Record, ...]
    next: RequestId | None


async def list_records(book: Book, reader: Reader, wanted: RequestFilter) -> Listed:
    """Return the newest requests that fit, at most `wanted.limit` of them."""
    stored: list[Record] = []
    if wanted.state != "open":  # those are all in memory
        stored = await book.many(await reader.list_requests(wanted))
    # What waits is listed by request, identical holds as one; what is over, hold by hold.
    memory = book.register.requests() if wanted.state == "open" else book.register.all()
    found = _merged(memory, stored, wanted)
    page = found[: wanted.limit]
    return Listed(tuple(page), page[-1].id if len(found) > wanted.limit else None)


async def place_after(book: Book, request: str | None) -> tuple[int, str] | None:
    """Return the place behind a request for `RequestFilter.after`; raise Refusal if unknown."""
    if request is None:
        return None
    last = await book.get(RequestId(request))
    if last is None:
        raise Refusal(
            422, "validation", f"after: {request[:64]!r} is no request", "give `next` as it was"
        )
    return _place(last)


def _merged(
    memory: Sequence[Record], stored: Sequence[Record], wanted: RequestFilter
) -> list[Record]:
    """Return what is in memory and wanted, with what the trail found, newest first."""
    found = {record.id: record for record in stored} | {
        record.id: record for record in memory if _fits(record, wanted)
    }
    fitting = (one for one in found.values() if wanted.state in (None, one.state.value))
    return sorted(fitting, key=_place, reverse=True)


def _fits(record: Record, wanted: RequestFilter) -> bool:
    """Say whether all but the state, which may have changed since the trail was asked, fits."""
    opened = record.opened
    return (
        wanted.host in (None, opened.host)
        and wanted.subject in (None, opened.act.subject)
        and wanted.rule in (None, opened.rule.id)
        and wanted.session in (None, opened.act.session)
        and wanted.severity in (None, opened.rule.severity.value)
        and (wanted.text is None or wanted.text.lower() in target(opened.act).lower())
        and (wanted.since_ns is None or opened.opened_ns >= wanted.since_ns)
        and (wanted.until_ns is None or opened.opened_ns < wanted.until_ns)
        and (wanted.after is None or _place(record) < wanted.after)
    )


def _place(record: Record) -> tuple[int, str]:
    return record.opened.opened_ns, record.id
