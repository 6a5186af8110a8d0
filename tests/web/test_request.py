"""One request in a browser: answered by keyboard, refused in words, followed, safe to look at."""

import pytest
from playwright.async_api import Page, expect

from tests.end_to_end.collector.conftest import People
from tests.support.asked import answered, waiting
from tests.support.browser import hears_keys, overflow, reader
from tests.support.wire_host import exec_act, rule, state
from wire.messages import Answer, HoldStateName

HOSTILE = (
    "<img src=x onerror=alert(1)>\u202egnp.exe\x1b[2J</script><script>alert(2)</script>{{7*7}}"
)


async def test_an_approval_by_keyboard_turns_green_only_when_the_host_confirms(
    people: People,
) -> None:
    """From the inbox: Enter, a, a reason, Enter. The page follows the host by itself."""
    async with people.host() as host, reader(people.centre.api_url, people.reviewer) as page:
        hold = await waiting(people, host, act=exec_act("psql", "-c", "select 1"), deadline_s=100)
        await page.goto("/")
        await hears_keys(page)
        await page.keyboard.press("j")
        await page.keyboard.press("Enter")
        await expect(page.locator("#stand")).to_contain_text("waiting")
        await hears_keys(page)
        await page.keyboard.press("a")
        await expect(page.locator("#reason")).to_be_focused()
        await page.keyboard.type("nightly export")
        await page.keyboard.press("Enter")
        await expect(page.locator("#stand .state")).to_have_attribute("data-state", "approved")
        await expect(page.locator("#stand")).to_contain_text("host has not confirmed")
        verdict = await host.verdict()
        assert (verdict.hold, verdict.answer) == (hold.hold, Answer.APPROVE)
        assert (verdict.by, verdict.via) == ("ann@example.com", "web")
        assert (verdict.reason, verdict.digest) == ("nightly export", hold.digest)
        await host.obey(hold, verdict)
        await expect(page.locator("#stand .state")).to_have_attribute("data-state", "released")
        await expect(page.locator("#history")).to_contain_text("The process runs on")
        await expect(page.locator("#said")).to_contain_text("released at")


async def test_a_denial_takes_a_reason_from_the_short_list(people: People) -> None:
    """Two clicks and a third to send; what is picked and what is typed are one reason."""
    async with people.host() as host, reader(people.centre.api_url, people.reviewer) as page:
        hold = await waiting(people, host)
        await page.goto(f"/requests/{hold.hold}")
        await expect(page.get_by_role("radio", name="Looks like a mistake")).to_be_hidden()
        await page.get_by_role("radio", name="Deny").check()
        await expect(page.get_by_role("radio", name="Expected for this task")).to_be_hidden()
        await page.get_by_role("radio", name="Looks like a mistake").check()
        await page.get_by_label("Reason", exact=True).fill("wrong host")
        await page.get_by_role("button", name="Deny").click()
        await expect(page.locator("#answer")).to_contain_text("Denied by ann@example.com")
        verdict = await host.verdict()
        assert verdict.reason == "Looks like a mistake: wrong host"
        await host.obey(hold, verdict)
        await expect(page.locator("#stand .state")).to_have_attribute("data-state", "killed")


async def test_enter_alone_never_answers(people: People) -> None:
    """Neither answer is chosen beforehand, and a form without one is not sent."""
    async with people.host() as host, reader(people.centre.api_url, people.reviewer) as page:
        hold = await waiting(people, host)
        await page.goto(f"/requests/{hold.hold}")
        await page.get_by_label("Reason", exact=True).fill("just a text")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("radio", name="Approve once")).not_to_be_checked()
        await expect(page.locator("#stand")).to_contain_text("waiting until")
        async with people.client(people.viewer) as client:
            assert (await client.get(f"/requests/{hold.hold}")).json()["state"] == "open"
        await answered(people, people.admin, hold, answer="deny", reason="end of the test")
        await host.obey(hold, await host.verdict())


async def test_a_missing_reason_is_refused_in_words_and_the_choice_is_kept(people: People) -> None:
    """Nobody chooses twice because a field was empty."""
    async with (
        people.host() as host,
        reader(people.centre.api_url, people.reviewer, expect=("422",)) as page,
    ):
        hold = await waiting(people, host)
        await page.goto(f"/requests/{hold.hold}?answer=deny")
        await page.get_by_role("button", name="Deny").click()
        await expect(page.get_by_role("alert")).to_contain_text("asks for a reason")
        await expect(page.get_by_role("radio", name="Deny")).to_be_checked()


