"""An AI session at its limit in a browser: live above the inbox, and denied as a whole."""

from dataclasses import replace
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.end_to_end.collector.conftest import People
from tests.support.asked import waiting
from tests.support.browser import findings, overflow, reader
from tests.support.wire_host import WireHost, exec_act, rule, state
from wire.messages import Answer, HoldOpened, HoldStateName, Severity


async def _session(people: People, host: WireHost, name: str) -> list[HoldOpened]:
    """Open three requests of a session of this name."""
    return [
        await waiting(
            people,
            host,
            act=exec_act("rsync", f"part-{number}", "203.0.113.9:", session=name),
            rule_facts=rule(id="net.copy", severity=severity),
        )
        for number, severity in enumerate((Severity.LOW, Severity.CRITICAL, Severity.HIGH))
    ]


async def _tell(host: WireHost, holds: list[HoldOpened], sequence: int, denied: int) -> None:
    """Have the host say of each how many acts of the session were denied."""
    for hold in holds:
        said = state(hold, sequence, HoldStateName.HELD, detail="at its limit")
        await host.say(replace(said, capped=holds[0].hold, denied_beyond=denied))


async def test_the_session_stands_above_the_inbox_and_its_count_grows_live(people: People) -> None:
    """One line for it, however much is denied; it goes when the last request is gone."""
    async with people.host() as host, reader(people.centre.api_url, people.reviewer) as page:
        await expect(page.locator("#live")).to_have_attribute("data-live", "on")
        holds = await _session(people, host, "100-1")
        line = page.locator(f'#capped [data-session="{holds[0].hold}"]')
        await expect(line).to_have_count(0)
        await _tell(host, holds, 1, 1)
        await expect(line).to_contain_text("3 acts wait; 1 further act denied without asking")
        await expect(line).to_contain_text("critical")
        await _tell(host, holds, 2, 750)
        await expect(line).to_contain_text("750 further acts denied")
        await page.reload()
        await expect(line).to_contain_text("3 acts wait; 750 further acts denied")
        for hold in holds:
            await host.say(state(hold, 3, HoldStateName.CANCELLED))
        await expect(line).to_have_count(0)


async def test_all_of_it_is_denied_from_its_page_and_nothing_without_a_reason(
    people: People,
) -> None:
    """Each request gets its own verdict; the page that follows names each."""
    async with (
        people.host() as host,
        reader(people.centre.api_url, people.reviewer, expect=("422",)) as page,
    ):
        holds = await _session(people, host, "100-2")
        await _tell(host, holds, 1, 60)
        await page.goto("/")
        await page.locator(f'#capped [data-session="{holds[0].hold}"] a').click()
        await expect(page.locator(".state-line")).to_contain_text("60 further acts denied")
        await expect(page.locator(".row")).to_have_count(3)
        deny = page.get_by_role("button", name="Deny all of this session")
        await deny.click()
        await expect(page.get_by_role("alert")).to_contain_text("asks for a reason")
        await page.get_by_label("Reason", exact=True).fill("it loops")
        await deny.click()
        await expect(page.locator("h1")).to_have_text("3 answers taken")
        verdicts = [await host.verdict() for _ in holds]
        assert {(one.hold, one.answer, one.reason) for one in verdicts} == {
            (hold.hold, Answer.DENY, "it loops") for hold in holds
        }
        await page.goto(f"/sessions/{holds[0].hold}")
        await expect(page.locator(".state-line")).to_contain_text("Over: nothing of it waits")
        await expect(deny).to_have_count(0)


async def test_who_only_reads_has_no_way_to_deny_it(people: People) -> None:
    """Neither the form nor what it would send."""
    async with people.host() as host, reader(people.centre.api_url, people.viewer) as page:
        holds = await _session(people, host, "100-3")
        await _tell(host, holds, 1, 2)
        await page.goto(f"/sessions/{holds[0].hold}")
        await expect(page.locator(".state-line")).to_contain_text("3 acts wait")
        await expect(page.get_by_role("button", name="Deny all of this session")).to_have_count(0)
        await expect(page.locator("main").get_by_role("link", name="Quarantine")).to_have_count(0)
        async with people.client(people.viewer) as client:
            answer = await client.post(f"/sessions/{holds[0].hold}/deny", json={"reason": "no"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden_role")


async def test_a_request_leads_to_the_form_for_a_quarantine_filled_in(people: People) -> None:
    """Subject and host are in the form; nothing is done by opening it, nor by its next page."""
    async with people.host() as host, reader(people.centre.api_url, people.reviewer) as page:
        hold = await waiting(people, host)
        await page.goto(f"/requests/{hold.hold}")
        await page.locator("#quarantine").click()
        await expect(page.locator("#subject")).to_have_value("ai-worker")
        await expect(page.locator("#host")).to_have_value("web-1")
        await page.locator("#reason").fill("a look at it")
        await page.get_by_role("button", name="Continue").click()
        await expect(page.locator("h1")).to_have_text("Stop ai-worker on web-1?")
        await page.get_by_role("link", name="Do nothing").click()
        await expect(page.locator("main")).to_contain_text("Nobody is under quarantine.")


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_the_pages_are_accessible_and_fit(
    people: People, axe: Path, dark: bool, phone: bool
) -> None:
    """The inbox with the line, the session's page, and a request with the way to both."""
    async with (
        people.host() as host,
        reader(people.centre.api_url, people.reviewer, dark=dark, phone=phone, script=axe) as page,
    ):
        holds = await _session(people, host, f"{'x' * 200}-{dark}-{phone}")
        await _tell(host, holds, 1, 12_345)
        for address in ("/", f"/sessions/{holds[0].hold}", f"/requests/{holds[1].hold}"):
            await page.goto(address)
            await expect(page.locator("main")).to_contain_text("further acts denied")
            assert await findings(page) == [], address
            assert await overflow(page) <= 0, f"{address} is wider than the window"
