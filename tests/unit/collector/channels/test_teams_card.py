"""The Adaptive Card of a request: of this size at most, nothing of it Markdown, one link."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collector.card import Fact
from collector.channels.http import Http
from collector.channels.interface import Asked
from collector.channels.shorten import shorten
from collector.channels.teams import Teams
from collector.channels.teams_card import LARGEST, follow_up, message, standing
from collector.sanitize import byte_length, clean, visible
from tests.support.receiver import WAIT_S, receiver
from tests.unit.collector.channels.samples import BASE, make_notice
from tests.unit.collector.samples import make_act, make_decision, make_opened, make_state
from wire.acts import Process
from wire.messages import Ground, HoldStateName

S = HoldStateName
LONG = st.sampled_from(["x", "é", "漢", "😀", "\\", '"', "{", "\u202e", "\x1b", "**a** "])


def _card(data: bytes) -> dict[str, Any]:
    """Return the card in a message."""
    whole = json.loads(data)
    assert whole["type"] == "message"
    (attachment,) = whole["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    found: dict[str, Any] = attachment["content"]
    assert (found["type"], found["version"]) == ("AdaptiveCard", "1.5")
    return found


def _text(data: bytes) -> str:
    """Return all that a card says, a line for each paragraph."""
    lines = ["".join(run["text"] for run in block["inlines"]) for block in _card(data)["body"]]
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")


def test_the_card_says_what_the_request_is() -> None:
    """Every fact, the tree, what has happened, and what is promised."""
    notice = make_notice()
    text = _text(message(notice))
    card = notice.card
    for part in (card.title, card.state_line, card.happened, card.guarantee, card.digest):
        assert part in text
    for fact in card.facts:
        assert f"{fact.label}: {fact.text}" in text
    assert all(line in text for line in card.tree)
    assert "not shown" not in text


def test_the_only_action_opens_the_page() -> None:
    """Nobody can answer from the card, and nothing else can be clicked."""
    for data in (message(make_notice()), follow_up(make_notice())):
        (action,) = _card(data)["actions"]
        assert action["type"] == "Action.OpenUrl"
        assert action["url"].startswith(BASE)
        assert "selectAction" not in data.decode()


def test_nothing_is_drawn_as_markdown_and_no_function_is_left() -> None:
    """Text runs are not Markdown; a function of the card's own language would hide what it is."""
    hostile = "[click](https://evil.example) **bold** {{ .Names }}"
    function = "{{{DATE(2017-02-14T06:00:00Z,LONG)}} {{time(x)}}"
    opened = make_opened(make_act(argv=("echo", hostile + function)), owner=hostile)
    notice = make_notice(opened, decision=make_decision(reason=hostile))
    for data in (message(notice), follow_up(notice)):
        for block in _card(data)["body"]:
            assert block["type"] == "RichTextBlock"
            assert all(run["type"] == "TextRun" for run in block["inlines"])
        assert "{{DATE" not in _text(data) and "{{time" not in _text(data)
    assert hostile + r"{{\x7bDATE(2017" in _text(message(notice))
    assert r"{\x7btime(x)}}" in _text(message(notice))


@given(st.lists(st.tuples(LONG, st.integers(1, 5000)), min_size=8, max_size=8))
@example([("x", 250)] * 8)  # what is left out at one place stands whole at another
def test_no_card_is_larger_than_teams_takes_and_what_is_missing_is_counted(
    parts: list[tuple[str, int]],
) -> None:
    """Whatever the texts are made of."""
    # Each place has an end of its own, so that a text which is shown elsewhere too is no excuse.
    texts = [
        f"{clean(letter * count, 4000).text}#{number}."
        for number, (letter, count) in enumerate([*parts[:2], *parts * 3, *parts * 3])
    ]
    notice = make_notice()
    card = replace(
        notice.card,
        title=texts[0],
        state_line=texts[1],
        facts=tuple(Fact(f"Label {number}", text) for number, text in enumerate(texts[2:26])),
        tree=tuple(texts[26:]),
        hidden_bytes=0,
    )
    data = message(replace(notice, card=card))
    assert len(data) <= LARGEST
    said = _text(data)
    whole = all(text in said for text in texts)
    assert whole != ("bytes are not shown here" in said)
    assert len(follow_up(replace(notice, card=card))) <= LARGEST


def test_a_card_of_a_real_act_that_is_as_large_as_can_be_fits() -> None:
    """A hostile process fills every field."""
    big = "漢😀{" * 3000
    chain = tuple(
        Process(pid=pid, start_ns=pid, comm=big[:16], uid=1, argv=(big,)) for pid in range(2, 66)
    )
    act = make_act(argv=(big,) * 5, cwd=big, executable=big, filename=big + "x", ancestors=chain)
    notice = make_notice(make_opened(act, owner=big), decision=make_decision(reason=big))
    data = message(notice)
    assert len(data) <= LARGEST
    assert "bytes are not shown here: open the request to read on." in _text(data)


