"""The Teams card, drawn by Microsoft's own renderer in a real browser, with hostile text in it."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, Request, async_playwright

from collector.channels.teams_card import follow_up, message
from tests.support.node import packages
from tests.unit.collector.channels.samples import BASE, make_notice
from tests.unit.collector.samples import make_act, make_decision, make_opened, make_state
from wire.acts import Kind, Process
from wire.messages import Ground, HoldStateName

CHROMIUM = Path("/usr/bin/chromium")
_PICTURES = os.environ.get("HOLDFAST_TEST_PICTURES")
_number = count()
HOSTILE = (
    "[approve](https://evil.example) **bold** _it_ `code`\n\n# head\n- item\r1. one\n"
    "<img src=x onerror=alert(1)> </script><script>alert(2)</script> &lt;b&gt; "
    "\u202etxt.exe\u202c \u200b\u2066x {{DATE(2017-02-14T06:00:00Z,LONG)}} ${link} @{x} "
    "<at>all</at>"
)
# Draws a card as a client does, and says what the renderer had to remark. The Markdown hook stands
# for a client that takes text blocks for Markdown: it would turn whatever it is given into a link.
_DRAW = """
(payload) => {
  AdaptiveCards.AdaptiveCard.onProcessMarkdown = (text, result) => {
    result.outputHtml = '<a href="https://evil.example">markdown</a>';
    result.didProcess = true;
  };
  const card = new AdaptiveCards.AdaptiveCard();
  const context = new AdaptiveCards.SerializationContext(AdaptiveCards.Versions.v1_5);
  card.parse(payload, context);
  const remarks = [];
  for (let number = 0; number < context.eventCount; number++) {
    remarks.push(context.getEventAt(number).message);
  }
  for (const one of card.validateProperties().validationEvents) remarks.push(one.message);
  window.clicked = [];
  card.onExecuteAction = (action) => window.clicked.push([action.getJsonTypeName(), action.url]);
  document.body.replaceChildren(card.render());
  return remarks;
}
"""


pytestmark = pytest.mark.skipif(
    not CHROMIUM.exists(), reason="needs chromium: sudo tests/run --only web"
)


@asynccontextmanager
async def _client() -> AsyncIterator[tuple[Page, list[str]]]:
    """Give a page with the renderer, as wide as Teams draws cards, and what it asks the net for."""
    asked: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox"]
        )
        page = await browser.new_page(viewport={"width": 620, "height": 900})

        def note(request: Request) -> None:
            asked.append(request.url)

        page.on("request", note)
        page.on("dialog", lambda dialog: asked.append(f"dialog {dialog.message}"))
        await page.set_content("<body style='font-family: Segoe UI, sans-serif'></body>")
        library = packages() / "node_modules" / "adaptivecards" / "dist" / "adaptivecards.min.js"
        await page.add_script_tag(content=library.read_text(encoding="utf-8"))
        yield page, asked
        await browser.close()


async def _draw(page: Page, data: bytes) -> list[str]:
    """Draw the card of a message; return what the renderer remarks about it."""
    card: dict[str, Any] = json.loads(data)["attachments"][0]["content"]
    remarks: list[str] = await page.evaluate(_DRAW, card)
    if _PICTURES:
        await page.screenshot(path=f"{_PICTURES}/teams-{next(_number)}.png", full_page=True)
    return remarks


async def test_the_card_is_valid_and_shows_every_fact() -> None:
    """Microsoft's renderer has nothing against it, and a person reads all of it."""
    notice = make_notice()
    async with _client() as (page, asked):
        assert await _draw(page, message(notice)) == []
        text = await page.inner_text("body")
        for fact in notice.card.facts:
            assert f"{fact.label}: {fact.text}" in text
        for part in (notice.card.title, notice.card.state_line, notice.card.happened):
            assert part in text
        lines = text.replace("\N{NO-BREAK SPACE}", " ").splitlines()
        assert [line for line in notice.card.tree if line not in lines] == []
        assert await page.locator("button").count() == 1
        await page.locator("button").click()
        assert await page.evaluate("window.clicked") == [["Action.OpenUrl", BASE + notice.request]]
    assert asked == []


@pytest.mark.parametrize("kind", [Kind.EXEC, Kind.OPEN])
async def test_hostile_text_is_shown_as_it_is_and_does_nothing(kind: Kind) -> None:
    """No link, picture, markup or function comes out of it, and nothing of it is reordered."""
    chain = (Process(pid=7, start_ns=7, comm="sh", uid=1, argv=("sh", "-c", HOSTILE)),)
    given = {"argv": ("echo", HOSTILE)} if kind is Kind.EXEC else {"path": HOSTILE}
    act = make_act(kind=kind, user=HOSTILE, cwd=HOSTILE, ancestors=chain, **given)
    opened = make_opened(act, owner=HOSTILE, host_name=HOSTILE)
    notice = make_notice(opened, decision=make_decision(by=HOSTILE, reason=HOSTILE))
    async with _client() as (page, asked):
        for data in (message(notice), follow_up(notice)):
            assert await _draw(page, data) == []
            assert await page.locator("body a, body img, body script, body b").count() == 0
            text = await page.inner_text("body")
            assert "2017-02-14T06:00:00Z" in text or data == follow_up(notice)
            assert "February" not in text and "markdown" not in text
            hidden = "\u202e\u202c\u200b\u2066\x1b"
            assert all(letter not in text for letter in hidden)
        await _draw(page, message(notice))
        text = await page.inner_text("body")
        assert "[approve](https://evil.example) **bold** _it_ `code`" in text
        assert r"\u202etxt.exe" in text
    assert asked == []


async def test_a_follow_up_is_valid_and_says_who_and_what() -> None:
    """One line below the card, with the way to the page."""
    approved = make_state(HoldStateName.APPROVED, 1, ground=Ground.DECISION, by="ann@example.com")
    released = make_state(HoldStateName.RELEASED, 2, ground=Ground.DECISION)
    notice = make_notice(None, approved, released, decision=make_decision())
    async with _client() as (page, asked):
        assert await _draw(page, follow_up(notice)) == []
        text = await page.inner_text("body")
        assert notice.card.title in text
        assert "released at" in text and "approved by ann@example.com" in text
    assert asked == []


async def test_the_largest_card_is_drawn_and_says_what_is_missing() -> None:
    """Nothing that was cut looks whole."""
    big = "漢{\u202e" * 3000
    notice = make_notice(make_opened(make_act(argv=(big,) * 5, cwd=big), owner=big))
    async with _client() as (page, asked):
        assert await _draw(page, message(notice)) == []
        assert "bytes are not shown here" in await page.inner_text("body")
        wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await page.evaluate(wider) == 0
    assert asked == []