async def test_ones_own_request_is_not_offered_and_is_refused(people: People) -> None:
    """The page says whose it is; a form that is made up all the same is refused in words."""
    async with (
        people.host() as host,
        reader(people.centre.api_url, people.reviewer, expect=("403",)) as page,
    ):
        other = await waiting(people, host)
        own = await waiting(people, host, act=exec_act("make", login_user="ann-unix"))
        await page.goto("/")
        row = page.locator(f'#rows [data-request="{own.hold}"]')
        await expect(row).to_contain_text("another reviewer must answer")
        await expect(row.get_by_role("checkbox")).to_be_disabled()
        await page.goto(f"/requests/{own.hold}")
        await expect(page.locator("#answer")).to_contain_text("Not yours to answer")
        await expect(page.locator("#answer")).to_contain_text("ann-unix")
        await expect(page.locator("#answer form")).to_have_count(0)
        await page.goto(f"/requests/{other.hold}?answer=approve")
        await page.locator("form.decide").evaluate(
            "(form, [id, digest]) => { form.action = `/requests/${id}/decision`;"
            " form.elements.digest.value = digest; }",
            [own.hold, own.digest],
        )
        await page.get_by_label("Reason", exact=True).fill("I say so")
        await page.get_by_role("button", name="Approve once").click()
        await expect(page.get_by_role("alert")).to_contain_text("who is you")
        await expect(page.get_by_role("alert")).to_contain_text("nobody decides their own")


async def test_who_comes_second_reads_who_was_first(people: People) -> None:
    """The answer was sent before the page could tell: it is refused with who, when and why."""
    async with (
        people.host() as host,
        reader(people.centre.api_url, people.reviewer, expect=("409", "ERR_FAILED")) as page,
    ):
        hold = await waiting(people, host)
        await page.route("**/live", lambda route: route.abort())  # the page hears nothing
        await page.goto(f"/requests/{hold.hold}?answer=approve")
        await answered(people, people.admin, hold, answer="deny", reason="not on a Friday")
        await page.get_by_label("Reason", exact=True).fill("fine with me")
        await page.get_by_role("button", name="Approve once").click()
        alert = page.get_by_role("alert")
        await expect(alert).to_contain_text("Already denied by root@example.com at 20")
        await expect(alert).to_contain_text("not on a Friday")
        await expect(page.locator("#answer")).to_contain_text("Denied by root@example.com")
        await host.obey(hold, await host.verdict())


async def test_an_answer_by_another_closes_an_open_form(people: People) -> None:
    """Who is about to answer sees that it is done; a comment of another leaves the form alone."""
    async with people.host() as host, reader(people.centre.api_url, people.reviewer) as page:
        hold = await waiting(people, host)
        await page.goto(f"/requests/{hold.hold}?answer=approve")
        await page.get_by_label("Reason", exact=True).fill("half a rea")
        async with people.client(people.viewer) as client:
            await client.post(f"/requests/{hold.hold}/comments", json={"text": "please wait"})
        await expect(page.locator("#history")).to_contain_text("please wait")
        await expect(page.get_by_label("Reason", exact=True)).to_have_value("half a rea")
        await answered(people, people.admin, hold, answer="deny", reason="no")
        await expect(page.locator("#answer")).to_contain_text("Denied by root@example.com")
        await expect(page.locator("#answer form")).to_have_count(0)
        await host.obey(hold, await host.verdict())


async def test_a_card_that_changes_on_an_open_page_is_the_one_that_is_answered(
    people: People,
) -> None:
    """The page shows it as it is now, keeps what was typed, and the vote names what it shows."""
    async with people.host() as host, reader(people.centre.api_url, people.reviewer) as page:
        hold = await waiting(people, host, rule_facts=rule(reason_required=False))
        await page.goto(f"/requests/{hold.hold}")
        named = page.locator(".decide input[name=card]")
        before = await named.input_value()
        await page.get_by_label("Reason").fill("not today")
        await host.say(state(hold, 1, HoldStateName.HELD, detail="its parent is gone"))
        await expect(page.locator("#because")).to_contain_text("its parent is gone")
        await expect(named).not_to_have_value(before)
        after = await named.input_value()
        await expect(page.locator(".digest").last).to_contain_text(after)
        await page.get_by_role("radio", name="Deny").check()
        await page.get_by_role("button", name="Deny").click()
        await expect(page.locator("#answer")).to_contain_text("not today")
    saw = "SELECT card, card_is_of_content, contains(card_content, ?) FROM what_reviewers_saw"
    rows = await people.ask(f"{saw} WHERE request = ?", "its parent is gone", hold.hold)
    assert rows == [[after, True, True]]


