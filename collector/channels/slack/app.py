"""Which event of Slack goes where: the Bolt application, wired from one table.

deploy/slack/manifest.yaml asks for exactly what is used here; a test compares them.
"""

import logging
import re

from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from collector.channels.slack.blocks import (
    APPROVE,
    APPROVE_FOR,
    DENY,
    DENY_ALL,
    DETAILS,
    OPEN_FORM,
    OPEN_PAGE,
)
from collector.channels.slack.clicks import Clicks
from collector.channels.slack.commands import COMMAND, Commands
from collector.channels.slack.comments import Comments
from collector.channels.slack.desk import Desk
from collector.channels.slack.modal import BECAUSE, REASON_VIEW
from collector.channels.slack.settings import Secrets, Slack

# What the methods that are called need, and what the manifest asks for.
SCOPES = {
    "channels:history": "replies below cards, and to look for a card that may be there already",
    "channels:read": "to find #name",
    "chat:write": "cards and answers",
    "chat:write.public": "cards in public channels that the app was not invited to",
    "commands": COMMAND,
    "groups:history": "the same in private channels",
    "groups:read": "the same in private channels",
    "im:history": "replies below cards in direct messages",
    "im:write": "direct messages to the owner",
    "mpim:history": "replies below cards to several owners",
    "mpim:write": "direct messages to several owners",
    "users:read": "whether somebody is a full member",
    "users:read.email": "the owner by address, and whether an address is confirmed",
}
EVENTS = ("message.channels", "message.groups", "message.im", "message.mpim")


def new_client(settings: Slack, token: str) -> AsyncWebClient:
    """Return a client that never repeats a request by itself: what is doubled is ours to know."""
    return AsyncWebClient(
        token,
        base_url=settings.api_url,
        timeout=settings.request_timeout_s,
        retry_handlers=[],
        logger=logging.getLogger("collector.channels.slack.api"),
    )


def build(secrets: Secrets, client: AsyncWebClient, desk: Desk) -> AsyncApp:
    """Return the application with every listener."""
    app = AsyncApp(
        client=client,
        signing_secret=secrets.signing_secret or "unused in Socket Mode",
        # http.py has verified the raw body before anything gets here.
        request_verification_enabled=False,
        logger=logging.getLogger("collector.channels.slack.bolt"),
    )
    clicks, commands = Clicks(desk, client), Commands(desk)
    comments = Comments(desk, client)
    for action in (APPROVE, APPROVE_FOR, DENY):
        app.action(action)(clicks.answer)
    app.action(DENY_ALL)(clicks.deny_all)
    app.action(DETAILS)(clicks.details)
    for link in (OPEN_PAGE, OPEN_FORM):
        app.action(link)(clicks.opened_page)
    app.action(re.compile(rf"{BECAUSE}\d+"))(clicks.because)
    app.view(REASON_VIEW)(clicks.written)
    app.command(COMMAND)(commands.run)
    app.event("message")(comments.message)
    return app
