"""Every page, light and dark, on desk and phone: axe-core finds nothing, and nothing overflows."""

from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.end_to_end.collector.conftest import People
from tests.support.asked import answered, waiting
from tests.support.browser import findings, overflow, reader
from tests.support.wire_host import exec_act, rule, state
from wire.acts import Guarantee, Kind, Process
from wire.messages import HoldStateName, Severity

_TREE = tuple(
    Process(pid=100 + depth, start_ns=depth, comm="bash", uid=1001, argv=("bash", "x" * 200))
    for depth in range(16)
)


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_every_page_is_accessible_and_fits(
    people: People, axe: Path, dark: bool, phone: bool
) -> None:
    """With requests of every severity, guarantee and state on them."""
    async with (
        people.host() as host,
        reader(
            people.centre.api_url,
            people.reviewer,
            dark=dark,
            phone=phone,
            script=axe,
            expect=("404", "422"),
        ) as page,
    ):
        await host.record(kernel="6.1.0-" + "x" * 80)
        await host.events({"kind": "exec", "program": "make", "argv": ["make", "y" * 300]})
        holds = [
            await waiting(
                people,
                host,
                act=exec_act("make", "z" * 500, ancestors=_TREE, guarantee=guarantee),
                rule_facts=rule(severity=severity),
            )
            for severity, guarantee in zip(Severity, (*Guarantee, *Guarantee), strict=False)
        ]
        await waiting(people, host, act=exec_act("cat", kind=Kind.OPEN, path="/etc/" + "p" * 400))
        await waiting(people, host, act=exec_act("make", login_user="ann-unix"))
        long = await waiting(people, host, act=exec_act("bash", "-c", "w" * 9000))
        await answered(people, people.admin, holds[0], answer="approve", reason="r" * 300)
        await host.obey(holds[0], await host.verdict())
        await answered(people, people.admin, holds[1], answer="deny", reason="no")
        await host.verdict()
        await host.say(state(holds[2], 1, HoldStateName.CANCELLED))
        chosen = "&".join(f"request={hold.hold}" for hold in (holds[3], holds[4], long))
        pages = [
            "/", "/dashboard", "/query?question=per-day", "/holds", "/holds?state=expired",
            "/hosts", "/search", "/search?q=make",
            f"/review?{chosen}&answer=deny", f"/requests/{long.hold}?answer=approve",
            *(f"/requests/{hold.hold}" for hold in holds), "/requests/00000000", "/nowhere",
            "/holds?state=undecided",
        ]  # fmt: skip
        for address in pages:
            await page.goto(address)
            await _check(page, address)
        await page.goto("/")
        await expect(page.locator("#live")).to_have_attribute("data-live", "on")
        await page.get_by_role("button", name="Keys").click()
        await _check(page, "the dialog of keys")
        await page.context.clear_cookies()
        await page.goto("/sign-in")
        await _check(page, "/sign-in")


async def _check(page: Page, place: str) -> None:
    assert await findings(page) == [], place
    assert await overflow(page) <= 0, f"{place} is wider than the window"


async def test_focus_is_seen_and_can_leave_every_place(people: People) -> None:
    """Tab goes through the request page from its first link to its end, and is visible on each."""
    async with people.host() as host, reader(people.centre.api_url, people.reviewer) as page:
        hold = await waiting(people, host, act=exec_act("bash", "-c", "w" * 9000))
        await page.goto(f"/requests/{hold.hold}")
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        visited: list[str] = []
        for _ in range(80):
            mark, seen = await page.evaluate(
                """() => { const one = document.activeElement, style = getComputedStyle(one);
                     return [one.outerHTML.slice(0, 90),
                             one === document.body || style.outlineStyle !== "none"]; }"""
            )
            assert seen, f"focus cannot be seen on {mark}"
            if mark.startswith("<body"):
                break
            visited.append(mark)
            await page.keyboard.press("Tab")
        assert any('class="send"' in mark for mark in visited), visited
        assert len(visited) < 80, "Tab never comes to the end"
