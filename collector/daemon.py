"""The running collector: opens the trail, joins NATS, and keeps ingest and API going until told."""

import asyncio
import logging
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import nats.errors
from fastapi import FastAPI
from nats.aio.client import Client

from collector.api.app import Server, build
from collector.api.services import Services
from collector.api.show import Shower
from collector.approvals.applied import Policies
from collector.approvals.book import Book
from collector.approvals.decide import Decider
from collector.approvals.record import Record
from collector.backup import mark
from collector.backup.mark import Restored
from collector.backup.still import Stillness
from collector.backup.still import place_of as socket_of
from collector.channels.dispatcher import Dispatcher
from collector.channels.slack.desk import Extras
from collector.channels.slack.for_a_time import ForATime
from collector.channels.slack.wiring import Answers
from collector.channels.wiring import http_routes, start_channels
from collector.config import Config, size
from collector.deciding import Deciding, start_deciding
from collector.errors import CentreError, CollectorError, ConfigError
from collector.identity.directory import known_people
from collector.identity.hosts import HostNames
from collector.identity.people import Tokens
from collector.identity.questions import SavedQuestions
from collector.ingest.checking import Checkers
from collector.ingest.feed import Feed
from collector.ingest.said import SaidIntake
from collector.ingest.sign_ins import SignInCopy
from collector.keys import read_signer
from collector.nats.connection import connect
from collector.nats.publish import Publisher
from collector.nats.streams import ensure_host_consumers, ensure_streams
from collector.oidc.wiring import signing_in
from collector.proof.anchors import anchors_of
from collector.proof.file import CheckpointFile
from collector.proof.notary import Notary
from collector.report.reports import Reports
from collector.shown.cards import ShownCards
from collector.shown.file import FILE as SHOWN
from collector.shown.file import ShownFile
from collector.storage import Storage, open_storage
from collector.web.site import add_pages
from wire.signing import Signer, Verifier

log = logging.getLogger(__name__)

_RETRY_S = 2.0
# Python's own 5 ms is how long the event loop waits for a thread that makes rows or reads columns.
_SWITCH_S = 0.0005
# What people say reaches the host without the trail; to take it in meanwhile would be in its way.
_SAID_S = 0.005


class Stop:
    """Why the daemon ends: empty for a signal, otherwise what went wrong."""

    def __init__(self) -> None:
        self._why: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def because(self, why: str) -> None:
        """End the daemon; the first reason stays."""
        if not self._why.done():
            self._why.set_result(why)

    async def unless(self, work: Coroutine[Any, Any, None]) -> bool:
        """Run `work`; return False, with the work cancelled, if the end comes first."""
        task: asyncio.Future[Any] = asyncio.ensure_future(work)
        ends: list[asyncio.Future[Any]] = [task, self._why]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return False
        task.result()
        return True

    async def wait(self) -> str:
        """Return why, once it is so."""
        return await self._why


async def run(config: Config) -> None:
    """Run until SIGTERM or SIGINT; raise CollectorError when it cannot start or go on."""
    limit_memory(config)
    sys.setswitchinterval(_SWITCH_S)
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.because, "")
    async with AsyncExitStack() as stack:
        await stop.unless(_start(config, stop, stack))
        why = await stop.wait()
        log.info("stopping%s", f": {why}" if why else "")
    if why:
        raise CollectorError(why)


def limit_memory(config: Config) -> None:
    """Bound the whole process, so that a query which eats memory fails instead of the machine.

    DuckDB's own limit does not count every string it makes; the kernel's does.
    """
    wanted = size(config.trail.process_memory, place="trail.process_memory")
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


