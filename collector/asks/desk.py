"""Opens asks, tells who asked how they stand, and lets them be withdrawn.

The stream is the truth: it admits one opening per request, so whoever sends an ask again, to
whichever collector, finds the one that is there.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from collector.approvals.book import Book
from collector.approvals.decide import Decider
from collector.approvals.record import Record, RequestState
from collector.approvals.register import Rejected
from collector.asks.endings import Endings
from collector.asks.opened import as_opened, asker
from collector.asks.settings import AskSettings, bounded
from collector.errors import CentreError, Refusal, UnconfirmedError
from collector.identity.people import Caller
from collector.nats.publish import Publisher, Stored
from collector.redact import REDACTOR
from wire import subjects
from wire.codec import decode_as, encode
from wire.errors import WireError
from wire.ids import RequestId, new_id
from wire.messages import Answer, AskOpened, Decision, Ground, Severity
from wire.signing import Signer, Verifier

_NS = 1_000_000_000
_SETTLED_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What somebody asks for. `key` makes a second sending the same ask; "": each is a new one.

    `on_behalf_of`: who has had it asked; they may not approve it either.
    """

    action: str
    resource: str
    why: str
    details: Mapping[str, str] = field(default_factory=dict)
    severity: Severity = Severity.MEDIUM
    timeout_s: int | None = None
    key: str = ""
    on_behalf_of: tuple[str, ...] = ()


