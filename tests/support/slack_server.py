"""Serves what Slack serves, on loopback: its Web API, Socket Mode and response addresses.

It refuses what Slack refuses, checks every block (slack_limits), and does what Slack does on a bad
day when told to: rate limits, refusals, posts without a timestamp, answers that never come.
"""

import asyncio
import itertools
import json
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from tests.support.slack_limits import LimitError, check_message, check_view

TEAM, APP, BOT, BOT_USER = "T0TEAM00", "A0APP000", "B0BOT000", "U0BOT000"
BOT_TOKEN, APP_TOKEN, SECRET = "xoxb-1-2-stand-in", "xapp-1-A0-stand-in", "5" * 32
APPROVALS = "C0APPROVE"
# How long after a click a window may be opened for it.
TRIGGER_LIFE_S = 3

Json = dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """What a method does instead, once. `done`: it did its work, and only the answer is lost."""

    status: int = 200
    body: Json = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    done: bool = False
    broken: bool = False
    wait_for: asyncio.Event | None = None


def rate_limited(seconds: int) -> Fault:
    """HTTP 429 with Retry-After."""
    body = {"ok": False, "error": "ratelimited"}
    return Fault(429, body, {"Retry-After": str(seconds)})


def not_ok(error: str) -> Fault:
    """`ok: false`, with HTTP 200."""
    return Fault(body={"ok": False, "error": error})


def member(user: str, name: str, **changes: object) -> Json:
    """Return what users.info says of a full member, with these facts instead."""
    facts = {
        "id": user,
        "team_id": TEAM,
        "name": name.partition("@")[0],
        "deleted": False,
        "is_bot": False,
        "is_restricted": False,
        "is_ultra_restricted": False,
        "is_email_confirmed": True,
        "profile": {"email": name},
    }
    return facts | changes


