"""The parts that decide, put together: requests, policies, the door for answers, orders, asks.

They share one ledger and one check of how fresh a proof is, and hear the streams by `intakes`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from collector.approvals.applied import Policies
from collector.approvals.book import Book
from collector.approvals.decide import CheckFresh, Decider
from collector.approvals.record import Record
from collector.approvals.register import Register
from collector.approvals.undecided import Undecided
from collector.approvals.waiting import Waiting
from collector.asks.desk import Asks
from collector.channels.dispatcher import Dispatcher
from collector.config import Config
from collector.identity.hosts import HostNames
from collector.identity.people import Caller
from collector.ingest.asks import AskIntake
from collector.ingest.checking import Checkers
from collector.ingest.events import EventIntake, HostIntake
from collector.ingest.holds import HoldIntake
from collector.ingest.orders import OrderIntake
from collector.ingest.said import SaidIntake
from collector.ingest.work import Intake
from collector.nats.publish import Publisher
from collector.oidc.step_up import check_fresh
from collector.orders.desk import OrderDesk
from collector.orders.granting import Granting
from collector.orders.issue import Issuer
from collector.shown.cards import ShownCards
from collector.trail.reader import Reader
from wire import subjects
from wire.messages import Comment, Decision, Severity, Vote
from wire.signing import Signer, Verifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Deciding:
    """What decides. `open_before`: the requests that were not finished at the start."""

    book: Book
    policies: Policies
    decider: Decider
    undecided: Undecided
    issuer: Issuer
    orders: OrderDesk
    asks: Asks
    verifier: Verifier
    open_before: Sequence[Record]

    def intakes(self, checkers: Checkers) -> tuple[Intake, ...]:
        """Return what takes in the streams."""
        book, decider, undecided = self.book, self.decider, self.undecided
        return (
            HoldIntake(book, decider, undecided, self.issuer.ledger),
            AskIntake(book, undecided, self.verifier),
            OrderIntake(self.issuer.ledger, self.verifier),
            SaidIntake(subjects.VOTES, (Vote, Comment), book, decider, undecided, self.verifier),
            SaidIntake(subjects.DECISIONS, (Decision,), book, decider, undecided, self.verifier),
            EventIntake(checkers),
            HostIntake(self.issuer.host_started),
        )

    def waiting(self, dispatcher: Dispatcher) -> Waiting:
        """Return what keeps deadlines and escalations, also when other policies come in force."""
        waits = Waiting(
            self.book, self.decider.settling, self.policies, escalated=dispatcher.reconsider
        )

        def judge_anew() -> None:
            # Fewer votes may be enough now.
            self.undecided.take_up(self.book.register.unfinished())
            waits.reconsider()

        self.policies.changed = judge_anew
        self.policies.people_changed = waits.reconsider
        return waits


async def start_deciding(
    config: Config,
    reader: Reader,
    publisher: Publisher,
    policies: Policies,
    names: HostNames,
    *,
    signer: Signer,
    verifier: Verifier,
    shown: ShownCards,
) -> Deciding:
    """Make the parts, and load from the trail what is not finished; raise TrailError."""
    fresh = _freshness(config)
    book = Book(Register(), reader)
    ledger = await reader.ledger()
    granting = Granting(ledger, publisher, signer)
    decider = Decider(
        book,
        publisher,
        signer,
        verifier,
        policies,
        fresh,
        break_glass_s=config.approvals.break_glass_s,
        also=granting.grant,
        find_card=shown.find,
    )
    undecided = Undecided(book, decider.settling)
    issuer = Issuer(
        ledger,
        granting,
        decider,
        publisher,
        signer,
        hosts=names.all,
        limits=config.grants,
        check_fresh=fresh,
    )
    open_before = await book.load()
    undecided.take_up(open_before)
    return Deciding(
        book=book,
        policies=policies,
        decider=decider,
        undecided=undecided,
        issuer=issuer,
        orders=OrderDesk(issuer, book, reader, names),
        asks=Asks(book, decider, publisher, signer, verifier, config.asks),
        verifier=verifier,
        open_before=open_before,
    )


def _freshness(config: Config) -> CheckFresh:
    def check(caller: Caller, severity: Severity, now_ns: int, *, what: str = "") -> None:
        check_fresh(caller, severity, config.oidc, now_ns, what=what)

    return check