class Asks:
    """The one door for asks. Raises Refusal with the reason why not."""

    def __init__(
        self,
        book: Book,
        decider: Decider,
        publisher: Publisher,
        signer: Signer,
        verifier: Verifier,
        settings: AskSettings,
        *,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.endings = Endings(book, most=settings.waiting)
        self._book = book
        self._decider = decider
        self._publisher = publisher
        self._signer = signer
        self._verifier = verifier
        self._settings = settings
        self._clock = clock

    async def open(self, caller: Caller, wanted: Wanted) -> tuple[Record, bool]:
        """Return the request that waits for this ask, and whether it is new."""
        ask = self._ask(caller, wanted)
        self._check_room(caller, ask.request)
        data = encode(ask)
        with _refusals():
            stored = await self._publisher.first(
                subjects.ASKS, subjects.ask(ask.request), data, self._signer.headers(data)
            )
        if stored is None:
            return await self._take(ask), True
        earlier = self._read(ask.request, stored)
        if _sense(earlier) != _sense(ask):
            raise Refusal(
                409,
                "key_reused",
                "this key was used for another ask",
                "use a new key for each thing that is asked",
                {"ask": ask.request},
            )
        record = await self._take(earlier)
        if record.state is not RequestState.OPEN:
            raise Refusal(
                409,
                "ask_over",
                f"the ask of this key is {record.state.value}, and an answer is for one use",
                "use a new key to ask again",
                {"ask": record.id, "state": record.state.value},
            )
        return record, False

    async def get(self, caller: Caller, request: str, *, wait_s: float = 0.0) -> Record:
        """Return an ask of the caller's own; with `wait_s`, once it has ended or after so long."""
        record = await self._book.get(RequestId(request))
        if record is None or not record.is_ask or not _asked_by(record, caller):
            raise Refusal(
                404,
                "unknown_ask",
                f"{caller.name} has asked nothing under {request[:64]!r}",
                "give the id that opening it returned; reviewers find it under /requests",
            )
        if wait_s and record.state is RequestState.OPEN:
            return await self.endings.wait(record, wait_s)
        return record

    async def withdraw(self, caller: Caller, request: str) -> Record:
        """Return an ask that is not wanted any more; if it was decided first, that stands."""
        record = await self.get(caller, request)
        if record.state is not RequestState.OPEN:
            return record
        decision = Decision(
            request=record.id,
            answer=Answer.DENY,
            ground=Ground.WITHDRAWN,
            by=caller.name,
            via="api",
            reason="withdrawn by who asked",
            digest=record.opened.digest,
            votes=(),
            time_ns=self._clock(),
        )
        with _refusals():
            await self._decider.settling.complete(record, decision)
        return await self.endings.wait(record, _SETTLED_S)

    def _ask(self, caller: Caller, wanted: Wanted) -> AskOpened:
        settings, now_ns = self._settings, self._clock()
        timeout_s = settings.timeout_s if wanted.timeout_s is None else wanted.timeout_s
        if not 0 < timeout_s <= settings.longest_timeout_s:
            raise Refusal(
                422,
                "validation",
                f"timeout_s: {timeout_s} is not between 1 and {settings.longest_timeout_s}",
                "ask for less time; asks.longest_timeout_s is the centre's to say",
            )
        return AskOpened(
            request=_request(caller, wanted.key),
            by=caller.name,
            machine=caller.machine,
            owner=", ".join(dict.fromkeys((*_answer_for(caller), *wanted.on_behalf_of))),
            action=wanted.action,
            resource=REDACTOR.words(wanted.resource),
            why=REDACTOR.words(wanted.why),
            details=dict(sorted(REDACTOR.variables(wanted.details, again=True).items())),
            severity=bounded(wanted.severity, settings),
            opened_ns=now_ns,
            deadline_ns=now_ns + timeout_s * _NS,
        )

    def _check_room(self, caller: Caller, request: RequestId) -> None:
        waiting = sum(
            record.is_ask and record.id != request and _asked_by(record, caller)
            for record in self._book.register.all()
            if record.state is RequestState.OPEN
        )
        if waiting >= self._settings.open_per_asker:
            raise Refusal(
                429,
                "too_many_asks",
                f"{waiting} asks of {caller.name} wait already",
                "wait for answers or withdraw some; asks.open_per_asker is the centre's to say",
            )

    async def _take(self, ask: AskOpened) -> Record:
        """Show an ask that the stream has; the ingest brings it again, for the trail."""
        opened = as_opened(ask)
        await self._book.need([ask.request])
        outcome = self._book.opened(opened, ask.opened_ns)
        record = self._book.register.get(ask.request)
        if isinstance(outcome, Rejected) or record is None:
            raise Refusal(
                409,
                "ask_refused",
                "another request stands in the place of this ask",
                "ask again with another key, or with none",
                {"ask": ask.request},
            )
        self._book.announce(record)
        return record

    def _read(self, request: RequestId, stored: Stored) -> AskOpened:
        try:
            self._verifier.check(stored.data, dict(stored.headers))
            ask = decode_as(stored.data, AskOpened)
        except WireError as error:
            raise Refusal(
                409,
                "ask_forged",
                f"a message that no collector signed stands in the place of this ask ({error})",
                "ask again with another key; find out who has the collector's NATS key",
                {"ask": request},
            ) from error
        return ask


def _request(caller: Caller, key: str) -> RequestId:
    """Return the id of an ask: of one key and one token always the same."""
    if not key:
        return RequestId(new_id())
    proof = f"{caller.token}\0{key}".encode()
    return RequestId(hashlib.sha256(b"holdfast ask 1\0" + proof).hexdigest()[:32])


def _answer_for(caller: Caller) -> tuple[str, ...]:
    """Return who answers for what the caller asks; raise Refusal if nobody does."""
    if not caller.machine:
        return caller.name, *caller.names, *caller.logins
    if not caller.responsible:
        raise Refusal(
            403,
            "no_responsible",
            f"nobody is named who answers for {caller.name}, so anybody might approve their own",
            "make its token anew with --responsible alice@example.com",
        )
    return caller.responsible


def _asked_by(record: Record, caller: Caller) -> bool:
    return record.opened.act.session == asker(caller.name, machine=caller.machine)


def _sense(ask: AskOpened) -> AskOpened:
    """Return what must be the same for two sendings to be one ask: all but the moment."""
    return replace(ask, opened_ns=0, deadline_ns=ask.deadline_ns - ask.opened_ns)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except CentreError as error:
        unsure = isinstance(error, UnconfirmedError)
        what = "it is not known whether it was stored" if unsure else "nothing was stored"
        raise Refusal(
            503,
            "answer_unconfirmed" if unsure else "nats_unavailable",
            f"{what}: {error}",
            "see to the NATS server, then send it again with the same key",
        ) from error
