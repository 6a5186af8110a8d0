"""Microsoft Teams, by a Workflows webhook: a card with a link to the page where people decide.

Nobody can answer from the card: what such a webhook shows has no identity behind it. Nor can the
card be changed later, so what becomes of the request is posted below it, in a line.
"""

import asyncio
from pathlib import Path

from collector.channels import teams_card
from collector.channels.http import Http
from collector.channels.interface import Notice, Posted
from collector.channels.targets import Targets


class Teams:
    """Posts to the workflows whose addresses are in a directory: NAME.url is teams:NAME."""

    name = "teams"

    def __init__(self, directory: Path, http: Http) -> None:
        self._targets = Targets(directory, self.name)
        self._http = http

    async def post(self, notice: Notice) -> Posted:
        """Show the request."""
        # Long ones take a while to draw, and answers must not wait for it.
        message = await asyncio.to_thread(teams_card.message, notice)
        return await self._send(notice, message)

    async def update(self, posted: Posted, notice: Notice) -> Posted:
        """Say what became of it, if that is news."""
        if posted.reference == teams_card.standing(notice) and not notice.alarm:
            return posted
        return await self._send(notice, teams_card.follow_up(notice))

    async def run(self) -> None:
        """Nothing comes in."""

    async def _send(self, notice: Notice, message: bytes) -> Posted:
        await self._http.post(self._targets.url(notice.to), message, {})
        return Posted(teams_card.standing(notice))