async def _start(config: Config, stop: Stop, stack: AsyncExitStack) -> None:
    """Bring everything up; `stack` takes it down again in the opposite order."""
    signer = read_signer(Path(config.signing.key_file))
    verifier = Verifier(frozenset({signer.key_id, *config.signing.trusted}))
    storage = open_storage(config, signer, stop.because, stack)
    feeds: list[Feed] = []
    client = await _join_nats(config, stop, stack, feeds)

    publisher = Publisher(client, timeout_s=config.nats.publish_timeout_s)
    names = HostNames(Path(config.identities.file))
    policies = open_policies(config, names)
    shown = _shown_cards(config, names, stack)
    deciding = await start_deciding(
        config,
        storage.reader,
        publisher,
        policies,
        names,
        signer=signer,
        verifier=verifier,
        shown=shown,
    )
    checkers = Checkers()
    stack.callback(checkers.close)
    for intake in deciding.intakes(checkers):
        gather_s = _SAID_S if isinstance(intake, SaidIntake) else 0.0
        feeds.append(Feed(client, intake, storage.writer, trail=storage.trail, gather_s=gather_s))
    restored = mark.look(Path(config.trail.file), storage.trail)
    for feed in feeds:
        anew = restored is not None
        await _until_it_answers(partial(feed.prepare, client.jetstream(), anew=anew))
    services = await _services(config, storage, publisher, names, deciding, shown, stack)
    server = Server(_application(config, services), config.api)
    tasks = [_watched(stop, feed.name, feed.run()) for feed in feeds]
    tasks += _tasks(stop, deciding, services.channels)
    tasks += [_watched(stop, "export", one) for one in storage.exporters.work()]
    identities = Path(config.identities.file)
    copy = SignInCopy(identities, storage.writer, trail=storage.trail, seen_by=signer.key_id)
    tasks.append(_watched(stop, "sign-ins", copy.run()))
    still = Stillness(storage.writer, socket_of(Path(config.trail.file)))
    tasks.append(_watched(stop, "backups", still.run()))
    notary = _checkpoints(config, storage, publisher, signer, restored)
    stack.push_async_callback(notary.end)
    tasks.append(_watched(stop, "checkpoints", notary.run()))
    stack.push_async_callback(_cancel, tasks)
    serving = _watched(stop, "api", server.run_until_stopped())
    stack.push_async_callback(_end_api, server, deciding.book, serving)
    await server.listening.wait()
    log.info("%d requests are not finished", len(deciding.open_before))
    print(f"ready api={server.url} nats={config.nats.url}", flush=True)


def _shown_cards(config: Config, names: HostNames, stack: AsyncExitStack) -> ShownCards:
    """Return what renders cards, with the file of those that nobody has answered yet."""
    file = ShownFile(Path(config.identities.file).with_name(SHOWN))
    stack.push_async_callback(file.close)
    shown = ShownCards(names, file)
    stack.push_async_callback(shown.written)
    return shown


def _checkpoints(
    config: Config,
    storage: Storage,
    publisher: Publisher,
    signer: Signer,
    restored: Restored | None,
) -> Notary:
    """Return what signs the trail."""
    return Notary(
        storage.connection,
        storage.writer,
        publisher,
        signer,
        trail=storage.trail,
        every_s=config.trail.checkpoint_s,
        file=CheckpointFile(config.trail.checkpoints),
        anchors=anchors_of(config.trail),
        restored=restored,
        on_restored=partial(mark.remove, Path(config.trail.file)),
    )


async def _services(
    config: Config,
    storage: Storage,
    publisher: Publisher,
    names: HostNames,
    deciding: Deciding,
    shown: ShownCards,
    stack: AsyncExitStack,
) -> Services:
    """Return what the API, the pages and the channels work with."""
    book, policies = deciding.book, deciding.policies
    tokens = Tokens(Path(config.identities.file))
    stack.callback(tokens.close)
    await tokens.check("")  # opens the file
    reports = Reports(storage.sql)
    stack.push_async_callback(reports.close)
    questions = SavedQuestions(Path(config.identities.file))
    stack.callback(questions.close)
    ways_in = signing_in(config, stack)
    extras = Extras(grants=ForATime(deciding.issuer), orders=deciding.orders)
    answers = Answers(deciding.decider, policies, ways_in.links, ways_in.base, extras)
    return Services(
        book=book,
        decider=deciding.decider,
        policies=policies,
        issuer=deciding.issuer,
        publisher=publisher,
        reader=storage.reader,
        writer=storage.writer,
        sql=storage.sql,
        reports=reports,
        questions=questions,
        names=names,
        shower=Shower(shown, policies),
        tokens=tokens,
        channels=start_channels(config, book, policies, stack, answers=answers, shown=shown),
        signing_in=ways_in,
        asks=deciding.asks,
        downloads=storage.downloads,
        exporters=storage.exporters,
        retention=storage.retention,
        stream_queue=config.api.stream_queue,
        stream_clients=config.api.stream_clients,
        stream_clients_per_token=config.api.stream_clients_per_token,
    )


