"""A centre on loopback whose people sign in at a real identity provider."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from collector.identity.sessions import Session, Sessions
from tests.support.centre import Centre, centre, free_port
from tests.support.provider import CLIENT, SECRET, IdentityProvider, provider, sign_in

WAIT_S = 30
ROLES = {"sre": "reviewer", "security": "admin", "staff": "viewer"}


@dataclass(frozen=True)
class Site:
    """The running centre at `base`, and the provider that it trusts."""

    centre: Centre
    idp: IdentityProvider
    base: str

    @property
    def database(self) -> Path:
        """The file of identities."""
        return self.centre.state / "identities.db"

    def browser(self) -> httpx.Client:
        """Return a browser without cookies that follows nothing by itself."""
        return httpx.Client(
            base_url=self.base, timeout=WAIT_S, trust_env=False, headers={"Accept": "text/html"}
        )

    def signs_in(
        self, browser: httpx.Client, login: str, path: str = "/auth/login"
    ) -> httpx.Response:
        """Sign in and return the answer to the callback."""
        return browser.get(self.leads_to(browser, login, path))

    def leads_to(self, browser: httpx.Client, login: str, path: str = "/auth/login") -> str:
        """Return the address of the callback that the provider sends a browser to."""
        return sign_in(browser, self.base + path, login=login, until="/auth/callback")

    async def session(self, browser: httpx.Client) -> Session | None:
        """Return the session that a browser's cookie proves."""
        sessions = Sessions(self.database)
        try:
            return await sessions.check(browser.cookies.get("holdfast") or "")
        finally:
            sessions.close()


def keep(browser: httpx.Client, name: str, value: str) -> None:
    """Have a browser send this cookie in place of its own."""
    if name in browser.cookies:
        browser.cookies.delete(name)
    browser.cookies.set(name, value, domain="127.0.0.1")


def known(site: Site, login: str, **changes: object) -> str:
    """Make an account of the provider, a reviewer's unless told otherwise; return its login."""
    address = f"{login}@example.com"
    claims = {"email": address, "email_verified": True, "groups": ["sre"], **changes}
    site.idp.account(login, **claims)
    return login


@contextmanager
def run_site(
    directory: Path, *, thin_id_tokens: bool = False, issuer_says: str = "", settings: str = ""
) -> Iterator[Site]:
    """Run a site; `settings` are further lines of [oidc]."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with (
        centre(directory, start=False) as made,
        provider(
            directory,
            redirect=f"{base}/auth/callback",
            thin_id_tokens=thin_id_tokens,
            issuer_says=issuer_says,
        ) as idp,
    ):
        configure(made, port=port, base=base, issuer=idp.issuer, settings=settings)
        made.start_nats()
        made.start_collector()
        yield Site(made, idp, base)


def configure(made: Centre, *, port: int, base: str, issuer: str, settings: str) -> None:
    """Write what a site adds to the configuration that `init` has made."""
    (made.state / "oidc.secret").write_text(SECRET + "\n", encoding="utf-8")
    text = made.config.read_text(encoding="utf-8")
    assert '"127.0.0.1:0"' in text
    roles = ", ".join(f"{json.dumps(group)} = {json.dumps(role)}" for group, role in ROLES.items())
    text = text.replace('"127.0.0.1:0"', f'"127.0.0.1:{port}"') + (
        f'\n[web]\npublic_url = "{base}"\n'
        f'\n[oidc]\nissuer = "{issuer}"\nclient_id = "{CLIENT}"\n'
        f'client_secret_file = "oidc.secret"\nroles = {{ {roles} }}\n{settings}'
    )
    made.config.write_text(text, encoding="utf-8")
