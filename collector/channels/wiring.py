"""Puts the channels together as the configuration says; the next one gets its lines here."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from fastapi import APIRouter

from collector.approvals.applied import Applied, Policies
from collector.approvals.book import Book
from collector.approvals.record import Record, RequestState
from collector.channels.asked import asked_by
from collector.channels.dispatcher import Dispatcher
from collector.channels.http import Http
from collector.channels.interface import Channel, Route, Routes
from collector.channels.notices import Notices, glass_broken
from collector.channels.settings import routes_of
from collector.channels.slack.channel import SlackChannel
from collector.channels.slack.door import CHANNEL
from collector.channels.slack.places import OWNER, PERSON
from collector.channels.slack.wiring import Answers, slack_that_answers, slack_that_shows
from collector.channels.store import Cards
from collector.channels.teams import Teams
from collector.channels.webhook import Webhook
from collector.config import Config
from collector.errors import ChannelError, ConfigError
from collector.identity.hosts import HostNames
from collector.policy.model import FOR_EVER
from collector.shown.cards import ShownCards
from collector.web.settings import base_url, quarantine_url, request_url
from wire.ids import RequestId

FILE = "channels.sqlite3"


def start_channels(
    config: Config,
    book: Book,
    policies: Policies,
    stack: AsyncExitStack,
    *,
    answers: Answers | None = None,
    shown: ShownCards | None = None,
) -> Dispatcher:
    """Return the dispatcher, ready to run; raise CollectorError if a channel is set up wrongly.

    Without `answers` no channel takes any. `shown` renders the cards, and knows them again.
    """
    channels = set_up(config, stack)
    default = routes_of(config.channels.default, place="channels.default")
    fallback = routes_of(config.channels.fallback, place="channels.fallback")
    check_channels((*default, *fallback), channels, place="channels")
    policies.check = lambda found: check_channels(
        (Route.parse(text) for policy in found.policies for text in policy.all_channels()),
        channels,
        place=config.approvals.policy_file,
    )
    policies.check(policies.policies)
    beside = Path(config.identities.file).with_name(FILE)
    cards = Cards(Path(config.channels.file) if config.channels.file else beside)
    stack.push_async_callback(cards.close)
    base = _base(config)
    shown = shown or ShownCards(HostNames(Path(config.identities.file)))
    form = partial(quarantine_url, base)
    notices = Notices(shown, links(config), form, asked_by(policies))
    tells_owner = config.slack.enabled and config.slack.tell_owner
    owner = Route(CHANNEL, OWNER) if tells_owner else None
    people = CHANNEL if config.slack.enabled else ""
    if config.slack.enabled and answers is not None:
        slack = slack_that_answers(config.slack, answers, book, cards, notices)
        channels = [slack if one.name == slack.name else one for one in channels]
    dispatcher = Dispatcher(
        book,
        cards,
        notices,
        channels,
        routes(policies, default, fallback, owner=owner, people=people),
        fallback=fallback,
        besides=() if owner is None else (owner,),
    )
    stack.push_async_callback(dispatcher.close)
    return dispatcher


def routes(
    policies: Policies,
    default: Sequence[Route],
    fallback: Sequence[Route] = (),
    *,
    owner: Route | None = None,
    people: str = "",
) -> Routes:
    """Return what says where requests go: where their policy says, else where `default` does.

    Escalation adds to that. One that nobody may approve goes to `fallback` at once, where its
    policy has no step of escalation. A request that was released by breaking the glass goes to
    every place that its policy names, so that whoever was passed over is told: and, by themselves,
    the people of its groups in the channel `people`. `owner` is where whoever answers for the
    subject is told of each.
    """

    def of(record: Record) -> Sequence[Route]:
        applied = policies.apply(record)
        policy = applied.policy
        to = policy.escalated_to(FOR_EVER)
        if not glass_broken(record):
            to = applied.escalated_to(time.time_ns())
        first = tuple(map(Route.parse, policy.channels)) or tuple(default)
        alone = applied.stuck and not policy.escalate and record.state is RequestState.OPEN
        told = passed_over(applied, record) if people else ()
        own = (owner,) if owner is not None and record.opened.owner else ()
        others = (*map(Route.parse, to), *(fallback if alone else ()), *own)
        others += tuple(Route(people, f"{PERSON}{name}") for name in told)
        return tuple(dict.fromkeys((*first, *others)))

    return of


def passed_over(applied: Applied, record: Record) -> tuple[str, ...]:
    """Return whoever is of the groups that the policy asks, and was not asked in the end.

    Those who have voted were; where any reviewer is asked, no group was passed over.
    """
    if not glass_broken(record):
        return ()
    asked = {quota.group for quota in applied.policy.approve} - {""}
    groups = asked | applied.policy.stand_ins(FOR_EVER)
    voted = [name for vote in record.votes for name in (vote.by, *vote.names)]
    if record.decision is not None:
        voted.append(record.decision.by)
    return tuple(name for name in applied.known.of_groups(groups, voted) if name.isprintable())


def check_channels(wanted: Iterable[Route], channels: Sequence[Channel], *, place: str) -> None:
    """Raise ConfigError for a route of a channel that is not set up."""
    known = {channel.name for channel in channels}
    for route in wanted:
        if route.channel not in known:
            raise ConfigError(
                f"{place}: {route} has no section of its own in the configuration; channels that "
                f"are set up: {', '.join(sorted(known)) or 'none'}"
            )


def set_up(config: Config, stack: AsyncExitStack) -> list[Channel]:
    """Return the channels that have a section; raise ConfigError if one cannot be used."""
    found: list[Channel] = []
    if config.webhook.directory:
        found.append(Webhook(Path(config.webhook.directory), _http(config, stack, webhook=True)))
    if config.teams.directory:
        found.append(Teams(Path(config.teams.directory), _http(config, stack)))
    if config.slack.enabled:
        found.append(slack_that_shows(config.slack))
    return found


def http_routes(dispatcher: Dispatcher) -> list[APIRouter]:
    """Return the routes by which channels bring answers to the collector's API."""
    slack = dispatcher.channel(CHANNEL)
    if not isinstance(slack, SlackChannel) or slack.incoming is None:
        return []
    made = slack.incoming.routes()
    return [] if made is None else [made]


def _http(config: Config, stack: AsyncExitStack, *, webhook: bool = False) -> Http:
    try:
        http = Http(
            timeout_s=config.channels.timeout_s, tls_ca=config.webhook.tls_ca if webhook else ""
        )
    except ChannelError as error:
        raise ConfigError(f"webhook.tls_ca: {error}") from error
    stack.push_async_callback(http.close)
    return http


def links(config: Config) -> Callable[[RequestId], str]:
    """Return what gives the address of a request's page."""
    base = _base(config)
    return lambda request: request_url(base, request)


def _base(config: Config) -> str:
    return base_url(config.web, listen=config.api.listen, tls=bool(config.api.tls_certificate))
