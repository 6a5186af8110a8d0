"""A whole Holdfast whose reviewer has Slack, and what each step of an approval takes there.

Slack and the webhook's receiver are served by this process, on loopback. All stamps are of
CLOCK_MONOTONIC, which every process shares.
"""

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from collector.channels.slack.blocks import APPROVE
from collector.channels.slack.modal import BECAUSE
from deploy.bootstrap import bpffs
from tests.support.centre import Centre, centre
from tests.support.house import House, test_user
from tests.support.receiver import Receiver, receiver
from tests.support.slack_house import link_account
from tests.support.slack_stand_in import (
    APP_TOKEN,
    APPROVALS,
    BOT_TOKEN,
    Json,
    SlackStandIn,
    slack_stand_in,
)

SLACK, REASON, WEBHOOK = WAYS = ("slack", "reason", "webhook")

_ANN = "U0ANN000"
_WAIT_S = 60
_RULE = """
  - id: bench.{way}
    description: Reads a secret of the measurement.
    severity: high
    match: {{open: {{path: {path}}}}}
    action: ask
"""
_POLICY = f"""
policies:
  - id: slack
    when: {{rules: [bench.{SLACK}]}}
    reason: waived
    channels: ["slack:{APPROVALS}"]
  - id: slack-with-a-reason
    when: {{rules: [bench.{REASON}]}}
    reason: required
    channels: ["slack:{APPROVALS}"]
  - id: webhook
    reason: waived
    channels: ["webhook:bench"]
"""
_SETTINGS = """
[slack]
api_url = "{slack}/api/"
bot_token_file = "keys/slack-bot"
app_token_file = "keys/slack-app"
tell_owner = false
[webhook]
directory = "webhooks"
[approvals]
policy_file = "policy.yaml"
"""
_SECRETS = {
    "keys/slack-bot": BOT_TOKEN,
    "keys/slack-app": APP_TOKEN,
    "webhooks/bench.secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
}
_ACTOR = """
import os, sys, time
for line in sys.stdin.buffer:
    path = line.rstrip(b"\\n")
    called = time.monotonic_ns()
    file = os.open(path, os.O_RDONLY)
    running = time.monotonic_ns()
    os.close(file)
    os.write(1, b"%d %d\\n" % (called, running))
"""


@dataclass
class Times:
    """Nanoseconds, one of each for each hold.

    `posted`: from the call to the moment when the channel's other side has the card in whole.
    `running`: from the click that decides (or, for a webhook, from the answer at the API) until
    the process runs on.
    """

    posted: list[float] = field(default_factory=list)
    running: list[float] = field(default_factory=list)


class StampingSlack(SlackStandIn):
    """Notes when a card came and what window was opened, for whoever waits for the next one."""

    def __init__(self) -> None:
        super().__init__()
        self.posted: asyncio.Queue[tuple[Json, int]] = asyncio.Queue()
        self.windows: asyncio.Queue[Json] = asyncio.Queue()

    def _chat_postmessage(self, params: Json) -> Json:
        # Before the checks of the stand-in, which are no part of what is measured.
        now = time.monotonic_ns()
        answer = super()._chat_postmessage(params)
        self.posted.put_nowait((self.messages[f"{answer['channel']}/{answer['ts']}"], now))
        return answer

    def _views_open(self, params: Json) -> Json:
        answer = super()._views_open(params)
        self.windows.put_nowait(answer["view"])
        return answer


