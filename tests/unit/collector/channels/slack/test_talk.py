"""What people write in Slack: replies below a card, and `/holdfast`."""

import json

import pytest

from collector.approvals.record import RequestState
from collector.channels.slack.commands import SUBCOMMANDS
from collector.identity.roles import Role
from tests.support.slack_house import BASE_URL, House
from tests.support.slack_limits import texts
from tests.support.slack_stand_in import SlackStandIn
from tests.support.wire_host import exec_act, rule

pytestmark = pytest.mark.nats

WAIVED = rule(reason_required=False)


async def test_a_reply_below_the_card_is_kept_as_a_comment(
    house: House, slack: SlackStandIn
) -> None:
    """With who wrote it; Slack's own escapes are undone, and nothing else."""
    vera = await house.link("U0VERA00", "vera@example.com", Role.VIEWER)
    hold = await house.open()
    await slack.say(vera, await house.card(hold), "a &lt; b &amp;&amp; why?")
    record = await house.until(hold, lambda record: record.comments)
    (comment,) = record.comments
    assert (comment.by, comment.via, comment.text) == ("vera@example.com", "slack", "a < b && why?")
    assert record.state is RequestState.OPEN


async def test_a_reply_that_slack_sends_again_is_one_comment(
    house: House, slack: SlackStandIn
) -> None:
    """Events come at least once."""
    vera = await house.link("U0VERA00", "vera@example.com")
    hold = await house.open()
    card = await house.card(hold)
    await slack.say(vera, card, "one", ts="5.1")
    await house.until(hold, lambda record: record.comments)
    await slack.say(vera, card, "one", ts="5.1")
    await slack.say(vera, card, "two", ts="5.2")
    record = await house.until(hold, lambda record: len(record.comments) > 1)
    assert [one.text for one in record.comments] == ["one", "two"]


async def test_a_reply_of_somebody_unknown_is_not_kept_and_they_are_told_once(
    house: House, slack: SlackStandIn
) -> None:
    """A hint for each reply would be noise in the thread."""
    zoe = slack.add("U0ZOE000", "zoe@example.com")
    vera = await house.link("U0VERA00", "vera@example.com")
    hold = await house.open()
    card = await house.card(hold)
    await slack.say(zoe, card, "let it go")
    await slack.told(zoe, "this one is not kept")
    await slack.say(zoe, card, "please")
    await slack.say(vera, card, "no")
    record = await house.until(hold, lambda record: record.comments)
    assert [one.by for one in record.comments] == ["vera@example.com"]
    assert len(slack.whispers) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"bot_id": "B0OTHER0"},
        {"subtype": "message_changed"},
        {"subtype": "bot_message", "user": None},
        {"thread_ts": None},
        {"thread_ts": "9.9"},
        {"text": " "},
        {"team": "T0OTHER0"},
    ],
    ids=str,
)
async def test_what_is_no_reply_of_a_person_to_a_card_is_passed_over(
    house: House, slack: SlackStandIn, changes: dict[str, object]
) -> None:
    """Edits, apps, other threads and other workspaces."""
    vera = await house.link("U0VERA00", "vera@example.com")
    hold = await house.open()
    card = await house.card(hold)
    await slack.say(vera, card, "not this", **changes)
    await slack.say(vera, card, "but this")
    record = await house.until(hold, lambda record: record.comments)
    assert [one.text for one in record.comments] == ["but this"]


async def test_pending_lists_what_waits_and_show_shows_it(
    house: House, slack: SlackStandIn
) -> None:
    """For the asker alone, and without buttons, which belong to cards on record."""
    vera = await house.link("U0VERA00", "vera@example.com", Role.VIEWER)
    await slack.command(vera, "pending")
    await slack.answered("Nothing waits")
    hold = await house.open(act=exec_act("psql", "-c", "<!channel> `x` *b*"))
    await house.card(hold)
    await slack.command(vera, "pending")
    said = await slack.answered("1 request waits")
    assert hold.hold[:12] in said
    assert "<!channel> `x` *b*" in said, "as it is, and never as markup"
    await slack.command(vera, f"show {hold.hold[:12]}")
    await slack.answered(hold.digest)
    assert "holdfast_approve" not in json.dumps(slack.answers)
    assert all(one["response_type"] == "ephemeral" for one in slack.answers)


async def test_approve_and_deny_take_a_prefix_and_a_reason(
    house: House, slack: SlackStandIn
) -> None:
    """The same door as a click."""
    ann = await house.link("U0ANN000", "ann@example.com")
    one, other = await house.open(), await house.open(rule_facts=WAIVED)
    await house.card(one)
    await house.card(other)
    await slack.command(ann, f"approve {one.hold[:10]}")
    await slack.answered("a reason is needed")
    await slack.command(ann, f"approve {one.hold[:10]} nightly export")
    verdict = await house.host.verdict()
    assert (verdict.hold, verdict.reason, verdict.via) == (one.hold, "nightly export", "slack")
    await slack.answered("You have approved it")
    await slack.command(ann, f"deny {other.hold}")
    assert (await house.host.verdict()).hold == other.hold
    await slack.command(ann, f"deny {one.hold[:10]} no")
    await slack.answered("Already approved by you at ")


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("", "/holdfast approve ID REASON"),
        ("help", "/holdfast link"),
        ("launch all", "/holdfast launch is no command"),
        ("show", "the id of a request is missing"),
        ("show zzz", "there is no request 'zzz'"),
        ("approve 123456 why", "there is no request '123456'"),
    ],
)
async def test_a_command_that_cannot_be_meant_says_what_can(
    house: House, slack: SlackStandIn, words: str, answer: str
) -> None:
    """One sentence and its remedy."""
    ann = await house.link("U0ANN000", "ann@example.com")
    await slack.command(ann, words)
    await slack.answered(answer)


@pytest.mark.parametrize("verb", ["pending", "show 123456", "approve 123456 x", "deny 123456 x"])
async def test_whoever_is_not_linked_reads_nothing_and_gets_a_link(
    house: House, slack: SlackStandIn, verb: str
) -> None:
    """What waits is told to known people only."""
    zoe = slack.add("U0ZOE000", "zoe@example.com")
    await slack.command(zoe, verb)
    said = await slack.answered("sign in once")
    assert f"{BASE_URL}/auth/link?code=" in said


async def test_link_gives_a_code_for_this_very_account(house: House, slack: SlackStandIn) -> None:
    """Whoever follows it signs in, and sees whose account it is about."""
    zoe = slack.add("U0ZOE000", "zoe@example.com")
    await slack.command(zoe, "link")
    said = await slack.answered(f"{BASE_URL}/auth/link?code=")
    code = said.rsplit("=", 1)[1].strip()
    claimed = await house.links.claimed(code)
    assert (claimed.channel, claimed.account) == ("slack", "T0TEAM00/U0ZOE000")
    assert claimed.label == "Slack account zoe"
    assert texts(slack.answers[0]["blocks"]).count("http") == 1


async def test_a_command_from_another_workspace_is_refused(
    house: House, slack: SlackStandIn
) -> None:
    """Before anything is looked up."""
    ann = await house.link("U0ANN000", "ann@example.com")
    await slack.command(ann, "pending", team_id="T0OTHER0")
    await slack.answered("another Slack workspace")


def test_every_subcommand_says_how_it_is_used() -> None:
    """The help is made of the table, so that no entry is missing there."""
    for verb, one in SUBCOMMANDS.items():
        assert one.usage.split()[0] == verb
        assert one.does
