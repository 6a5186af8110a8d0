"""The inbox in a browser: live, by keyboard, several at once, and without JavaScript."""

from playwright.async_api import Page, expect

from tests.end_to_end.collector.conftest import People
from tests.support.asked import answered, waiting
from tests.support.browser import hears_keys, reader
from tests.support.relay import relay
from tests.support.wire_host import exec_act, rule
from wire.messages import Answer, HoldOpened, Severity


def _row(page: Page, hold: HoldOpened) -> str:
    return f'#rows [data-request="{hold.hold}"]'


async def _live(page: Page) -> None:
    """Wait until the page hears of changes."""
    await expect(page.locator("#live")).to_have_attribute("data-live", "on")


async def test_a_new_request_appears_by_itself_and_whole(people: People) -> None:
    """A reader who looks at the inbox sees who, what, where and how bad, without a reload."""
    async with people.host() as host, reader(people.centre.api_url, people.reviewer) as page:
        await _live(page)
        hold = await host.open(
            act=exec_act("scp", "dump.sql", "203.0.113.9:"),
            rule_facts=rule(id="net.copy", severity=Severity.CRITICAL),
        )
        row = page.locator(_row(page, hold))
        await expect(row.locator("code")).to_have_text("scp dump.sql 203.0.113.9:")
        for text in ("asks to run", "web-1", "net.copy", "critical", "held before the act", "left"):
            await expect(row).to_contain_text(text)
        await expect(page.locator("#said")).to_contain_text("New request: ai asks to run scp")
        await expect(page.locator("#tally")).not_to_have_text("0")
        await expect(page).to_have_title(
            f"({await page.locator('#tally').inner_text()}) Inbox · Holdfast"
        )
        await row.get_by_role("link").click()
        await expect(page.locator(".command")).to_have_text("scp dump.sql 203.0.113.9:")


async def test_what_others_answer_stays_in_its_place_and_says_so(people: People) -> None:
    """No row moves under a finger; one that is answered cannot be chosen any more."""
    async with people.host() as host, reader(people.centre.api_url, people.reviewer) as page:
        hold = await waiting(people, host)
        await page.reload()
        await _live(page)
        row = page.locator(_row(page, hold))
        place = await row.evaluate("(one) => [...one.parentNode.children].indexOf(one)")
        await answered(people, people.admin, hold, answer="deny", reason="not now")
        await expect(row).to_contain_text("denied")
        await expect(row).to_contain_text("host has not confirmed")
        await expect(row.get_by_role("checkbox")).to_be_disabled()
        assert await row.evaluate("(one) => [...one.parentNode.children].indexOf(one)") == place
        await host.obey(hold, await host.verdict())
        await expect(row).to_contain_text("process killed")


async def test_what_was_answered_while_the_page_was_cut_off_is_marked(people: People) -> None:
    """After a reconnection nothing that is over looks as if it still waited."""
    async with (
        people.host() as host,
        relay(people.centre.api_url) as between,
        reader(
            between.url, people.reviewer, expect=("Failed to load resource: net::ERR_",)
        ) as page,
    ):
        hold = await waiting(people, host)
        await page.reload()
        await _live(page)
        between.cut()
        await expect(page.locator("#live")).to_have_attribute("data-live", "lost")
        await answered(people, people.admin, hold, answer="deny", reason="not now")
        await host.obey(hold, await host.verdict())
        row = page.locator(_row(page, hold))
        await expect(row.get_by_role("checkbox")).to_be_enabled()
        await between.join()
        await _live(page)
        await expect(row).to_contain_text("no longer waiting")
        await expect(row.get_by_role("checkbox")).to_be_disabled()


async def test_several_are_chosen_and_denied_by_keyboard(people: People) -> None:
    """j, x, x, d, a reason and Enter answer two requests, each about its own act."""
    async with people.host() as host, reader(people.centre.api_url, people.reviewer) as page:
        first = await waiting(people, host, act=exec_act("make", "one"), deadline_s=200)
        second = await waiting(people, host, act=exec_act("make", "two"), deadline_s=201)
        await page.goto("/")
        await _live(page)
        await page.keyboard.press("j")
        await expect(page.locator(f"{_row(page, first)} .row-title")).to_be_focused()
        await page.keyboard.press("x")
        await page.keyboard.press("j")
        await page.keyboard.press("x")
        await expect(page.locator("#chosen")).to_have_text("2 chosen")
        await page.keyboard.press("k")
        await expect(page.locator(f"{_row(page, first)} .row-title")).to_be_focused()
        await page.keyboard.press("d")
        await expect(page.get_by_role("heading", level=1)).to_have_text(
            "2 requests to answer together"
        )
        await expect(page.locator("#reason")).to_be_focused()
        await expect(page.get_by_role("radio", name="Deny")).to_be_checked()
        await page.keyboard.type("both are mistakes")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_have_text("2 answers taken")
        said = {one.hold: one for one in [await host.verdict(), await host.verdict()]}
        assert set(said) == {first.hold, second.hold}
        for hold in (first, second):
            verdict = said[hold.hold]
            assert (verdict.answer, verdict.reason) == (Answer.DENY, "both are mistakes")
            assert (verdict.via, verdict.digest) == ("web", hold.digest)
            await host.obey(hold, verdict)


