"""Stands in for Slack and the people in it: they click, write and read, and see that it has come.

What is served, and what can go wrong with it, is in slack_server.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.support.slack_limits import texts
from tests.support.slack_server import (
    APP,
    APP_TOKEN,
    APPROVALS,
    BOT_TOKEN,
    BOT_USER,
    SECRET,
    TEAM,
    Fault,
    Json,
    SlackServer,
    not_ok,
    rate_limited,
)

__all__ = [
    "APP",
    "APPROVALS",
    "APP_TOKEN",
    "BOT_TOKEN",
    "BOT_USER",
    "SECRET",
    "TEAM",
    "Fault",
    "Json",
    "SlackStandIn",
    "not_ok",
    "rate_limited",
    "slack_stand_in",
]


class SlackStandIn(SlackServer):
    """A workspace whose people are the test's hands and eyes."""

    def cards(self, request: str) -> list[Json]:
        """Return the messages that are cards of a request."""
        found = [one for one in self.messages.values() if request in json.dumps(one["blocks"])]
        return [one for one in found if not one.get("thread_ts")]

    async def card(self, request: str, has: str = "") -> Json:
        """Return the card of a request once it is there and says this."""

        def found() -> Json | None:
            cards = self.cards(request)
            return cards[0] if cards and has in json.dumps(cards[0], ensure_ascii=False) else None

        card: Json = await self.wait(found)
        return card

    def replies(self, card: Json) -> list[Json]:
        """Return what the app has written below a card, oldest first."""
        return [one for one in self.messages.values() if one.get("thread_ts") == card["ts"]]

    def trigger(self) -> str:
        """Return a trigger that opens one window."""
        trigger = f"trigger-{next(self.counter)}"
        self.triggers[trigger] = self.now
        return trigger

    def click_body(self, who: str, card: Json, action: str, **changes: Any) -> Json:
        """Return what Slack sends when somebody presses a button of a card."""
        found = [
            element
            for block in card["blocks"]
            for element in block.get("elements", [])
            if element.get("action_id") == action
        ]
        assert found, f"no button {action} on {json.dumps(card['blocks'])}"
        body = {
            "type": "block_actions",
            "team": {"id": TEAM, "domain": "example"},
            "user": {"id": who, "team_id": TEAM, "username": who.lower()},
            "api_app_id": APP,
            "container": {"type": "message", "message_ts": card["ts"]},
            "trigger_id": self.trigger(),
            "channel": {"id": card["channel"], "name": "approvals"},
            "message": {"ts": card["ts"], "blocks": card["blocks"]},
            "response_url": f"{self.url}/respond/{next(self.counter)}",
            "actions": [found[0] | {"action_ts": "1.2", "block_id": "holdfast"}],
        }
        return body | changes

    async def click(self, who: str, card: Json, action: str, **changes: Any) -> str:
        """Press a button; return the envelope's id."""
        return await self.send("interactive", self.click_body(who, card, action, **changes))

    async def press(self, user: str, view: Json, action: str, **changes: Any) -> str:
        """Press a button in a window."""
        body = self.click_body(user, view | {"ts": "", "channel": ""}, action)
        del body["channel"], body["message"]
        body |= {"view": view, "container": {"type": "view", "view_id": view["id"]}}
        return await self.send("interactive", body | changes)

    async def submit(self, user: str, view: Json, values: Json, **changes: Any) -> str:
        """Send a window off with what was typed into it."""
        body = {
            "type": "view_submission",
            "team": {"id": TEAM},
            "user": {"id": user, "team_id": TEAM},
            "api_app_id": APP,
            "view": view | {"state": {"values": values}},
        }
        return await self.send("interactive", body | changes)

    async def command(self, user: str, text: str, **changes: Any) -> str:
        """Type `/holdfast` and words."""
        body = {
            "command": "/holdfast",
            "text": text,
            "team_id": TEAM,
            "api_app_id": APP,
            "user_id": user,
            "channel_id": APPROVALS,
            "trigger_id": self.trigger(),
            "response_url": f"{self.url}/respond/{next(self.counter)}",
        }
        return await self.send("slash_commands", body | changes)

    async def say(self, who: str, card: Json, words: str, **changes: Any) -> str:
        """Write a reply below a card."""
        event = {
            "type": "message",
            "channel": card["channel"],
            "user": who,
            "team": TEAM,
            "text": words,
            "ts": f"{next(self.counter)}.000200",
            "thread_ts": card["ts"],
            "channel_type": "channel",
        }
        return await self.event(event | changes)

    async def event(self, event: Json) -> str:
        """Send an event."""
        body = {
            "type": "event_callback",
            "team_id": TEAM,
            "api_app_id": APP,
            "event_id": f"Ev{next(self.counter)}",
            "event": event,
        }
        return await self.send("events_api", body)

    async def send(self, kind: str, payload: Json) -> str:
        """Send an envelope over the newest connection, and wait until it is acknowledged."""
        envelope = f"envelope-{next(self.counter)}"
        await self.wait(lambda: self.sockets)
        await self.sockets[-1].send_json(
            {
                "type": kind,
                "envelope_id": envelope,
                "payload": payload,
                "accepts_response_payload": kind != "events_api",
            }
        )
        await self.wait(lambda: envelope in self.acknowledged)
        return envelope

    async def refresh(self) -> None:
        """Ask the app to connect anew, as Slack does every few hours; wait until it has."""
        before = self.connections
        await self.sockets[-1].send_json({"type": "disconnect", "reason": "refresh_requested"})
        await self.wait(lambda: self.connections > before)

    async def told(self, user: str, has: str) -> str:
        """Wait until something was said to one person alone, in a conversation."""

        def found() -> str:
            heard = [texts(one["blocks"]) for one in self.whispers if one["user"] == user]
            return next((one for one in heard if has.lower() in one.lower()), "")

        said: str = await self.wait(found)
        return said

    async def view(self, has: str) -> Json:
        """Return the newest window that says this."""

        def found() -> Json | None:
            said = [one for one in self.views.values() if has.lower() in json.dumps(one).lower()]
            return said[-1] if said else None

        view: Json = await self.wait(found)
        return view

    async def answered(self, has: str) -> str:
        """Wait until a command was answered with this."""

        def found() -> str:
            heard = [texts(one["blocks"]) for one in self.answers]
            return next((one for one in heard if has.lower() in one.lower()), "")

        said: str = await self.wait(found)
        return said


@asynccontextmanager
async def slack_stand_in(slack: SlackStandIn | None = None) -> AsyncIterator[SlackStandIn]:
    """Serve it on a free port of loopback; fail if anything was sent that Slack would refuse."""
    slack = slack or SlackStandIn()
    app = web.Application()
    app.router.add_route("*", "/api/{method}", slack.handle)
    app.router.add_get("/socket", slack.socket)
    app.router.add_post("/respond/{id}", slack.respond)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    slack.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield slack
    finally:
        await slack.close_sockets()
        await runner.cleanup()
    assert slack.problems == []
