"""Who is let in, and for how long what Slack has said of somebody is believed."""

from collections.abc import Sequence

import pytest

from collector.channels.slack.app import new_client
from collector.channels.slack.door import Door, Sender, find_workspace
from collector.channels.slack.settings import Slack
from collector.errors import ChannelBusyError, ChannelError, Refusal
from collector.identity.people import Caller
from collector.identity.roles import Role
from tests.support.slack_stand_in import (
    APP,
    BOT_TOKEN,
    BOT_USER,
    TEAM,
    Fault,
    SlackStandIn,
    not_ok,
    rate_limited,
)

ANN = Caller(name="ann@example.com", role=Role.REVIEWER, logins=(), token="slack")  # noqa: S106


class _Links:
    """Everybody is Ann."""

    async def linked(self, channel: str, account: str) -> Caller | None:
        return ANN

    async def accounts(self, channel: str, name: str) -> Sequence[str]:
        return ["T0OTHER0/U0ANN000", f"{TEAM}/U0ANN000"]

    async def start_link(self, channel: str, account: str, label: str = "") -> str:
        return "code"


def _sender(user: str = "U0ANN000") -> Sender:
    return Sender(TEAM, APP, user)


async def test_what_slack_says_of_somebody_is_believed_for_half_a_minute(
    slack: SlackStandIn,
) -> None:
    """Long enough for a click and its reason, and no longer."""
    now = 100.0
    client = new_client(Slack(api_url=f"{slack.url}/api/"), BOT_TOKEN)
    door = Door(client, _Links(), str, clock=lambda: now)
    door.workspace = await find_workspace(client)
    slack.add("U0ANN000", "ann@example.com")
    assert await door.admit(_sender()) is ANN
    slack.users["U0ANN000"]["deleted"] = True
    now += 29
    assert await door.admit(_sender()) is ANN
    assert slack.methods.count("users.info") == 1
    now += 2
    with pytest.raises(Refusal, match="deactivated"):
        await door.admit(_sender())


async def test_nobody_is_let_in_before_slack_has_said_who_we_are(slack: SlackStandIn) -> None:
    """A click that came by whatever way is not believed."""
    client = new_client(Slack(api_url=f"{slack.url}/api/"), BOT_TOKEN)
    door = Door(client, _Links(), str)
    slack.add("U0ANN000", "ann@example.com")
    with pytest.raises(Refusal, match="not connected yet"):
        await door.admit(_sender())
    assert await door.accounts_of("ann") == ()
    assert slack.methods == []


@pytest.mark.parametrize("user", ["", BOT_USER, "U0NOBODY"])
async def test_nobody_and_ourselves_are_refused(slack: SlackStandIn, user: str) -> None:
    """Our own app has no opinion."""
    client = new_client(Slack(api_url=f"{slack.url}/api/"), BOT_TOKEN)
    door = Door(client, _Links(), str)
    door.workspace = await find_workspace(client)
    with pytest.raises(Refusal):
        await door.admit(_sender(user))


async def test_only_accounts_of_this_workspace_are_a_persons(slack: SlackStandIn) -> None:
    """Somebody may have accounts in several."""
    client = new_client(Slack(api_url=f"{slack.url}/api/"), BOT_TOKEN)
    door = Door(client, _Links(), str)
    door.workspace = await find_workspace(client)
    assert await door.accounts_of("ann") == ["U0ANN000"]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(body={"ok": True}), ChannelError),
        (not_ok("invalid_auth"), ChannelError),
        (rate_limited(7), ChannelBusyError),
        (Fault(status=502), ChannelBusyError),
    ],
)
async def test_an_introduction_that_fails_is_no_introduction(
    slack: SlackStandIn, fault: Fault, error: type[Exception]
) -> None:
    """Without workspace and app there is nothing to compare a click with."""
    client = new_client(Slack(api_url=f"{slack.url}/api/"), BOT_TOKEN)
    slack.fail("auth.test", fault)
    if fault.body == {"ok": True}:
        slack.fail("bots.info", fault)
    with pytest.raises(error) as caught:
        await find_workspace(client)
    if isinstance(caught.value, ChannelBusyError) and fault.headers:
        assert caught.value.retry_after_s == 7
