"""Collectors over streams in memory: the collector's own parts, with faults where NATS has them."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from collector.approvals.applied import Policies
from collector.approvals.book import Book
from collector.approvals.decide import Decider
from collector.approvals.record import Record
from collector.approvals.register import Register
from collector.approvals.undecided import Undecided
from collector.approvals.waiting import Waiting
from collector.config import Grants
from collector.errors import CentreError, UnavailableError, UnconfirmedError
from collector.identity.people import Caller
from collector.ingest.holds import HoldIntake
from collector.ingest.orders import OrderIntake
from collector.ingest.said import SaidIntake
from collector.ingest.work import Delivery, Intake
from collector.nats.publish import Publisher, Stored
from collector.orders.granting import Granting
from collector.orders.issue import Issuer
from collector.orders.ledger import Ledger
from collector.policy.model import PolicySet
from collector.trail.reader import Reader
from collector.trail.records import Said
from tests.support.model_host import HOST, SUBJECT
from wire import subjects
from wire.codec import decode, encode
from wire.ids import RequestId
from wire.messages import Comment, Decision, HoldOpened, HoldState, HostRecord, Vote
from wire.orders import Order
from wire.signing import Signer, Verifier

Headers = Mapping[str, str]
NAMES = (subjects.HOLDS, subjects.VOTES, subjects.DECISIONS, subjects.ORDERS)
OWNER = "olga@example.com"


class KilledError(Exception):
    """The collector was killed here."""


@dataclass
class Streams:
    """What NATS keeps: every message in the order in which it came, and who may be first."""

    messages: dict[str, list[Delivery]] = field(default_factory=lambda: {n: [] for n in NAMES})
    first: dict[str, Stored] = field(default_factory=dict)
    verdicts: list[Stored] = field(default_factory=list)
    decided: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, stream: str, subject: str, data: bytes, headers: Headers) -> None:
        """Store one more message."""
        if stream == subjects.VERDICTS:
            self.verdicts.append(Stored(data, dict(headers)))
            return
        if stream == subjects.DECISIONS:
            self.decided.set()
        sequence = len(self.messages[stream]) + 1
        self.messages[stream].append(Delivery(stream, sequence, subject, data, dict(headers)))

    def decisions(self) -> dict[RequestId, Decision]:
        """Return what is decided: whatever comes later under the same subject is not."""
        decided: dict[RequestId, Decision] = {}
        for one in self.messages[subjects.DECISIONS]:
            found = decode(one.data)
            if isinstance(found, Decision):
                decided.setdefault(found.request, found)
        return decided

    def orders(self) -> list[Order]:
        """Return every order."""
        found = (decode(one.data) for one in self.messages[subjects.ORDERS])
        return [one for one in found if isinstance(one, Order)]


class FaultyPublisher(Publisher):
    """Publishes into those streams; `faults` are what happens to the next messages, one each."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self.faults: list[str] = []

    async def append(self, stream: str, subject: str, data: bytes, headers: Headers) -> None:
        """Store a message, or not, or tell nobody."""
        fault = self._fault()
        self._streams.put(stream, subject, data, headers)
        _after(fault)

    async def first(
        self, stream: str, subject: str, data: bytes, headers: Headers
    ) -> Stored | None:
        """Store a message unless one is there."""
        fault = self._fault()
        stored = self._streams.first.get(subject)
        if stored is None:
            self._streams.first[subject] = Stored(data, dict(headers))
            self._streams.put(stream, subject, data, headers)
        _after(fault)
        return None if stored is None or stored.data == data else stored

    async def stored(self, stream: str, subject: str) -> Stored | None:
        """Return the newest message of a subject; the bucket of hosts has the one host's record."""
        if stream != f"KV_{subjects.HOSTS_BUCKET}":
            return self._streams.first.get(subject)
        record = HostRecord(
            host=HOST,
            name="web-1",
            mode="stop",
            kernel="6.1.0",
            version="1",
            boot_id="boot-1",
            subjects=(SUBJECT,),
            ruleset="r",
            started_ns=1,
            responsible={SUBJECT: OWNER},
        )
        return Stored(encode(record), {})

    def _fault(self) -> str:
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "away":
            raise UnavailableError("away")
        if fault == "killed before":
            raise KilledError
        return fault


def _after(fault: str) -> None:
    if fault == "unconfirmed":
        raise UnconfirmedError("the acknowledgement was lost")
    if fault == "killed after":
        raise KilledError


class ModelReader(Reader):
    """A trail in memory: what was committed."""

    def __init__(self) -> None:
        self.kept: list[HoldOpened | HoldState | Said | Order] = []
        self.heard: dict[str, int] = {}

    async def records(self, requests: Sequence[RequestId]) -> tuple[Record, ...]:
        """Return records put together from what is kept."""
        return tuple(one for one in self._records() if one.id in requests)

    async def unfinished(self) -> tuple[Record, ...]:
        """Return those that no host has closed."""
        return tuple(one for one in self._records() if not one.finished)

    async def early(self) -> tuple[Said, ...]:
        """Return what was said of holds that are not there."""
        said = [one for one in self.kept if isinstance(one, Vote | Comment | Decision)]
        return tuple(one for one in said if not self.heard.keys() >= set(_named(one)))

    async def ledger(self) -> Ledger:
        """Return every order."""
        ledger = Ledger()
        for one in self.kept:
            if isinstance(one, Order):
                ledger.take(one)
            elif isinstance(one, HoldState) and one.order is not None:
                ledger.used(one.order, one.host, one.hold)
        return ledger

    async def visit_holds(self, visit: Callable[[str], None]) -> None:
        """Tell every hold."""
        for hold in self.heard:
            visit(hold)

    def _records(self) -> Iterable[Record]:
        for opened in (one for one in self.kept if isinstance(one, HoldOpened)):
            states = [
                one for one in self.kept if isinstance(one, HoldState) and one.hold == opened.hold
            ]
            votes = [
                one for one in self.kept if isinstance(one, Vote) and opened.hold in _named(one)
            ]
            comments = {
                one.comment: one
                for one in reversed(self.kept)  # of two under one id the first is kept
                if isinstance(one, Comment) and one.request == RequestId(opened.hold)
            }
            decisions = [
                one
                for one in self.kept
                if isinstance(one, Decision) and one.request == RequestId(opened.hold)
            ]
            yield Record(
                opened,
                states=tuple(sorted(states, key=lambda one: one.sequence)),
                votes=tuple(sorted(votes, key=lambda one: (one.time_ns, one.vote))),
                comments=tuple(sorted(comments.values(), key=lambda c: (c.time_ns, c.comment))),
                decision=decisions[0] if decisions else None,
                heard_ns=self.heard[opened.hold],
            )