async def test_of_several_one_that_is_taken_already_is_named(people: People) -> None:
    """The others are answered all the same, and who was first is said."""
    async with people.host() as host, reader(people.centre.api_url, people.reviewer) as page:
        mine = await waiting(people, host, act=exec_act("make", "mine"))
        gone = await waiting(people, host, act=exec_act("make", "gone"))
        await page.goto(f"/review?request={mine.hold}&request={gone.hold}&answer=approve")
        await answered(people, people.admin, gone, answer="deny", reason="I was first")
        await page.get_by_label("Reason", exact=True).fill("fine")
        await page.get_by_role("button", name="Approve 2 requests once").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("1 answer taken, 1 not")
        await expect(page.locator("main")).to_contain_text("Already denied by root@example.com")
        await expect(page.locator("main")).to_contain_text("I was first")
        for _ in range(2):
            verdict = await host.verdict()
            await host.obey(mine if verdict.hold == mine.hold else gone, verdict)


async def test_all_of_it_works_without_javascript(people: People) -> None:
    """By plain links and forms: choose, review, answer, comment, sign out."""
    async with (
        people.host() as host,
        reader(people.centre.api_url, people.reviewer, javascript=False) as page,
    ):
        hold = await waiting(people, host, act=exec_act("make", "plain"))
        await page.goto("/")
        await page.locator(_row(page, hold)).get_by_role("checkbox").check()
        await page.get_by_role("button", name="Review those chosen").click()
        await expect(page.locator(".command")).to_have_text("make plain")
        await page.locator("main").get_by_role("link", name="make").click()
        await page.get_by_role("textbox", name="Decides nothing").fill("who asked for this?")
        await page.get_by_role("button", name="Comment").click()
        await expect(page.locator("#history")).to_contain_text("who asked for this?")
        await page.get_by_role("radio", name="Approve once").check()
        await page.get_by_role("radio", name="Expected for this task").check()
        await page.get_by_role("button", name="Approve once").click()
        await expect(page.locator("#stand")).to_contain_text("waiting for the host to confirm")
        verdict = await host.verdict()
        assert (verdict.answer, verdict.reason) == (Answer.APPROVE, "Expected for this task")
        await host.obey(hold, verdict)
        await page.get_by_role("button", name="Sign out").click()
        await expect(
            page.get_by_role("alert").or_(page.get_by_role("status")).first
        ).to_contain_text("signed out")


async def test_keys_are_told_and_can_be_turned_off(people: People) -> None:
    """? shows them; whoever dictates or mistypes turns them off; a field takes letters as text."""
    async with reader(people.centre.api_url, people.viewer) as page:
        await hears_keys(page)
        await page.keyboard.press("?")
        dialog = page.get_by_role("dialog", name="Keys")
        await expect(dialog).to_be_visible()
        await dialog.get_by_label("Single keys do this").uncheck()
        await page.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()
        await page.keyboard.press("?")
        await expect(dialog).to_be_hidden()
        await page.get_by_role("button", name="Keys").click()
        await dialog.get_by_label("Single keys do this").check()
        await dialog.get_by_role("button", name="Close").click()
        await page.keyboard.press("/")
        await expect(page).to_have_url(f"{people.centre.api_url}/search")
        await hears_keys(page)
        await page.keyboard.press("/")
        await expect(page.locator("#q")).to_be_focused()
        await page.keyboard.type("jk?/")
        await expect(page.locator("#q")).to_have_value("jk?/")
        await page.keyboard.press("Escape")
        await expect(page.locator("#q")).not_to_be_focused()
        await page.keyboard.press("i")
        await expect(page).to_have_url(f"{people.centre.api_url}/")
