"""HTTP mode: only what Slack has signed, only now, and only once."""

import json
import time
from collections.abc import AsyncIterator
from urllib.parse import urlencode

import httpx
import pytest
from fastapi import FastAPI
from slack_sdk.signature import SignatureVerifier

from collector.api import errors
from collector.channels.slack.http import PATH, Verifier, router
from collector.errors import Refusal
from tests.support.slack_house import House, slack_house
from tests.support.slack_stand_in import SECRET, SlackStandIn
from tests.support.wire_host import rule
from tests.unit.collector.channels.slack.conftest import Site

WAIVED = rule(reason_required=False)


def _signed(body: str, stamp: str = "", secret: str = SECRET) -> dict[str, str]:
    stamp = stamp or str(int(time.time()))
    signature = SignatureVerifier(secret).generate_signature(timestamp=stamp, body=body)
    assert signature is not None
    return {
        "X-Slack-Request-Timestamp": stamp,
        "X-Slack-Signature": signature,
        "Content-Type": "application/x-www-form-urlencoded",
    }


@pytest.fixture
async def http_house(site: Site, slack: SlackStandIn) -> AsyncIterator[House]:
    """Give a collector in HTTP mode."""
    async with slack_house(site.centre, slack, site.bundle, mode="http") as made:
        yield made


def _client(house: House) -> httpx.AsyncClient:
    app = FastAPI()
    errors.install(app)
    app.include_router(router(house.incoming.app, Verifier(SECRET)))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://collector")


@pytest.mark.nats
async def test_a_signed_click_decides_and_comes_only_once(
    http_house: House, slack: SlackStandIn
) -> None:
    """A copy of the request, signature and all, is refused."""
    ann = await http_house.link("U0ANN000", "ann@example.com")
    hold = await http_house.open(rule_facts=WAIVED)
    click = slack.click_body(ann, await http_house.card(hold), "holdfast_approve")
    body = urlencode({"payload": json.dumps(click)})
    async with _client(http_house) as client:
        first = await client.post(PATH, content=body, headers=_signed(body, str(int(time.time()))))
        again = await client.post(PATH, content=body, headers=first.request.headers)
    assert first.status_code == 200
    assert again.status_code == 401
    assert "been here before" in again.text
    assert (await http_house.host.verdict()).hold == hold.hold
    await slack.told(ann, "You have approved it")
    assert slack.connections == 0, "no Socket Mode"


@pytest.mark.nats
async def test_what_slack_has_not_signed_decides_nothing(
    http_house: House, slack: SlackStandIn
) -> None:
    """Another secret, a changed body, no headers: 401, and no vote."""
    ann = await http_house.link("U0ANN000", "ann@example.com")
    hold = await http_house.open(rule_facts=WAIVED)
    click = slack.click_body(ann, await http_house.card(hold), "holdfast_approve")
    body = urlencode({"payload": json.dumps(click)})
    async with _client(http_house) as client:
        for headers in (_signed(body, secret="6" * 32), _signed(body + "&x=1"), {}):
            answer = await client.post(PATH, content=body, headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "slack_signature"
    assert not (await http_house.record(hold)).votes


@pytest.mark.nats
async def test_slacks_question_whether_the_address_is_ours_is_answered(http_house: House) -> None:
    """It is asked once, when the address is entered."""
    body = json.dumps({"type": "url_verification", "challenge": "c-1", "token": "x"})
    headers = _signed(body) | {"Content-Type": "application/json"}
    async with _client(http_house) as client:
        answer = await client.post(PATH, content=body, headers=headers)
    assert answer.status_code == 200
    assert "c-1" in answer.text


@pytest.mark.parametrize(
    "stamp",
    ["", "now", "-1", "1e9", "9" * 13, "9" * 5000, "\u0661\u0662", "0x10", " 5", "5.0", "1_0"],
)
def test_a_timestamp_that_is_none_is_refused_and_raises_nothing_else(stamp: str) -> None:
    """slack_sdk's verifier raises on it."""
    with pytest.raises(Refusal, match="no request of Slack's"):
        Verifier(SECRET).check(
            b"x", {"x-slack-request-timestamp": stamp, "x-slack-signature": "v0=0"}
        )


@pytest.mark.parametrize("body", [b"\xff\xfe", b""])
def test_a_body_that_is_no_text_is_refused(body: bytes) -> None:
    """The signature is over text."""
    now = str(int(time.time()))
    with pytest.raises(Refusal, match="no request of Slack's"):
        Verifier(SECRET).check(
            body, {"x-slack-request-timestamp": now, "x-slack-signature": "v0=\u00e9"}
        )


def test_a_request_is_good_for_five_minutes_either_way_and_once_in_that_time() -> None:
    """The record of what was here outlives the window of each request."""
    now = 1_700_000_000.0
    verifier = Verifier(SECRET, clock=lambda: now)

    def send(age_s: int) -> None:
        stamp = str(1_700_000_000 - age_s)
        headers = {key.lower(): value for key, value in _signed("x", stamp).items()}
        verifier.check(b"x", headers)

    send(300)
    send(-300)
    for age in (301, -301):
        with pytest.raises(Refusal, match="older than five minutes"):
            send(age)
    now += 599
    with pytest.raises(Refusal, match="been here before"):
        send(-300)
