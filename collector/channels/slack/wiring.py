"""Puts the Slack channel together as the configuration says."""

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode

from collector.approvals.applied import Policies
from collector.approvals.book import Book
from collector.approvals.decide import Decider
from collector.approvals.record import Record
from collector.channels.notices import Notices
from collector.channels.slack.app import new_client
from collector.channels.slack.channel import SlackChannel
from collector.channels.slack.desk import Desk, Extras
from collector.channels.slack.door import Door, Links
from collector.channels.slack.incoming import Incoming
from collector.channels.slack.places import Places
from collector.channels.slack.settings import Slack, read_secrets
from collector.channels.store import Cards
from wire.ids import RequestId


@dataclass(frozen=True, slots=True)
class Answers:
    """What a channel needs that takes answers; `base` is the address of the pages."""

    decider: Decider
    policies: Policies
    links: Links
    base: str
    extras: Extras = field(default_factory=Extras)


def slack_that_shows(settings: Slack) -> SlackChannel:
    """Return a channel that takes no answers, for a test of it; raise ConfigError."""
    secrets = read_secrets(settings)

    async def nothing(_: RequestId) -> Record | None:
        return None

    client = new_client(settings, secrets.bot_token)
    return SlackChannel(client, nothing, Places(client), Extras())


def slack_that_answers(
    settings: Slack, answers: Answers, book: Book, cards: Cards, notices: Notices
) -> SlackChannel:
    """Return the whole channel; raise ConfigError if its files do not hold what they must."""
    secrets = read_secrets(settings)
    client = new_client(settings, secrets.bot_token)
    door = Door(client, answers.links, link_page(answers.base))
    desk = Desk(
        book,
        answers.decider,
        answers.policies,
        cards,
        notices,
        door,
        answers.base,
        answers.extras,
    )
    incoming = Incoming(settings, secrets, desk, client)
    places = Places(client, door.accounts_of)
    return SlackChannel(client, book.get, places, answers.extras, incoming)


def link_page(base: str) -> Callable[[str], str]:
    """Return what gives the page where somebody signed in says that an account is theirs."""
    return lambda code: f"{base}/auth/link?{urlencode({'code': code})}"
