"""Signing in and out in a browser, and forms of other sites."""

from pathlib import Path

import httpx
from playwright.async_api import Route, expect

from tests.end_to_end.collector.conftest import People
from tests.support.asked import waiting
from tests.support.browser import reader
from tests.support.centre import centre

# The same host on another port: to cookies the same site, to the page a foreign one.
NEIGHBOUR = "http://127.0.0.1:18999/"


async def test_who_is_signed_out_signs_in_and_comes_to_the_page_they_wanted(
    people: People,
) -> None:
    """A link from a chat leads through the sign-in to its request."""
    async with (
        people.host() as host,
        reader(people.centre.api_url, expect=("401",)) as page,
    ):
        hold = await waiting(people, host)
        await page.goto(f"/requests/{hold.hold}?answer=deny")
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        await page.get_by_label("Token").fill("hft_" + "0" * 12 + "_" + "0" * 64)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_contain_text("unknown, expired or revoked")
        await page.get_by_label("Token").fill(people.reviewer)
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(f"{people.centre.api_url}/requests/{hold.hold}?answer=deny")
        await expect(page.get_by_role("radio", name="Deny")).to_be_checked()
        [cookie] = await page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
        assert people.reviewer not in str(await page.context.storage_state())


async def test_an_ended_session_is_said_and_nothing_was_done(people: People) -> None:
    """A token that is revoked while its owner types ends the session in that moment."""
    token = people.centre.token("brief@example.com", "reviewer")
    async with (
        people.host() as host,
        reader(people.centre.api_url, token, expect=("401",)) as page,
    ):
        hold = await waiting(people, host)
        await page.goto(f"/requests/{hold.hold}?answer=approve")
        await page.get_by_label("Reason", exact=True).fill("fine")
        people.centre.run(
            "token", "revoke", token.split("_")[1], "--config", str(people.centre.config)
        )
        await page.get_by_role("button", name="Approve once").click()
        await expect(page.get_by_role("alert")).to_contain_text("your session has ended")
        await expect(page.get_by_role("alert")).to_contain_text("nothing was done")
        async with people.client(people.viewer) as client:
            assert (await client.get(f"/requests/{hold.hold}")).json()["state"] == "open"
        await page.get_by_role("link", name="Sign in").click()
        await page.get_by_label("Token").fill(people.reviewer)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page).to_have_url(f"{people.centre.api_url}/requests/{hold.hold}")


async def test_a_form_of_another_site_is_refused(people: People) -> None:
    """Even one that knows request and digest, and whose browser sends the cookie along."""
    async with (
        people.host() as host,
        reader(people.centre.api_url, people.reviewer, expect=("403",)) as page,
    ):
        hold = await waiting(people, host)

        async def serve(route: Route) -> None:
            await route.fulfill(
                content_type="text/html",
                body=f"<form method=post action={people.centre.api_url}/requests/{hold.hold}"
                f"/decision><input name=answer value=approve><input name=reason value=x>"
                f"<input name=digest value={hold.digest}><button>Win a prize</button></form>",
            )

        await page.route(NEIGHBOUR, serve)
        await page.goto(NEIGHBOUR)
        await page.get_by_role("button").click()
        await expect(page.get_by_role("alert")).to_contain_text("came from another site")
        async with people.client(people.viewer) as client:
            assert (await client.get(f"/requests/{hold.hold}")).json()["state"] == "open"


async def test_signing_out_ends_the_session_for_good(people: People) -> None:
    """The cookie that was is worth nothing afterwards, and no page is kept to go back to."""
    async with reader(people.centre.api_url, people.reviewer) as page:
        cookies = await page.context.cookies()
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.locator(".notice")).to_contain_text("You are signed out")
        assert await page.context.cookies() == []
        await page.go_back()
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        await page.context.add_cookies(
            [
                {"name": c["name"], "value": c["value"], "url": people.centre.api_url}
                for c in cookies
            ]
        )
        await page.goto("/holds")
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_pages_can_be_left_out(tmp_path: Path) -> None:
    """With `enabled = false` there is the API alone."""
    with centre(tmp_path, start=False) as made:
        with made.config.open("a", encoding="utf-8") as file:
            file.write("\n[web]\nenabled = false\n")
        made.start_nats()
        made.start_collector()
        for path in ("/", "/sign-in", "/static/style.css"):
            answer = httpx.get(f"{made.api_url}{path}", headers={"Accept": "text/html"})
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
        assert httpx.get(f"{made.api_url}/healthz").status_code == 200
