"""An answer on a page names the card that the page has shown, whatever it is by now."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from collector.shown.content import digest_of
from tests.support.pages_alone import PagesAlone, csrf, pages_alone
from tests.support.wire_host import exec_act, opened, state
from wire.ids import HostId
from wire.messages import HoldOpened, HoldState, HoldStateName, Vote

HOST = HostId("b" * 32)
_CARD = re.compile(r'name="card" value="([0-9a-f]{64})"')


@pytest.fixture
async def pages(tmp_path: Path) -> AsyncIterator[PagesAlone]:
    """Give the pages, on loopback."""
    async with pages_alone(tmp_path) as made:
        yield made


def _hold(pages: PagesAlone, *argv: str) -> HoldOpened:
    return pages.hold(opened(HOST, act=exec_act(*argv)))


def _say(pages: PagesAlone, said: HoldState) -> None:
    pages.book.register.state(said)


async def _card(client: httpx.AsyncClient, path: str) -> str:
    found = _CARD.search((await client.get(path)).text)
    assert found is not None
    return found[1]


async def _post(client: httpx.AsyncClient, path: str, **form: str | list[str]) -> httpx.Response:
    fields = {"csrf": await csrf(client), "answer": "deny", "reason": "no"}
    return await client.post(path, data=fields | form)


def _proved(vote: Vote, card: str, words: str) -> None:
    """Assert that a vote names this card, and brings it along with these words on it."""
    assert vote.card == card == digest_of(vote.shown)
    assert words in vote.shown


async def test_a_vote_names_the_card_of_the_form_though_it_has_changed_since(
    pages: PagesAlone,
) -> None:
    """What the person had before them counts, not what they would have before them now."""
    ann = await pages.signed_in("ann@example.com", "reviewer")
    hold = _hold(pages, "rm", "-rf", "/srv")
    path = f"/requests/{hold.hold}"
    seen = await _card(ann, path)
    _say(pages, state(hold, 1, HoldStateName.HELD, detail="its parent is gone"))
    assert await _card(ann, path) != seen
    answer = await _post(ann, f"{path}/decision", digest=hold.digest, card=seen)
    assert answer.status_code == 303, answer.text
    (vote,) = pages.streams.votes
    _proved(vote, seen, "rm -rf /srv")
    assert "its parent is gone" not in vote.shown
    (kept,) = pages.book.register.all()[0].votes
    assert kept.card == seen


@pytest.mark.parametrize("card", ["0" * 64, "x", "' OR 1=1"])
async def test_a_card_that_was_never_shown_decides_nothing(pages: PagesAlone, card: str) -> None:
    """The page shows the request as it is now, with a form that names that."""
    ann = await pages.signed_in("ann@example.com", "reviewer")
    hold = _hold(pages, "id")
    answer = await _post(ann, f"/requests/{hold.hold}/decision", digest=hold.digest, card=card)
    assert answer.status_code == 409
    assert "a card that was not shown of this request" in answer.text
    assert pages.streams.votes == []
    assert _CARD.search(answer.text)


async def test_the_card_of_another_request_decides_nothing(pages: PagesAlone) -> None:
    """However well it is known."""
    ann = await pages.signed_in("ann@example.com", "reviewer")
    hold, other = _hold(pages, "id"), _hold(pages, "whoami")
    seen = await _card(ann, f"/requests/{other.hold}")
    answer = await _post(ann, f"/requests/{hold.hold}/decision", digest=hold.digest, card=seen)
    assert answer.status_code == 409
    assert pages.streams.votes == []


async def test_a_form_without_a_card_is_an_answer_to_one_that_is_not_known(
    pages: PagesAlone,
) -> None:
    """A page that was open while the collector was upgraded still works."""
    ann = await pages.signed_in("ann@example.com", "reviewer")
    hold = _hold(pages, "id")
    answer = await _post(ann, f"/requests/{hold.hold}/decision", digest=hold.digest)
    assert answer.status_code == 303
    assert [(one.card, one.shown) for one in pages.streams.votes] == [("", "")]


async def test_each_of_several_answers_names_its_own_card(pages: PagesAlone) -> None:
    """The page that shows several gives each its own."""
    ann = await pages.signed_in("ann@example.com", "reviewer")
    holds = [_hold(pages, "dd", f"of={number}") for number in range(3)]
    chosen = "&".join(f"request={hold.hold}" for hold in holds)
    page = (await ann.get(f"/review?{chosen}")).text
    acts = re.findall(r'name="acts" value="([^"]+)"', page)
    await _post(ann, "/decisions", acts=acts)
    said = {f"{one.request}:{one.digest}:{one.card}": one for one in pages.streams.votes}
    assert said.keys() == set(acts)
    for hold, number in zip(holds, range(3), strict=True):
        (vote,) = [one for one in said.values() if str(one.request) == hold.hold]
        _proved(vote, vote.card, f"dd of={number}")


async def test_who_denies_a_session_has_seen_the_card_of_the_session(pages: PagesAlone) -> None:
    """Each vote names the summary, which was before the person, and not a card that was not."""
    ann = await pages.signed_in("ann@example.com", "reviewer")
    holds = [_hold(pages, "dd", f"of={number}") for number in range(2)]
    for hold in holds:
        said = state(hold, 1, HoldStateName.HELD, detail="2 requests wait")
        _say(pages, replace(said, capped=holds[0].hold, denied_beyond=25))
    seen = await _card(ann, f"/sessions/{holds[0].hold}")
    await _post(ann, f"/sessions/{holds[0].hold}/deny", card=seen)
    assert len(pages.streams.votes) == 2
    for vote in pages.streams.votes:
        _proved(vote, seen, "25 further acts denied")
