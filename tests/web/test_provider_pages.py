"""The pages where there is an identity provider: in, out, and a fresh proof, in a browser."""

from playwright.async_api import Page, expect

from tests.support.browser import reader
from tests.support.identity_site import Site, known

# What the provider's own page has in its console is not ours.
THEIRS = ("Content Security Policy", "Failed to load resource", "font", "autocomplete")


async def _at_the_provider(page: Page, site: Site, login: str) -> None:
    """Fill in what the provider asks; it sends the browser back."""
    assert page.url.startswith(site.idp.issuer)
    await page.locator("[name=login]").fill(login)
    await page.locator("[name=password]").fill("x")
    await page.locator("[type=submit]").click()


async def test_a_link_leads_through_the_provider_to_its_page(site: Site) -> None:
    """Signed out, there, and back at the page that was asked for, under the provider's name."""
    login = known(site, "paula")
    async with reader(site.base, expect=THEIRS) as page:
        await page.goto("/holds?state=open")
        await _at_the_provider(page, site, login)
        await expect(page).to_have_url(f"{site.base}/holds?state=open")
        await expect(page.locator(".me-name")).to_have_text("paula@example.com")
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.locator(".notice")).to_contain_text("You are signed out")
        there = page.get_by_role("link", name="Sign out of your identity provider too")
        assert str(await there.get_attribute("href")).startswith(site.idp.issuer)
        ways = page.get_by_role("link", name="Sign in with your organisation")
        assert await ways.get_attribute("href") == "/auth/login?next=/"


async def test_a_refused_sign_in_is_a_page_with_the_other_ways(site: Site) -> None:
    """A link to the callback that nobody began is refused in words, in the usual frame."""
    async with reader(site.base, expect=THEIRS) as page:
        await page.goto("/auth/callback?code=x&state=y")
        await expect(page.get_by_role("alert")).to_be_visible()
        await page.get_by_role("link", name="Ways to sign in").click()
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        await page.get_by_text("With a token instead").click()
        await expect(page.get_by_label("Token")).to_be_visible()
