"""Puts the channels together as the configuration says; the next one gets its lines here."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from fastapi import APIRouter

from collector.approvals.book import Book
from collector.channels.dispatcher import Dispatcher
from collector.channels.http import Http
from collector.channels.interface import Channel, Routes
from collector.channels.notices import Notices
from collector.channels.settings import routes_of
from collector.channels.slack.channel import SlackChannel
from collector.channels.slack.door import CHANNEL
from collector.channels.slack.wiring import Answers, slack_that_answers, slack_that_shows
from collector.channels.store import Cards
from collector.channels.teams import Teams
from collector.channels.webhook import Webhook
from collector.config import Config
from collector.errors import ChannelError, ConfigError
from collector.identity.hosts import HostNames
from collector.web.settings import base_url, request_url
from wire.ids import RequestId

FILE = "channels.sqlite3"


def start_channels(
    config: Config,
    book: Book,
    stack: AsyncExitStack,
    *,
    routes: Routes | None = None,
    answers: Answers | None = None,
) -> Dispatcher:
    """Return the dispatcher, ready to run; raise CollectorError if a channel is set up wrongly.

    `routes` says where requests go; without it, all go where `channels.default` says. Without
    `answers` no channel takes any.
    """
    channels = set_up(config, stack)
    default = routes_of(config.channels.default, place="channels.default")
    fallback = routes_of(config.channels.fallback, place="channels.fallback")
    known = {channel.name for channel in channels}
    for route in (*default, *fallback):
        if route.channel not in known:
            raise ConfigError(
                f"channels: {route} has no section of its own in the configuration; channels that "
                f"are set up: {', '.join(sorted(known)) or 'none'}"
            )
    beside = Path(config.identities.file).with_name(FILE)
    cards = Cards(Path(config.channels.file) if config.channels.file else beside)
    stack.push_async_callback(cards.close)
    notices = Notices(HostNames(Path(config.identities.file)), links(config))
    if config.slack.enabled and answers is not None:
        slack = slack_that_answers(config.slack, answers, book, cards, notices)
        channels = [slack if one.name == slack.name else one for one in channels]
    dispatcher = Dispatcher(
        book, cards, notices, channels, routes or (lambda record: default), fallback=fallback
    )
    stack.push_async_callback(dispatcher.close)
    return dispatcher


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
    base = base_url(config.web, listen=config.api.listen, tls=bool(config.api.tls_certificate))
    return lambda request: request_url(base, request)
