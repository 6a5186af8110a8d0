"""Grants, quarantines, votes and break-glass in a browser."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.end_to_end.collector.conftest import People, follow
from tests.support.asked import answered
from tests.support.browser import findings, hears_keys, overflow, reader
from tests.support.centre import centre
from tests.support.orders import PROGRAM
from tests.support.wire_host import WireHost, exec_act, opened, rule
from wire.acts import act_digest
from wire.messages import Ground, HoldOpened
from wire.orders import Grant, GrantRevoked, Quarantine, QuarantineLifted

POLICY = """\
policies:
  - id: two-groups
    when: {rules: [test.two]}
    approve: [{group: dba}, {group: security}]
    break_glass: [duty]
  - id: ghosts
    when: {rules: [test.ghosts]}
    approve: [{group: ghosts}]
  - id: rest
    reason: waived
"""


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    """Give a centre under that policy; ann is of dba and on duty, root of security."""
    with centre(tmp_path_factory.mktemp("orders"), start=False) as made:
        (made.state / "policy.yaml").write_text(POLICY, encoding="utf-8")
        with made.config.open("a", encoding="utf-8") as file:
            file.write('\n[approvals]\npolicy_file = "policy.yaml"\n')
        made.start_nats()
        made.start_collector()
        yield People(
            centre=made,
            viewer=made.token("vera@example.com", "viewer"),
            reviewer=made.token("ann@example.com", "reviewer", groups=("dba", "duty")),
            admin=made.token("root@example.com", "admin", groups=("security",)),
            bundles={"web-1": made.enroll("web-1")},
        )


async def _asking(
    people: People, host: WireHost, *argv: str, rule_id: str = "test.one"
) -> HoldOpened:
    """Open a hold that can be granted, and wait until the centre shows it."""
    act = exec_act("pg_dump", *argv, environment={}, filename="/usr/bin/pg_dump")
    hold = replace(
        opened(host.id, act=act, rule_facts=rule(id=rule_id)),
        digest=act_digest(act),
        program=PROGRAM,
        not_grantable="",
    )
    async with people.client(people.viewer) as client, follow(client) as stream:
        await stream.ready()
        await host.say(hold)
        await stream.until(hold.hold, state="open")
    return hold


async def test_a_grant_by_keyboard_and_its_end(people: People) -> None:
    """a, then Tab and space to the box; the button says what it will do."""
    async with people.host() as host, reader(people.centre.api_url, people.reviewer) as page:
        hold = await _asking(people, host, "keys")
        await page.goto(f"/requests/{hold.hold}")
        await hears_keys(page)
        await expect(page.get_by_label("Minutes")).to_be_hidden()
        await page.keyboard.press("a")
        await page.get_by_role("checkbox", name="For a time").focus()
        await page.keyboard.press("Space")
        await page.get_by_label("Minutes").fill("7")
        await page.get_by_label("Uses").fill("3")
        await expect(page.get_by_role("button", name="Approve for a time")).to_be_visible()
        await page.keyboard.press("Enter")
        await expect(page.locator("#answer")).to_contain_text("Approved by ann@example.com")
        await host.obey(hold, await host.verdict())
        grant = await host.order()
        assert isinstance(grant, Grant)
        assert (grant.uses, grant.via) == (3, "web")
        await page.get_by_role("link", name="Grants").click()
        mine = page.locator(f'[data-order="{grant.order}"]')
        await expect(mine).to_contain_text("0 of 3 uses taken")
        await mine.locator("summary").focus()
        await page.keyboard.press("Enter")
        await mine.get_by_label("Reason").fill("over")
        await page.keyboard.press("Enter")
        await expect(mine).to_have_count(0)
        assert isinstance(await host.order(), GrantRevoked)


async def test_a_quarantine_is_confirmed_and_lifted_without_javascript(people: People) -> None:
    """By plain links and forms; nothing is ordered before the page that says what happens."""
    async with (
        people.host() as host,
        reader(people.centre.api_url, people.reviewer, javascript=False) as page,
    ):
        await page.get_by_role("link", name="Quarantines").click()
        await page.get_by_role("combobox", name="Subject").fill("ai-worker")
        await page.get_by_label("Host").fill("web-1")
        await page.get_by_label("Reason").fill("it mails the customer table")
        await page.get_by_role("button", name="Continue").click()
        await expect(page.locator("h1")).to_have_text("Stop ai-worker on web-1?")
        async with people.client(people.viewer) as client:
            assert (await client.get("/quarantines")).json()["quarantines"] == []
        await page.get_by_role("button", name="Stop it now").click()
        order = await host.order()
        assert isinstance(order, Quarantine)
        mine = page.locator(f'[data-order="{order.quarantine}"]')
        await expect(mine).to_contain_text("it mails the customer table")
        await mine.locator("summary").click()
        await mine.get_by_label("Why it may go on").fill("looked at")
        await mine.get_by_role("button", name="Lift the quarantine").click()
        await expect(mine).to_have_count(0)
        assert isinstance(await host.order(), QuarantineLifted)


async def test_votes_are_followed_and_who_is_still_asked(people: People) -> None:
    """The page of who has approved says so, and changes when the last one does."""
    async with people.host() as host, reader(people.centre.api_url, people.reviewer) as page:
        hold = await _asking(people, host, "votes", rule_id="test.two")
        await page.goto(f"/requests/{hold.hold}?answer=approve")
        await expect(page.locator("#stand")).to_contain_text("0 of 2 approvals; still asked")
        await page.get_by_label("Reason", exact=True).fill("the weekly copy")
        await page.get_by_role("button", name="Approve once").click()
        await expect(page.locator("#answer")).to_contain_text("You have approved")
        await expect(page.locator("#answer")).to_contain_text("still asked: 1 of security")
        await page.goto("/")
        row = page.locator(f'#rows [data-request="{hold.hold}"]')
        await expect(row).to_contain_text("1 of 2 approvals; still asked: 1 of security")
        await expect(row.get_by_role("checkbox")).to_be_disabled()
        await page.goto(f"/requests/{hold.hold}")
        await answered(people, people.admin, hold, answer="approve", reason="fine")
        await expect(page.locator("#answer")).to_contain_text("Approved by ann@example.com, root")
        await host.obey(hold, await host.verdict())


async def test_the_glass_is_broken_with_a_reason_alone(people: People) -> None:
    """Closed at first, offered to whom the policy lets, and the host hears on what ground."""
    async with people.host() as host, reader(people.centre.api_url, people.reviewer) as page:
        hold = await _asking(people, host, "glass", rule_id="test.two")
        await page.goto(f"/requests/{hold.hold}")
        await expect(page.get_by_label("What the emergency is")).to_be_hidden()
        await page.get_by_text("Break the glass").click()
        await page.get_by_role("button", name="Release it now").click()
        await expect(page.locator("#stand")).to_contain_text("waiting until")
        await page.get_by_label("What the emergency is").fill("the shop is down")
        await page.get_by_role("button", name="Release it now").click()
        await expect(page.locator("#answer")).to_contain_text("Approved by ann@example.com")
        verdict = await host.verdict()
        assert (verdict.ground, verdict.reason) == (Ground.BREAK_GLASS, "the shop is down")
        await host.obey(hold, verdict)


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_the_pages_are_accessible_and_fit(
    people: People, axe: Path, dark: bool, phone: bool
) -> None:
    """With everything open that opens."""
    url, token = people.centre.api_url, people.reviewer
    async with (
        people.host() as host,
        reader(url, token, dark=dark, phone=phone, script=axe) as page,
        people.client(people.reviewer) as client,
    ):
        granted = await _asking(people, host, "a" * 300)
        body = {"answer": "approve", "reason": "r", "grant": {"minutes": 9, "uses": 4}}
        answer = await client.post(f"/requests/{granted.hold}/decision", json=body)
        assert answer.status_code == 200, answer.text
        subject = ("dark" if dark else "light") + ("phone" if phone else "desk") + "s" * 40
        made = await client.post("/quarantines", json={"subject": subject, "reason": "w" * 200})
        assert made.status_code == 201, made.text
        two = await _asking(people, host, "two", rule_id="test.two")
        await answered(people, people.admin, two, answer="approve", reason="fine")
        voted = await _asking(people, host, "voted", rule_id="test.two")
        await answered(people, people.reviewer, voted, answer="approve", reason="fine")
        stuck = await _asking(people, host, "stuck", rule_id="test.ghosts")
        one = await _asking(people, host, "one")
        asked = f"subject={subject}&host=web-1&reason={'r' * 90}"
        for address in (
            "/", "/grants", "/grants?show=all", "/quarantines", "/quarantines?show=all",
            f"/quarantines/new?{asked}", f"/requests/{one.hold}?answer=approve",
            *(f"/requests/{hold.hold}" for hold in (two, voted, stuck)),
        ):  # fmt: skip
            await page.goto(address)
            await _check(page, address)
        known = made.json()["quarantine"]
        await client.post(f"/quarantines/{known}/lift", json={"reason": "the end of the test"})


async def _check(page: Page, place: str) -> None:
    """Open all that is closed, then look."""
    await page.evaluate("() => document.querySelectorAll('details').forEach((d) => d.open = true)")
    box = page.get_by_role("checkbox", name="For a time")
    if await box.is_visible():
        await box.check()
    assert await findings(page) == [], place
    assert await overflow(page) <= 0, f"{place} is wider than the window"