async def test_hostile_text_is_text(people: People) -> None:
    """Markup, escapes, reversed writing and template code are shown as they are, everywhere."""
    async with people.host() as host, reader(people.centre.api_url, people.reviewer) as page:
        hold = await waiting(
            people,
            host,
            act=exec_act(
                "sh", "-c", HOSTILE, subject="<b>ai</b>", session="100-<i>", cwd=f"/srv/{HOSTILE}"
            ),
            rule_facts=rule(id="r", description=HOSTILE),
            owner=f"<u>owner</u>, {HOSTILE}",
        )
        await host.say(state(hold, 1, HoldStateName.HELD, detail=HOSTILE))
        await host.events(
            {"session": "100-<i>", "subject": "<b>ai</b>", "program": "sh", "argv": [HOSTILE]}
        )
        await page.goto(f"/requests/{hold.hold}")
        for place in (".command", ".because", "#history"):
            await expect(page.locator(place)).to_contain_text("<img src=x onerror=alert(1)>")
        await expect(page.locator(".command")).to_contain_text(r"\u202egnp.exe\x1b[2J")
        await expect(page.locator(".command")).to_contain_text("{{7*7}}")
        assert await page.locator("main img, main script, main b > i, main u").count() == 0
        text = await page.locator("body").inner_text()
        assert not set("\u202e\x1b") & set(text)
        async with people.client(people.viewer) as client:
            await client.post(f"/requests/{hold.hold}/comments", json={"text": HOSTILE})
        await expect(page.locator("#history .quote").last).to_contain_text("<script>alert(2)")
        assert await page.locator("main script").count() == 0
        await page.goto("/")
        await expect(page.locator(f'#rows [data-request="{hold.hold}"] code')).to_contain_text("sh")
        assert await page.locator("main img, main script").count() == 0


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
async def test_a_very_long_command_is_whole_somewhere_and_says_so(
    people: People, phone: bool
) -> None:
    """Nothing is cut silently: what the card hides is counted, and the full text is on the page."""
    word = "".join(f"{number:05}" for number in range(3000))
    async with (
        people.host() as host,
        reader(people.centre.api_url, people.reviewer, phone=phone) as page,
    ):
        hold = await waiting(people, host, act=exec_act("bash", "-c", f"echo {word}; reboot"))
        await page.goto(f"/requests/{hold.hold}")
        await expect(page.locator(".hidden-bytes").first).to_contain_text("bytes not shown here")
        full = page.locator(".arguments li").last
        await expect(full).to_be_visible()
        assert await full.inner_text() == f"'echo {word}; reboot'"
        assert await overflow(page) == 0


async def test_the_page_tells_what_else_the_session_did(people: People) -> None:
    """Other requests and events of the same session, and not those of another one."""
    async with people.host() as host, reader(people.centre.api_url, people.reviewer) as page:
        hold = await waiting(people, host, act=exec_act("make", "a", session="7-7"))
        await waiting(people, host, act=exec_act("make", "b", session="7-7"))
        await waiting(people, host, act=exec_act("make", "c", session="8-8"))
        await host.events(
            {"session": "7-7", "subject": "ai-worker", "argv": ["git", "status"], "program": "git"},
            {"session": "8-8", "subject": "ai-worker", "argv": ["git", "push"], "program": "git"},
        )
        assert await people.ask_until(
            [[2]], "SELECT count(*) FROM events WHERE session IN ('7-7', '8-8')"
        ) == [[2]]
        await page.goto(f"/requests/{hold.hold}")
        activity = page.locator(".activity")
        await expect(activity.locator(".row")).to_have_count(1)
        await expect(activity.locator(".row")).to_contain_text("make b")
        await expect(activity.locator(".event")).to_have_count(1)
        await expect(activity.locator(".event")).to_contain_text("git status")
        await _search(page, people)


async def _search(page: Page, people: People) -> None:
    """The same is found by search, and by text."""
    await page.goto("/search?session=7-7")
    await expect(page.locator(".row")).to_have_count(2)
    await expect(page.locator(".event")).to_have_count(1)
    await page.get_by_label("Session").fill("")
    await page.get_by_label("Requests and events with").fill("GIT PUSH")
    await page.keyboard.press("Enter")
    await expect(page.locator(".event")).to_have_count(1)
    await expect(page.locator(".event")).to_contain_text("git push")
    await expect(page.locator(".row")).to_have_count(0)
    await page.goto("/holds?q=make+c")
    await expect(page.locator(".row")).to_have_count(1)