def _application(config: Config, services: Services) -> FastAPI:
    """Return the API, with what channels bring to it, and the pages if they are wanted."""
    app = build(services)
    for router in http_routes(services.channels):
        app.include_router(router)
    if config.web.enabled:
        add_pages(app, services)
    return app


def _tasks(stop: Stop, deciding: Deciding, dispatcher: Dispatcher) -> list[asyncio.Task[None]]:
    """Start what goes on beside the streams and the API."""
    waits = deciding.waiting(dispatcher)
    again = _deliver_again(deciding.decider, deciding.open_before)
    return [
        _watched(stop, "undecided votes", deciding.undecided.run()),
        _watched(stop, "orders", deciding.issuer.run()),
        _watched(stop, "who is known", deciding.policies.follow_people()),
        _watched(stop, "deadlines and escalation", waits.run(), ends=True),
        _watched(stop, "channels", dispatcher.run(), ends=True),
        _watched(stop, "asks", deciding.asks.endings.run(), ends=True),
        _watched(stop, "verdicts", again, ends=True),
    ]


def open_policies(config: Config, names: HostNames) -> Policies:
    """Return the policies of the configuration, read again at each SIGHUP."""
    identities = Path(config.identities.file)
    file = config.approvals.policy_file
    policies = Policies(
        Path(file) if file else None,
        host=lambda host, claimed: (names.name(host, claimed), names.labels(host)),
        people=lambda: known_people(identities),
    )

    def reload() -> None:
        names.all()  # labels may have changed too
        try:
            policies.reload()
            log.info("policies read again: %d", len(policies.policies.policies))
        except ConfigError as error:
            log.error("the policies in force stay as they are: %s", error)

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
    return policies


async def _join_nats(
    config: Config, stop: Stop, stack: AsyncExitStack, feeds: list[Feed]
) -> Client:
    """Connect, and make what is missing on the server; `feeds` hear of each new connection."""

    def renew() -> None:
        for feed in feeds:
            feed.renew()

    client = await connect(
        url=config.nats.url,
        seed_file=Path(config.nats.seed_file),
        tls_ca=config.nats.tls_ca,
        on_reconnect=renew,
        on_closed=lambda: stop.because("NATS has closed the connection for good; see the log"),
    )
    stack.push_async_callback(client.close)
    await _until_it_answers(lambda: _prepare(client, config))
    return client


async def _prepare(client: Client, config: Config) -> None:
    """Make streams and the consumers of every enrolled host, as they must be."""
    js = client.jetstream()
    await ensure_streams(js)
    for host in HostNames(Path(config.identities.file)).all():
        await ensure_host_consumers(js, host.host)


async def _until_it_answers(step: Callable[[], Awaitable[None]]) -> None:
    """Do a step again for as long as JetStream is not there yet, or went away in between."""
    while True:
        try:
            return await step()
        except (nats.errors.Error, TimeoutError) as error:
            log.warning("JetStream does not answer (%s); trying again", error or "no answer")
            await asyncio.sleep(_RETRY_S)


async def _deliver_again(decider: Decider, records: Sequence[Record]) -> None:
    """See that every decision of before the restart has its verdict."""
    for record in records:
        while True:
            try:
                await decider.settling.follow(record)
                break
            except CentreError as error:
                log.warning("hold %s: verdict not delivered yet: %s", record.hold, error)
                await asyncio.sleep(_RETRY_S)


def _watched(
    stop: Stop, name: str, work: Coroutine[Any, Any, None], *, ends: bool = False
) -> asyncio.Task[None]:
    """Run a part without which the daemon must not go on: it ends with it, and says why.

    `ends`: the part has an end of its own, and only its failure matters.
    """

    async def guarded() -> None:
        try:
            await work
            if ends:
                return
            why = f"{name} has ended"
        except asyncio.CancelledError:
            raise
        except Exception as error:  # the top of the part: systemd starts the collector again
            log.exception("%s failed", name)
            why = f"{name} failed: {type(error).__name__}: {error}"
        stop.because(why)

    return asyncio.create_task(guarded(), name=name)


async def _end_api(server: Server, book: Book, serving: asyncio.Task[None]) -> None:
    book.close()
    server.should_exit = True
    await serving


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
