"""What comes in from Slack: over a connection that we open (Socket Mode), or by HTTP.

Nothing is believed before Slack has said which workspace and app the token belongs to.
"""

import asyncio
import logging

from fastapi import APIRouter
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_sdk.web.async_client import AsyncWebClient

from collector.channels.slack.app import build, new_client
from collector.channels.slack.desk import Desk
from collector.channels.slack.door import find_workspace
from collector.channels.slack.http import Verifier, router
from collector.channels.slack.settings import Secrets, Slack
from collector.errors import ChannelBusyError, ChannelError

log = logging.getLogger(__name__)

_AGAIN_S = 30.0


class Incoming:
    """Serves clicks, commands and comments. `ready` is set while they are taken."""

    def __init__(
        self, settings: Slack, secrets: Secrets, desk: Desk, client: AsyncWebClient
    ) -> None:
        """`client` must be the one that the desk's door asks."""
        self._settings = settings
        self._secrets = secrets
        self._desk = desk
        self._client = client
        self.app = build(secrets, client, desk)
        self.ready = asyncio.Event()

    def routes(self) -> APIRouter | None:
        """Return the route that Slack calls; None in Socket Mode."""
        if self._settings.mode != "http":
            return None
        return router(self.app, Verifier(self._secrets.signing_secret))

    async def run(self) -> None:
        """Serve until cancelled; in HTTP mode there is no more to do than to learn who we are."""
        await self._introduce()
        if self._settings.mode == "http":
            self.ready.set()
            return
        client = new_client(self._settings, self._secrets.app_token)
        handler = AsyncSocketModeHandler(self.app, self._secrets.app_token, web_client=client)
        try:
            await handler.connect_async()  # type: ignore[no-untyped-call]
            self.ready.set()
            log.info("slack: connected by Socket Mode")
            # The handler works in tasks of its own, and connects anew by itself.
            await asyncio.Event().wait()
        finally:
            self.ready.clear()
            await handler.close_async()  # type: ignore[no-untyped-call]

    async def _introduce(self) -> None:
        """Learn who we are, however long Slack takes."""
        while self._desk.door.workspace is None:
            try:
                self._desk.door.workspace = await find_workspace(self._client)
            except (ChannelError, ChannelBusyError) as error:
                log.error("slack: not connected yet: %s", error)
                await asyncio.sleep(_AGAIN_S)
