"""A reader in a real Chromium, whose console must stay silent: an error there fails the test.

async with reader(people.centre.api_url, people.reviewer) as page:
    await page.goto("/")
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import ConsoleMessage, Page, async_playwright

CHROMIUM = "/usr/bin/chromium"
WAIT_MS = 20_000
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 740}


@asynccontextmanager
async def reader(
    url: str,
    token: str = "",
    *,
    dark: bool = False,
    phone: bool = False,
    javascript: bool = True,
    script: Path | None = None,
    expect: tuple[str, ...] = (),
) -> AsyncIterator[Page]:
    """Open a browser of its own, signed in if there is a token; addresses begin at `url`.

    `script` is run in each page before its own; `expect` are parts of console errors that the
    test provokes.
    """
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = await browser.new_context(
            base_url=url,
            viewport=PHONE if phone else DESKTOP,  # type: ignore[arg-type]
            color_scheme="dark" if dark else "light",
            java_script_enabled=javascript,
            has_touch=phone,
        )
        context.set_default_timeout(WAIT_MS)
        if script is not None:
            await context.add_init_script(path=script)
        page = await context.new_page()
        problems: list[str] = []
        page.on("console", lambda message: _note(message, problems, expect))
        page.on("pageerror", lambda error: problems.append(str(error)))
        if token:
            await sign_in(page, token)
        yield page
        await context.close()
        await browser.close()
        assert not problems, "\n".join(problems)


async def sign_in(page: Page, token: str, target: str = "/") -> None:
    """Sign in by the form, as a person does."""
    await page.goto(target)
    await page.get_by_label("Token").fill(token)
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("button", name="Sign out").wait_for()


async def hears_keys(page: Page) -> None:
    """Wait until the page's own scripts run."""
    await page.get_by_role("button", name="Keys").wait_for()


async def findings(page: Page) -> list[dict[str, Any]]:
    """Return what axe-core, loaded as `script`, has against the page as it is."""
    found: list[dict[str, Any]] = await page.evaluate(
        """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations.map(
             (one) => ({rule: one.id, help: one.help,
                        where: one.nodes.map((node) => [node.target, node.failureSummary])}))"""
    )
    return found


async def overflow(page: Page) -> int:
    """Return by how many pixels the page is wider than its window."""
    wider: int = await page.evaluate(
        "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return wider


def _note(message: ConsoleMessage, problems: list[str], expect: tuple[str, ...]) -> None:
    if message.type in ("error", "warning") and not any(one in message.text for one in expect):
        problems.append(f"{message.type}: {message.text}")
