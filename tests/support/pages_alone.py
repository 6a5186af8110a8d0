"""The pages without NATS: the real application, trail and identities, and streams in memory.

async with pages_alone(tmp_path) as pages:
    ann = await pages.signed_in("ann@example.com", "reviewer")
    answer = await ann.get("/")
"""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import httpx
from fastapi import FastAPI

from collector.api.app import build
from collector.api.services import Services
from collector.api.show import Shower
from collector.approvals.applied import Policies
from collector.approvals.book import Book
from collector.approvals.decide import CheckFresh, Decider
from collector.approvals.register import Register
from collector.asks.desk import Asks
from collector.channels.dispatcher import Dispatcher
from collector.config import Grants, Trail
from collector.export.downloads import Downloads
from collector.export.exporter import Exporters
from collector.export.names import host_names
from collector.identity.hosts import HostNames
from collector.identity.links import Links
from collector.identity.people import Role, Tokens, create_token
from collector.identity.questions import SavedQuestions
from collector.identity.refused import RefusedSignIns
from collector.identity.sessions import Sessions
from collector.nats.publish import Publisher, Stored
from collector.oidc.wiring import SigningIn
from collector.orders.granting import Granting
from collector.orders.issue import Issuer
from collector.orders.ledger import Ledger
from collector.report.reports import Reports
from collector.shown.cards import ShownCards
from collector.trail.reader import Reader
from collector.trail.sql import SqlRunner
from collector.trail.store import open_trail
from collector.trail.writer import Writer
from collector.web.site import add_pages
from tests.support.policies import any_reviewer
from wire.codec import decode_as
from wire.errors import WireError
from wire.messages import Comment, HoldOpened, Vote
from wire.signing import Signer, Verifier

BROWSER = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
_CSRF = re.compile(r'name="csrf" value="([0-9a-f]{64})"')


@dataclass
class Streams:
    """Stands for the publisher: what was stored, and the one message of each subject."""

    book: Book
    votes: list[Vote] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    firsts: dict[str, Stored] = field(default_factory=dict)
    connected: bool = True

    async def append(self, _: str, subject: str, data: bytes, headers: Mapping[str, str]) -> None:
        """Store a vote or a comment, and take it in as the ingest does."""
        try:
            vote = decode_as(data, Vote)
        except WireError:
            comment = decode_as(data, Comment)
            self.comments.append(comment)
            self.book.register.said(comment)
            self.book.stored([comment.comment])
            return
        self.votes.append(vote)
        self.book.register.said(vote)

    async def first(
        self, _: str, subject: str, data: bytes, headers: Mapping[str, str]
    ) -> Stored | None:
        """Store the one message of a subject, or return what is there."""
        self.book.stored([subject.rpartition(".")[2]])
        if subject in self.firsts:
            return self.firsts[subject]
        self.firsts[subject] = Stored(data, dict(headers))
        return None

    async def stored(self, _: str, subject: str) -> Stored | None:
        """Return the newest message of a subject; a bucket has what a test has put there."""
        return self.firsts.get(subject)


@dataclass
class PagesAlone:
    """The application, with what stands behind it."""

    app: FastAPI
    book: Book
    streams: Streams
    database: Path

    def client(self, **headers: str) -> httpx.AsyncClient:
        """Return a browser that is not signed in."""
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        base = self.app.state.services.signing_in.base
        return httpx.AsyncClient(
            transport=transport, base_url=base, headers=BROWSER | headers, trust_env=False
        )

    async def signed_in(self, name: str, role: str, *logins: str) -> httpx.AsyncClient:
        """Return the browser of a person who has signed in with a token."""
        token = create_token(self.database, name=name, role=Role(role), logins=logins)
        client = self.client()
        answer = await client.post("/sign-in", data={"token": token})
        assert answer.status_code == 303, answer.text
        return client

    def hold(self, opened: HoldOpened) -> HoldOpened:
        """Take in a hold, as if its host had opened it."""
        self.book.opened(opened)
        return opened


async def csrf(client: httpx.AsyncClient) -> str:
    """Return what the forms of this browser's session carry."""
    found = _CSRF.search((await client.get("/hosts")).text)
    assert found is not None
    return found[1]


@asynccontextmanager
async def pages_alone(
    directory: Path,
    base: str = "http://127.0.0.1:8420",
    *,
    policies: Policies | None = None,
    check_fresh: CheckFresh | None = None,
) -> AsyncIterator[PagesAlone]:
    """Have the pages under the public address `base`; any reviewer decides unless told."""
    database = directory / "identities.db"
    connection = open_trail(Trail(file=str(directory / "trail.duckdb")))
    reader, writer = Reader(connection), Writer(connection, on_fatal=lambda why: None)
    sql = SqlRunner(connection, seconds=5, workers=1)
    reports, questions = Reports(sql), SavedQuestions(database)
    book = Book(Register(), reader)
    streams = Streams(book)
    publisher = cast("Publisher", streams)
    signer = Signer.generate()
    policies = policies or any_reviewer()
    names, tokens = HostNames(database), Tokens(database)
    sessions, links = Sessions(database), Links(database)
    verifier = Verifier(frozenset({signer.key_id}))
    ledger = Ledger()
    granting = Granting(ledger, publisher, signer)
    shown = ShownCards(names)
    decider = Decider(
        book,
        publisher,
        signer,
        verifier,
        policies,
        check_fresh,
        also=granting.grant,
        find_card=shown.find,
    )
    services = Services(
        book=book,
        decider=decider,
        issuer=Issuer(
            ledger,
            granting,
            decider,
            publisher,
            signer,
            hosts=names.all,
            limits=Grants(),
            check_fresh=check_fresh,
        ),
        policies=policies,
        publisher=publisher,
        reader=reader,
        writer=writer,
        sql=sql,
        reports=reports,
        questions=questions,
        names=names,
        shower=Shower(shown, policies),
        tokens=tokens,
        channels=cast("Dispatcher", None),
        asks=cast("Asks", None),
        downloads=Downloads(connection, host_names(database)),
        exporters=Exporters([]),
        signing_in=SigningIn(sessions, links, base, None, None, RefusedSignIns(database)),
        stream_queue=10,
        stream_clients=10,
        stream_clients_per_token=10,
    )
    app = build(services)
    add_pages(app, services)
    try:
        yield PagesAlone(app, book, streams, database)
    finally:
        await reports.close()
        for part in (questions, sql, reader, writer, tokens, sessions, links, connection):
            part.close()
