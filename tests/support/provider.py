"""A real OpenID Connect provider on loopback, and a browser that signs in there.

with provider(tmp_path, redirect="http://127.0.0.1:1234/auth/callback") as idp:
    idp.account("ann", email="ann@example.com", email_verified=True, groups=["sre"])
    callback = browser_signs_in(client, url, login="ann")
"""

import html
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

import httpx

from tests.support.centre import Child
from tests.support.node import node, packages, script

CLIENT = "holdfast"
SECRET = "only+for/tests%"  # noqa: S105 - of a provider that ends with the test
_MOST_STEPS = 15


class IdentityProvider:
    """The running provider: its issuer, and what the test changes about it."""

    def __init__(self, child: Child, issuer: str) -> None:
        self._child = child
        self.issuer = issuer

    def account(self, login: str, **claims: object) -> None:
        """Say what the provider knows about whoever signs in as `login`."""
        self._control({"accounts": {login: claims}})

    def spoil(self, **claims: object) -> None:
        """Have each ID token say something else; `unsigned` or `foreign`: signed by nobody else."""
        self._control({"spoil": claims or None})

    def rotate_keys(self) -> None:
        """Sign with a new key from now on, and deny the old one."""
        self._control({"rotate": True})

    def stop(self) -> None:
        """End it."""
        self._child.stop()

    def _control(self, what: dict[str, object]) -> None:
        answer = httpx.post(f"{self.issuer}/test/control", json=what, trust_env=False)
        assert answer.status_code == 200, answer.text


@contextmanager
def provider(
    directory: Path, *, redirect: str, thin_id_tokens: bool = False, issuer_says: str = ""
) -> Iterator[IdentityProvider]:
    """Run a provider. With `thin_id_tokens` claims are in userinfo only."""
    settings = {
        "client_id": CLIENT,
        "client_secret": SECRET,
        "redirect_uris": [redirect],
        "thin_id_tokens": thin_id_tokens,
        "issuer_says": issuer_says,
    }
    command = [node(), str(script("provider.mjs")), str(packages()), json.dumps(settings)]
    child = Child(command, directory / "provider.log")
    try:
        yield IdentityProvider(child, json.loads(child.wait_for('"issuer"'))["issuer"])
    finally:
        child.stop()


def sign_in(browser: httpx.Client, url: str, *, login: str, until: str) -> str:
    """Follow redirects and fill in forms as a person would; return the first address with `until`.

    That address is not opened.
    """
    answer = browser.get(url)
    for _ in range(_MOST_STEPS):
        if answer.is_redirect:
            url = urljoin(str(answer.url), answer.headers["location"])
            if until in url:
                return url
            answer = browser.get(url)
            continue
        assert answer.status_code == 200, f"{answer.url}: {answer.status_code} {answer.text}"
        answer = submit(browser, answer, login=login, password="x")  # noqa: S106 - any will do
    raise AssertionError(f"the provider never led to {until}")


def submit(browser: httpx.Client, page: httpx.Response, **typed: str) -> httpx.Response:
    """Send the form of a page with what is typed into its fields."""
    form = re.search(r"<form[^>]*action=\"([^\"]*)\"[^>]*>", page.text)
    assert form, page.text
    fields = dict(typed)
    for field in re.findall(r"<input[^>]*type=\"hidden\"[^>]*>", page.text):
        name, value = re.search(r'name="([^"]*)"', field), re.search(r'value="([^"]*)"', field)
        if name and value:
            fields[name[1]] = html.unescape(value[1])
    return browser.post(urljoin(str(page.url), html.unescape(form[1])), data=fields)