def _named(said: Said) -> tuple[str, ...]:
    """Return the holds that a message is about."""
    return (said.request, *said.also) if isinstance(said, Vote) else (said.request,)


class Stepwise(Undecided):
    """Looks at the votes that wait for that when the test says so."""

    async def see_to_all(self) -> None:
        """Look at each; one that fails waits on."""
        while not self._waiting.empty():
            waits = self._waiting.get_nowait()
            try:
                await self.see_to(waits[1])
            except CentreError:
                self._waiting.put_nowait(waits)
                raise


class ModelCollector:
    """One collector: its key, its trail and its policies stay; the rest begins anew at a start."""

    def __init__(
        self,
        streams: Streams,
        signer: Signer,
        verifier: Verifier,
        clock: Callable[[], int],
        people: Sequence[Caller],
    ) -> None:
        self._streams, self._signer, self._verifier = streams, signer, verifier
        self._clock = clock
        self._reader = ModelReader()
        self.policies = Policies(None, host=lambda _, name: (name, {}), people=lambda: people)
        self._acked = dict.fromkeys(NAMES, 0)
        self.next = dict.fromkeys(NAMES, 0)

    async def start(self) -> None:
        """Begin with what the trail has, and read each stream on from what was acknowledged."""
        self.book = Book(Register(), self._reader)
        self.publisher = FaultyPublisher(self._streams)
        ledger = await self._reader.ledger()
        granting = Granting(ledger, self.publisher, self._signer, self._clock)
        self.decider = Decider(
            self.book,
            self.publisher,
            self._signer,
            self._verifier,
            self.policies,
            clock=self._clock,
            also=granting.grant,
        )
        self.issuer = Issuer(
            ledger,
            granting,
            self.decider,
            self.publisher,
            self._signer,
            hosts=lambda: (),
            limits=Grants(),
        )
        self.undecided = Stepwise(self.book, self.decider.settling)
        self.waiting = Waiting(
            self.book, self.decider.settling, self.policies, escalated=_nothing, clock=self._clock
        )
        unfinished = await self.book.load()
        self.undecided.take_up(unfinished)
        self.policies.changed = lambda: self.undecided.take_up(self.book.register.unfinished())
        self._intakes: dict[str, Intake] = {
            subjects.HOLDS: HoldIntake(
                self.book, self.decider, self.undecided, ledger, self._clock
            ),
            subjects.ORDERS: OrderIntake(ledger, self._verifier),
            **{
                name: SaidIntake(
                    name, kinds, self.book, self.decider, self.undecided, self._verifier
                )
                for name, kinds in (
                    (subjects.VOTES, (Vote, Comment)),
                    (subjects.DECISIONS, (Decision,)),
                )
            },
        }
        self.next = dict(self._acked)
        for record in unfinished:
            await self.decider.settling.follow(record)

    async def take(self, stream: str, position: int, *, ends: str = "") -> None:
        """Take in one message; `ends`: killed before the commit, or after it and before the rest.

        Raises KilledError then.
        """
        delivery = self._streams.messages[stream][position]
        intake = self._intakes[stream]
        work = await intake.take([delivery])
        if ends == "uncommitted":
            raise KilledError
        if not work.refused:
            self._commit(decode(delivery.data))
        if ends == "committed":
            raise KilledError
        await intake.done(work)
        if position == self.next[stream]:
            self.next[stream] = self._acked[stream] = position + 1

    def put_in_force(self, found: PolicySet) -> None:
        """Have other policies from now on."""
        self.policies.replace(found)

    async def let_time_act(self) -> None:
        """Do what is due by now."""
        self.waiting.take(self.book.register.unfinished())
        await self.waiting.see_to_due()

    async def see_to_votes(self) -> None:
        """Look at the votes that are kept for that."""
        await self.undecided.see_to_all()

    def _commit(self, message: object) -> None:
        known = cast("HoldOpened | HoldState | Said | Order", message)
        if known in self._reader.kept:
            return
        self._reader.kept.append(known)
        if isinstance(known, HoldOpened):
            record = self.book.register.get(RequestId(known.hold))
            self._reader.heard[known.hold] = 0 if record is None else record.heard_ns


async def _nothing(request: RequestId) -> None:
    """Nobody is told in these tests."""


def signed(message: Vote | Decision, signer: Signer) -> tuple[bytes, Headers]:
    """Return a message with the headers that a key gives it."""
    data = encode(message)
    return data, signer.headers(data)