@dataclass
class Office:
    """A running Holdfast, where its requests are shown, and a watched process that does acts."""

    house: House
    slack: StampingSlack
    far: Receiver
    actor: "subprocess.Popen[bytes]"

    async def measure(self, way: str, holds: int, *, warm_up: int = 2) -> Times:
        """Hold and approve so many acts of one way, one after another."""
        times = Times()
        for number in range(warm_up + holds):
            posted, running = await self._one(way)
            if number >= warm_up:
                times.posted.append(posted)
                times.running.append(running)
        return times

    async def _one(self, way: str) -> tuple[float, float]:
        assert self.actor.stdin is not None
        assert self.actor.stdout is not None
        self.actor.stdin.write(f"{_secret(self.house.directory, way)}\n".encode())
        self.actor.stdin.flush()
        with_channel = self._by_webhook() if way == WEBHOOK else self._by_slack(way)
        stamped, decided = await with_channel
        line = await asyncio.to_thread(self.actor.stdout.readline)
        called, running = map(int, line.split())
        await self._settled()
        return stamped - called, running - decided

    async def _by_slack(self, way: str) -> tuple[int, int]:
        card, stamped = await asyncio.wait_for(self.slack.posted.get(), _WAIT_S)
        await self._settled()
        decided = time.monotonic_ns()
        await self.slack.click(_ANN, card, APPROVE)
        if way == REASON:
            window = await asyncio.wait_for(self.slack.windows.get(), _WAIT_S)
            await self._settled()
            decided = time.monotonic_ns()
            await self.slack.press(_ANN, window, f"{BECAUSE}0")
        await self.slack.wait(lambda: "released at" in json.dumps(card["blocks"]))
        return stamped, decided

    async def _by_webhook(self) -> tuple[int, int]:
        told = (await self.far.next_accepted()).json
        stamped = time.monotonic_ns()
        await self._settled()
        decided = time.monotonic_ns()
        answer = {"answer": "approve", "digest": told["card"]["digest"]}
        path = f"/requests/{told['request']}/decision"
        response = await asyncio.to_thread(self.house.call, "POST", path, body=answer)
        assert response.status_code == 200, response.text
        while (await self.far.next_accepted()).json["type"] != "request.closed":
            pass
        return stamped, decided

    async def _settled(self) -> None:
        # A person takes longer than the trail needs; its work must not be in the way of a click.
        await asyncio.to_thread(self.house.sql, "SELECT 1")


@asynccontextmanager
async def office(place: Path) -> AsyncIterator[Office]:
    """Have all of it running; nothing is left at the end."""
    slack = StampingSlack()
    async with slack_stand_in(slack), receiver() as far:
        with _centre(place, slack.url, far.url) as made, bpffs.mounted(), test_user() as user:
            slack.add(_ANN, "ann@example.com")
            await link_account(made.state / "identities.db", _ANN, "ann@example.com")
            await asyncio.to_thread(made.start_collector)
            await slack.wait(lambda: slack.sockets)
            house = await asyncio.to_thread(House, place, made, user)
            try:
                house.rules.write_text(_rules(place))
                await asyncio.to_thread(house.start_agent)
                # It would share this process with what is measured.
                house.watcher.close()
                yield Office(house, slack, far, house.start(_ACTOR))
            finally:
                await asyncio.to_thread(house.close)
                await asyncio.to_thread(made.stop_collector)


@contextmanager
def _centre(place: Path, slack: str, webhook: str) -> Iterator[Centre]:
    """Have a centre that is set up as docs/slack.md and docs/webhook.md say; not started yet."""
    with centre(place, start=False) as made:
        for name, secret in (_SECRETS | {"webhooks/bench.url": webhook}).items():
            path = made.state / name
            path.parent.mkdir(exist_ok=True)
            path.touch(0o600)
            path.write_text(f"{secret}\n", encoding="ascii")
        (made.state / "policy.yaml").write_text(_POLICY, encoding="utf-8")
        with made.config.open("a", encoding="utf-8") as file:
            file.write(_SETTINGS.format(slack=slack))
        made.start_nats()
        yield made


def _rules(place: Path) -> str:
    """Return a rule for each way; makes the files that they are about."""
    for way in WAYS:
        _secret(place, way).write_text("swordfish", encoding="ascii")
    return "rules:" + "".join(_RULE.format(way=way, path=_secret(place, way)) for way in WAYS)


def _secret(place: Path, way: str) -> Path:
    return place / f"secret-{way}"
