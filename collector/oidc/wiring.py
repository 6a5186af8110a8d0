"""Puts together who is let in besides tokens: sessions, linked accounts, and the provider."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from collector.config import Config
from collector.identity.links import Links
from collector.identity.refused import RefusedSignIns
from collector.identity.sessions import Sessions
from collector.oidc.device import DeviceSignIn
from collector.oidc.provider import Provider
from collector.oidc.refusals import not_offered
from collector.oidc.sign_in import SignIn
from collector.web.settings import base_url


@dataclass(frozen=True, slots=True)
class SigningIn:
    """What routes and channels ask. `base` is the public address, without a slash at its end."""

    sessions: Sessions
    links: Links
    base: str
    browser: SignIn | None
    device: DeviceSignIn | None
    refused: RefusedSignIns

    @property
    def offered(self) -> bool:
        """Whether there is an identity provider."""
        return self.browser is not None

    def in_browser(self) -> SignIn:
        """Return the sign-in with a browser; raise Refusal where there is no provider."""
        if self.browser is None:
            raise not_offered()
        return self.browser

    def on_device(self) -> DeviceSignIn:
        """Return the sign-in of the command line; raise Refusal where there is no provider."""
        if self.device is None:
            raise not_offered()
        return self.device


def signing_in(config: Config, stack: AsyncExitStack) -> SigningIn:
    """Return it as configured; raise ConfigError if it cannot be. The provider is not asked yet."""
    database = Path(config.identities.file)
    sessions, links = Sessions(database), Links(database)
    stack.callback(sessions.close)
    stack.callback(links.close)
    refused = RefusedSignIns(database)
    stack.push_async_callback(refused.close)
    tls = bool(config.api.tls_certificate)
    base = base_url(config.web, listen=config.api.listen, tls=tls)
    if not config.oidc.issuer:
        return SigningIn(sessions, links, base, None, None, refused)
    provider = Provider(config.oidc)
    stack.push_async_callback(provider.close)
    browser = SignIn(config.oidc, provider, sessions, database=database, base=base)
    return SigningIn(sessions, links, base, browser, DeviceSignIn(browser), refused)