def test_what_the_card_itself_hides_is_said_too() -> None:
    """The count is of both: what the one renderer cut, and what is left out here."""
    notice = make_notice(make_opened(make_act(argv=("a" * 9000,))))
    assert notice.card.hidden_bytes > 0
    assert f"{notice.card.hidden_bytes} bytes are not shown here" in _text(message(notice))


def test_a_follow_up_says_what_became_of_it_once() -> None:
    """Green only when the host says released, and nothing while only details change."""
    approved = make_state(S.APPROVED, 1, ground=Ground.DECISION)
    released = make_state(S.RELEASED, 2, ground=Ground.DECISION)
    waiting = make_notice()
    decided = make_notice(None, decision=make_decision())
    confirmed = make_notice(None, approved, decision=make_decision())
    over = make_notice(None, approved, released, decision=make_decision())
    assert standing(waiting) != standing(decided) == standing(confirmed) != standing(over)
    assert '"Good"' not in follow_up(decided).decode()
    assert '"Good"' in follow_up(over).decode()
    assert "released at" in _text(follow_up(over))
    assert waiting.card.title in _text(follow_up(over))


def test_break_glass_is_a_card_of_its_own_that_says_who_and_why() -> None:
    """Whoever was passed over reads it from the new card, and again on a first one."""
    broken = make_decision(ground=Ground.BREAK_GLASS, reason="production is **down**")
    notice = make_notice(None, decision=broken)
    for data in (follow_up(replace(notice, alarm=True)), message(notice)):
        said = _text(data)
        assert "Break-glass: ann@example.com let it go at 12:00:05 UTC without the people" in said
        assert "production is **down**" in said
        assert notice.card.title in said
        assert _card(data)["actions"][0]["url"] == notice.link
    assert standing(make_notice()) != standing(notice)


async def test_that_nobody_may_approve_is_said_at_once_and_when_it_changes(
    tmp_path: Path,
) -> None:
    """On the first card, and by a card of its own, since none can be changed."""
    stuck = make_notice(asked=Asked("1 of dba", "dba: nobody is known; have somebody sign in"))
    free = make_notice(asked=Asked("1 of dba"))
    async with receiver() as far:
        url = tmp_path / "approvals.url"
        url.touch(0o600)
        url.write_text(f"{far.base}/approvals")
        http = Http(timeout_s=WAIT_S)
        channel = Teams(tmp_path, http)
        posted = await channel.post(free)
        assert "Nobody may approve" not in _text((await far.next()).body)
        said = await channel.update(await channel.update(posted, free), stuck)
        told = _text((await far.next()).body)
        await channel.update(await channel.update(said, stuck), free)
        ended = _text((await far.next()).body)
        await http.close()
        assert far.waiting == 0
    assert "Nobody may approve: dba: nobody is known; have somebody sign in" in told
    assert "Nobody may approve" not in ended
    assert "Asked: 1 of dba" in ended
    assert "Nobody may approve: dba" in _text(message(stuck))


@pytest.mark.parametrize("text", ["a" * 100, visible("\u202e" * 100), "\\\\" * 60])
@pytest.mark.parametrize("limit", range(10, 90, 7))
def test_shortening_never_cuts_an_escape(text: str, limit: int) -> None:
    r"""Half of a doubled backslash before a brace would be a mark that we did not write."""
    result = shorten(text, limit)
    head, _, rest = result.text.partition(r"\{")
    mark, _, tail = rest.partition("}")
    assert len(head) + len(tail) <= limit
    assert mark.startswith(f"{result.hidden_bytes} bytes hidden")
    assert result.hidden_bytes + byte_length(head + tail) == byte_length(text)
    unit = text[: {"a": 1, "u": 6}.get(text[1], 2)]
    assert head == unit * (len(head) // len(unit))
    assert tail == unit * (len(tail) // len(unit))


@given(st.text(max_size=300), st.integers(1, 300))
def test_shortened_text_has_no_forged_mark(text: str, limit: int) -> None:
    """Of whatever was sanitised, there is one mark or none."""
    shown = visible(text)
    already = shown.count(r"\{") - shown.count(r"\\{")
    result = shorten(shown, limit)
    found = result.text.replace(r"\\", "").count(r"\{")
    assert (result.hidden_bytes == 0) == (result.text == shown)
    assert found <= max(already, shown.replace(r"\\", "").count(r"\{")) + 1