class SlackServer:
    """One workspace with one app. `wait` waits until something is so, and is woken by each call."""

    def __init__(self) -> None:
        self.url = ""
        self.users: dict[str, Json] = {}
        self.channels = {APPROVALS: "approvals"}
        self.messages: dict[str, Json] = {}  # by "conversation/ts", replies as well
        self.whispers: list[Json] = []
        self.views: dict[str, Json] = {}
        self.answers: list[Json] = []  # what came to response addresses
        self.calls: list[tuple[str, Json]] = []
        self.faults: dict[str, deque[Fault]] = defaultdict(deque)
        self.problems: list[str] = []
        self.acknowledged: dict[str, Json] = {}
        self.connections = 0
        self.sockets: list[web.WebSocketResponse] = []
        self.triggers: dict[str, float] = {}  # when each was given
        self.now = 0.0  # seconds; goes on when a test says so, however slow the machine is
        self.counter = itertools.count(1)
        self._changed = asyncio.Condition()

    def add(self, user: str, name: str, **changes: object) -> str:
        """Add a member; return the id."""
        self.users[user] = member(user, name, **changes)
        return user

    def fail(self, method: str, *faults: Fault) -> None:
        """Have the next calls of a method go wrong, each in its way."""
        self.faults[method].extend(faults)

    async def wait(self, so: Callable[[], Any], timeout_s: float = 20) -> Any:
        """Return what `so` returns once it is true."""
        async with self._changed:
            try:
                await asyncio.wait_for(self._changed.wait_for(lambda: bool(so())), timeout_s)
            except TimeoutError:
                raise AssertionError(f"never so; calls: {self.methods}") from None
        return so()

    def finish_late(self, name: str, params: Json) -> Json:
        """Do what a call asked for that was broken off, and that nobody waits for any more."""
        return self._do(name, dict(params), f"Bearer {BOT_TOKEN}")

    @property
    def methods(self) -> list[str]:
        """The names of the methods that were called, in order."""
        return [name for name, _ in self.calls]

    # What the app asks

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one method of the Web API."""
        name = request.match_info["method"]
        params = await _params(request)
        fault = self.faults[name].popleft() if self.faults[name] else None
        answer: Json = {"ok": True}
        if fault is None or fault.done:
            answer = self._do(name, params, request.headers.get("Authorization", ""))
        if fault is not None and fault.wait_for is not None:
            await fault.wait_for.wait()
        async with self._changed:
            self.calls.append((name, params))
            self._changed.notify_all()
        if fault is None:
            return web.json_response(answer)
        if fault.broken:
            assert request.transport is not None
            request.transport.abort()
        body = answer | fault.body if fault.done else {"ok": True} | fault.body
        return web.json_response(body, status=fault.status, headers=fault.headers)

    def _do(self, name: str, params: Json, token: str) -> Json:
        expected = APP_TOKEN if name == "apps.connections.open" else BOT_TOKEN
        if token != f"Bearer {expected}":
            return {"ok": False, "error": "invalid_auth"}
        work = getattr(self, "_" + name.replace(".", "_").lower(), None)
        if work is None:
            self.problems.append(f"unknown method {name}")
            return {"ok": False, "error": "unknown_method"}
        try:
            found: Json = work(params)
        except LimitError as error:
            self.problems.append(f"{name}: {error}")
            return {"ok": False, "error": "invalid_blocks"}
        return {"ok": "error" not in found} | found

    def _auth_test(self, _: Json) -> Json:
        return {"team_id": TEAM, "user_id": BOT_USER, "bot_id": BOT, "url": self.url}

    def _bots_info(self, params: Json) -> Json:
        assert params["bot"] == BOT
        return {"bot": {"id": BOT, "app_id": APP}}

    def _apps_connections_open(self, _: Json) -> Json:
        return {"url": f"{self.url.replace('http', 'ws', 1)}/socket"}

    def _chat_postmessage(self, params: Json) -> Json:
        check_message(params)
        where = params["channel"]
        if where not in self.channels:
            return {"error": "channel_not_found"}
        if "thread_ts" in params and f"{where}/{params['thread_ts']}" not in self.messages:
            return {"error": "thread_not_found"}
        stamp = f"{1_700_000_000 + next(self.counter)}.000100"
        kept = params | {"ts": stamp, "channel": where}
        self.messages[f"{where}/{stamp}"] = kept
        return {"channel": where, "ts": stamp, "message": {"ts": stamp}}

    def _chat_update(self, params: Json) -> Json:
        check_message(params)
        known = self.messages.get(f"{params['channel']}/{params['ts']}")
        if known is None:
            return {"error": "message_not_found"}
        known.update(params)
        return {"channel": params["channel"], "ts": params["ts"]}

    def _chat_postephemeral(self, params: Json) -> Json:
        check_message(params)
        self.whispers.append(params)
        return {"message_ts": "1.1"}

    def _views_open(self, params: Json) -> Json:
        check_view(params["view"])
        given = self.triggers.pop(params["trigger_id"], None)
        if given is None or self.now - given > TRIGGER_LIFE_S:
            return {"error": "expired_trigger_id"}
        view = params["view"] | {"id": f"V{next(self.counter)}"}
        self.views[view["id"]] = view
        return {"view": view}

    def _views_update(self, params: Json) -> Json:
        check_view(params["view"])
        if params["view_id"] not in self.views:
            return {"error": "not_found"}
        self.views.pop(params["view_id"])
        view = self.views[params["view_id"]] = params["view"] | {"id": params["view_id"]}
        return {"view": view}

    def _users_info(self, params: Json) -> Json:
        found = self.users.get(params["user"])
        return {"error": "user_not_found"} if found is None else {"user": found}

    def _users_lookupbyemail(self, params: Json) -> Json:
        for one in self.users.values():
            if one["profile"]["email"] == params["email"]:
                return {"user": one}
        return {"error": "users_not_found"}

    def _conversations_open(self, params: Json) -> Json:
        users = str(params["users"]).split(",")
        if not all(user in self.users for user in users):
            return {"error": "user_not_found"}
        where = "D0" + "".join(users)[-12:]
        self.channels[where] = ""
        return {"channel": {"id": where}}

    def _conversations_list(self, params: Json) -> Json:
        # Two pages, whatever is asked for.
        if not params.get("cursor"):
            return {"channels": [], "response_metadata": {"next_cursor": "more"}}
        found = [{"id": key, "name": name} for key, name in self.channels.items()]
        return {"channels": found, "response_metadata": {"next_cursor": ""}}

    def _conversations_history(self, params: Json) -> Json:
        found = [one for one in self.messages.values() if one["channel"] == params["channel"]]
        return {"messages": found[::-1], "response_metadata": {"next_cursor": ""}}

    def _conversations_replies(self, params: Json) -> Json:
        where, thread = params["channel"], params["ts"]
        if f"{where}/{thread}" not in self.messages:
            return {"error": "thread_not_found"}
        here = [one for one in self.messages.values() if one["channel"] == where]
        found = [one for one in here if thread in (one["ts"], one.get("thread_ts"))]
        # One to a page, whatever is asked for.
        at = int(params.get("cursor") or 0)
        more = str(at + 1) if at + 1 < len(found) else ""
        return {"messages": found[at : at + 1], "response_metadata": {"next_cursor": more}}

    # Connections

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one Socket Mode connection."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "hello", "connection_info": {"app_id": APP}})
        async with self._changed:
            self.sockets.append(socket)
            self.connections += 1
            self._changed.notify_all()
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._acknowledge(json.loads(message.data))
        finally:
            self.sockets.remove(socket)
        return socket

    async def _acknowledge(self, answer: Json) -> None:
        payload = answer.get("payload") or {}
        try:
            if "view" in payload:
                check_view(payload["view"])
        except LimitError as error:
            self.problems.append(f"acknowledgement: {error}")
        async with self._changed:
            self.acknowledged[answer["envelope_id"]] = payload
            self._changed.notify_all()

    async def respond(self, request: web.Request) -> web.Response:
        """Take what is sent to the address of a click or a command."""
        body = await request.json()
        try:
            check_message(body)
        except LimitError as error:
            self.problems.append(f"response: {error}")
        async with self._changed:
            self.answers.append(body)
            self._changed.notify_all()
        return web.Response(text="ok")

    async def close_sockets(self) -> None:
        """End all connections from this side."""
        for socket in tuple(self.sockets):
            await socket.close()


async def _params(request: web.Request) -> Json:
    found: Json = dict(request.query)
    if request.content_type == "application/json":
        found |= await request.json()
    else:
        found |= {key: str(value) for key, value in (await request.post()).items()}
    for key in ("blocks", "view", "metadata"):
        if isinstance(found.get(key), str):
            found[key] = json.loads(found[key])
    return found
