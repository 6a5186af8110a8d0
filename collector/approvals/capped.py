"""AI sessions that have as many requests waiting as they may have: what waits, and how much more
their hosts have denied without asking anybody.

Nothing is kept of a summary: it follows from what hosts have said of holds that wait. So it is the
same after a restart, and is over when the last of those that waited then is gone.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from collector.approvals.book import Book
from collector.approvals.record import Record, RequestState
from collector.errors import Refusal
from wire.ids import HoldId, HostId, RequestId, request_of
from wire.messages import HoldOpened

# No request's id: channels show a summary beside requests, and there is nothing in it to approve.
_PREFIX = "session-"

Session = tuple[HostId, str]
_FULL = 32  # digits of a hold's id


@dataclass(frozen=True, slots=True, kw_only=True)
class Capped:
    """One session at its limit.

    `name` is the hold by which the summary goes, `of` a hold of the session. `waiting` are the
    requests of the session that wait, identical holds as one, newest first; none once the summary
    is over. `denied` acts were denied beyond the limit.
    """

    name: HoldId
    of: HoldOpened
    waiting: tuple[Record, ...]
    denied: int

    @property
    def id(self) -> RequestId:
        """By what channels know it."""
        return summary_id(self.name)

    @property
    def acts(self) -> int:
        """How many held acts wait."""
        return sum(len(one.waiting) for one in self.waiting)

    @property
    def finished(self) -> bool:
        """Whether it is over."""
        return not self.waiting

    @property
    def version(self) -> int:
        """A number that is another one whenever what a card shows is; not in any order."""
        holds = sorted(hold.id for one in self.waiting for hold in one.waiting)
        digest = hashlib.sha256(f"{self.denied} {' '.join(holds)}".encode()).digest()
        return 1 + int.from_bytes(digest[:6])


def summary_id(name: HoldId) -> RequestId:
    """Return by what channels know the summary that goes by this hold."""
    return RequestId(_PREFIX + name)


def named_by(one: str) -> HoldId | None:
    """Return the hold of a summary's id; None for the id of a request."""
    return HoldId(one.removeprefix(_PREFIX)) if one.startswith(_PREFIX) else None


class CappedSessions:
    """Finds the summaries of a book. Used from one event loop."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._alive: dict[Session, HoldId] = {}

    def alive(self) -> tuple[Capped, ...]:
        """Return every session at its limit, the newest first."""
        names = _names(self._open())
        found = (self._living(session, name) for session, name in names.items())
        return tuple(sorted((one for one in found if one), key=_age, reverse=True))

    def touched(self, record: Record) -> tuple[RequestId, ...]:
        """Return the summaries that may have changed with this request."""
        session = _session(record)
        before = self._alive.pop(session, None)
        told = {name for hold in record.holds for name, _, _ in _told(hold)}
        if before is None and not told:
            return ()
        now = _names(self._open(session)).get(session)
        if now is not None:
            self._alive[session] = now
        return tuple(summary_id(one) for one in {*told, before, now} if one is not None)

    def of(self, record: Record) -> Capped | None:
        """Return the summary of a request's session, if it is at its limit."""
        session = _session(record)
        name = _names(self._open(session)).get(session)
        return None if name is None else self._living(session, name)

    def is_alive(self, one: RequestId) -> bool:
        """Return whether this is the summary of a session, as `touched` saw it last."""
        return named_by(one) in self._alive.values()

    async def find(self, one: str) -> Capped | None:
        """Return a summary by its id, also one that is over; None if there never was one.

        Raises TrailError.
        """
        name = named_by(one)
        known = None if name is None else await self._book.get(request_of(name))
        if name is None or known is None:
            return None
        living = self._living(_session(known), name)
        if living is not None:
            return living
        denied = dict(await self._book.denied_beyond(name))
        memory = self._book.register.all()
        _gather(denied, [one for one in memory if name in [told for told, _, _ in _told(one)]])
        if not denied:
            return None
        return Capped(name=name, of=known.opened, waiting=(), denied=sum(denied.values()))

    async def resolve(self, text: str) -> Capped:
        """Return the summary that an id, or the start of one that is not over, names.

        Raises Refusal.
        """
        prefix = text.strip().lower().removeprefix(_PREFIX)
        living = [one for one in self.alive() if one.name.startswith(prefix)]
        if len(living) == 1 and prefix:
            return living[0]
        is_whole = len(prefix) == _FULL and all(char in "0123456789abcdef" for char in prefix)
        found = await self.find(_PREFIX + prefix) if is_whole else None
        if found is None:
            raise Refusal(
                404,
                "unknown_session",
                f"no AI session at its limit goes by {text[:64]!r}",
                "`holdfast pending` lists those that there are",
            )
        return found

    def _open(self, session: Session | None = None) -> list[Record]:
        """Return the holds that wait, of one session if it is given."""
        return [
            one
            for one in self._book.register.all()
            if session in (None, _session(one)) and one.state is RequestState.OPEN
        ]

    def _living(self, session: Session, name: HoldId) -> Capped | None:
        """Return the summary of a session, unless it is over or goes by another name."""
        mine = self._open(session)
        if _names(mine).get(session) != name:
            return None
        denied: dict[HoldId, int] = {}
        _gather(denied, mine)
        mine.sort(key=lambda one: (one.opened.opened_ns, one.id))
        requests = {one.id: one for one in map(self._book.register.shown, reversed(mine))}
        return Capped(
            name=name,
            of=mine[0].opened,
            waiting=tuple(requests.values()),
            denied=sum(denied.values()),
        )


def _session(record: Record) -> Session:
    return record.opened.host, record.opened.act.session


def _age(capped: Capped) -> tuple[int, str]:
    return capped.of.opened_ns, capped.name


def _told(hold: Record) -> Iterator[tuple[HoldId, int, int]]:
    """Yield what a host has said of the session of a hold: name, count and time."""
    for state in hold.states:
        if state.capped is not None:
            yield state.capped, state.denied_beyond, state.time_ns


def _gather(denied: dict[HoldId, int], holds: Iterable[Record]) -> None:
    """Add the counts that these holds tell of; of one summary the highest is the newest."""
    for hold in holds:
        for name, count, _ in _told(hold):
            denied[name] = max(count, denied.get(name, 0))


def _names(waiting: Iterable[Record]) -> dict[Session, HoldId]:
    """Return by which hold the summary of each session goes that has one: the first there was.

    An agent that was started anew may name another hold.
    """
    first: dict[Session, tuple[int, HoldId]] = {}
    for hold in waiting:
        session = _session(hold)
        for name, _, time_ns in _told(hold):
            first[session] = min(first.get(session, (time_ns, name)), (time_ns, name))
    return {session: name for session, (_, name) in first.items()}
