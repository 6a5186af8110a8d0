"""Slack with the real collector: from the configuration to the verdict, in both modes."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
from slack_sdk.signature import SignatureVerifier

from collector.channels.slack.http import PATH
from collector.reasons import FOR_APPROVAL
from tests.support.centre import Centre, centre
from tests.support.slack_house import link_account
from tests.support.slack_stand_in import (
    APP_TOKEN,
    APPROVALS,
    BOT_TOKEN,
    SECRET,
    SlackStandIn,
    slack_stand_in,
)
from tests.support.wire_host import WireHost, rule, wire_host
from wire.messages import Answer

pytestmark = pytest.mark.nats

ANN = "U0ANN000"


@pytest.fixture
async def slack() -> AsyncIterator[SlackStandIn]:
    """Give a workspace in which Ann is a member."""
    async with slack_stand_in() as made:
        made.add(ANN, "ann@example.com")
        yield made


@asynccontextmanager
async def _running(directory: Path, slack: SlackStandIn, mode: str) -> AsyncIterator[Centre]:
    """Run a collector that is set up as docs/slack.md says."""
    with centre(directory, start=False) as made:
        for name, secret in (("bot", BOT_TOKEN), ("app", APP_TOKEN), ("signing", SECRET)):
            path = made.state / "keys" / f"slack-{name}"
            path.touch(0o600)
            path.write_text(f"{secret}\n", encoding="ascii")
        second = "app_token_file" if mode == "socket" else "signing_secret_file"
        with made.config.open("a", encoding="utf-8") as file:
            file.write(
                f'\n[slack]\nmode = "{mode}"\napi_url = "{slack.url}/api/"\n'
                f'bot_token_file = "keys/slack-bot"\n'
                f'{second} = "keys/slack-{"app" if mode == "socket" else "signing"}"\n'
                f'[channels]\ndefault = ["slack:{APPROVALS}"]\n'
            )
        made.start_nats()
        await asyncio.to_thread(made.start_collector)
        await link_account(made.state / "identities.db", ANN, "ann@example.com")
        yield made


@asynccontextmanager
async def _host(made: Centre) -> AsyncIterator[WireHost]:
    bundle = await asyncio.to_thread(made.enroll, "web-1")
    async with wire_host(bundle) as host:
        yield host


async def test_a_card_is_answered_and_changed_over_a_restart(
    tmp_path: Path, slack: SlackStandIn
) -> None:
    """A click, a reason, the verdict; and the collector of afterwards knows the card."""
    async with _running(tmp_path, slack, "socket") as made, _host(made) as host:
        hold = await host.open()
        card = await slack.card(hold.hold)
        assert f"/requests/{hold.hold}" in str(card["blocks"])
        await slack.click(ANN, card, "holdfast_approve")
        view = await slack.view(FOR_APPROVAL[1])
        await slack.press(ANN, view, "holdfast_because_1")
        verdict = await host.verdict()
        assert (verdict.answer, verdict.by, verdict.via, verdict.reason) == (
            Answer.APPROVE,
            "ann@example.com",
            "slack",
            FOR_APPROVAL[1],
        )
        await slack.card(hold.hold, "waiting for the host to confirm")
        assert await asyncio.to_thread(made.stop_collector) == 0
        await host.obey(hold, verdict)
        await asyncio.to_thread(made.start_collector)
        await slack.card(hold.hold, "released at")
        assert len(slack.cards(hold.hold)) == 1


async def test_in_http_mode_the_collectors_own_address_takes_clicks(
    tmp_path: Path, slack: SlackStandIn
) -> None:
    """Signed ones. What is not gets 401 with the envelope of the API, and decides nothing."""
    async with _running(tmp_path, slack, "http") as made, _host(made) as host:
        hold = await host.open(rule_facts=rule(reason_required=False))
        card = await slack.card(hold.hold)
        click = slack.click_body(ANN, card, "holdfast_deny")
        body = urlencode({"payload": json.dumps(click)})
        stamp = str(int(time.time()))
        signed = {
            "X-Slack-Request-Timestamp": stamp,
            "X-Slack-Signature": SignatureVerifier(SECRET).generate_signature(
                timestamp=stamp, body=body
            )
            or "",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        await slack.wait(lambda: "bots.info" in slack.methods)
        async with httpx.AsyncClient(base_url=made.api_url) as client:
            wrong = await client.post(PATH, content=body + "&", headers=signed)
            right = await client.post(PATH, content=body, headers=signed)
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (401, "slack_signature")
        assert right.status_code == 200
        assert (await host.verdict()).answer is Answer.DENY
        await slack.told(ANN, "You have denied it")
        assert slack.connections == 0


async def test_a_channel_is_tried_before_the_first_request(
    tmp_path: Path, slack: SlackStandIn
) -> None:
    """The command of docs/slack.md shows a card that asks nothing."""
    async with _running(tmp_path, slack, "socket") as made:
        await asyncio.to_thread(
            made.run, "try-channel", "slack:#approvals", "--config", str(made.config)
        )
    (card,) = slack.messages.values()
    assert "nothing waits" in str(card["blocks"])
    assert "holdfast_approve" not in str(card["blocks"])
