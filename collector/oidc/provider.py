"""Talks to the identity provider: discovery, keys, and its token, device and userinfo endpoints.

What it says of itself is believed for ten minutes, so a key that it withdraws is not trusted long.
"""

import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

import httpx
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oidc.discovery import get_well_known_url
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from collector.config import read_regular
from collector.errors import ConfigError
from collector.oidc.id_token import (
    Claims,
    Expected,
    UnknownKeyError,
    acceptable,
    check_id_token,
)
from collector.oidc.refusals import not_proved, provider_unavailable
from collector.oidc.settings import Oidc, is_safe_url

_BELIEVED_S = 600.0
_TIMEOUT_S = 10.0
_LARGEST = 512 << 10
_LARGEST_SECRET = 4096
_FORM = "application/x-www-form-urlencoded"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint said: `body` is its JSON object, with an `error` unless `good`."""

    good: bool
    body: Mapping[str, Any]

    @property
    def error(self) -> str:
        """The provider's own code for what went wrong."""
        return str(self.body.get("error", ""))[:80]


class Provider:
    """One provider, as a client of it. Every method raises Refusal if it cannot be asked."""

    def __init__(self, settings: Oidc) -> None:
        """Read secret and certificates; raise ConfigError if they cannot be used."""
        self._settings = settings
        self._secret = _read_secret(settings.client_secret_file)
        self._client = httpx.AsyncClient(
            verify=_trusted(settings.tls_ca), timeout=_TIMEOUT_S, follow_redirects=False
        )
        self._metadata: Mapping[str, Any] = {}
        self._keys: KeySet | None = None
        self._until = 0.0

    async def close(self) -> None:
        """End the connections."""
        await self._client.aclose()

    async def metadata(self) -> Mapping[str, Any]:
        """Return what the provider says of itself, checked as far as it is used."""
        if time.monotonic() >= self._until:
            issuer = self._settings.issuer
            found = await self._get(get_well_known_url(issuer, external=True))
            if found.get("issuer") != issuer:
                raise provider_unavailable(
                    f"it calls itself {str(found.get('issuer'))[:200]!r}, and oidc.issuer says "
                    f"{issuer!r}"
                )
            for endpoint in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                self._endpoint(found, endpoint)
            self._metadata, self._keys = found, None
            self._until = time.monotonic() + _BELIEVED_S
        return self._metadata

    async def authorization_url(self, **parameters: str | int | None) -> str:
        """Return where a browser goes to sign in."""
        given = {name: value for name, value in parameters.items() if value is not None}
        url: str = prepare_grant_uri(
            self._endpoint(await self.metadata(), "authorization_endpoint"),
            self._settings.client_id,
            "code",
            scope=" ".join(self._settings.scopes),
            **given,
        )
        return url

    async def logout_url(self) -> str | None:
        """Return where a browser signs out of the provider itself, if there is such a place."""
        metadata = await self.metadata()
        if "end_session_endpoint" not in metadata:
            return None
        url = httpx.URL(self._endpoint(metadata, "end_session_endpoint"))
        return str(url.copy_merge_params({"client_id": self._settings.client_id}))

    async def exchange(self, **parameters: str) -> Answer:
        """Ask the token endpoint, with the client's own proof."""
        body = prepare_token_request(parameters.pop("grant_type"), "", **parameters)
        metadata = await self.metadata()
        return await self._post(metadata, "token_endpoint", body)

    async def start_device(self, max_age_s: int | None) -> Answer:
        """Begin a sign-in for a program without a browser; `max_age` is known to some providers."""
        metadata = await self.metadata()
        if "device_authorization_endpoint" not in metadata:
            raise provider_unavailable("it offers no device sign-in")
        given = {"scope": " ".join(self._settings.scopes)}
        if max_age_s is not None:
            given["max_age"] = str(max_age_s)
        body = str(httpx.QueryParams(given))
        return await self._post(metadata, "device_authorization_endpoint", body)

    async def claims(
        self, tokens: Mapping[str, Any], *, nonce: str | None, max_age_s: int | None
    ) -> Claims:
        """Return the checked claims of an ID token; keys are fetched anew if it names a new one."""
        metadata = await self.metadata()
        access = tokens.get("access_token")
        expected = Expected(
            issuer=self._settings.issuer,
            client_id=self._settings.client_id,
            nonce=nonce,
            access_token=access if isinstance(access, str) else None,
            max_age_s=max_age_s,
            now_s=int(time.time()),
        )
        algorithms = acceptable(metadata.get("id_token_signing_alg_values_supported"))
        raw = tokens.get("id_token")
        try:
            return check_id_token(raw, await self._key_set(), algorithms, expected)
        except UnknownKeyError:
            self._keys = None
        try:
            return check_id_token(raw, await self._key_set(), algorithms, expected)
        except UnknownKeyError:
            raise not_proved("its ID token is signed with a key that the provider denies") from None

    async def userinfo(self, tokens: Mapping[str, Any], subject: str) -> Claims:
        """Return what else the provider says of the same person; nothing if it says no more."""
        metadata = await self.metadata()
        access = tokens.get("access_token")
        if "userinfo_endpoint" not in metadata or not isinstance(access, str):
            return {}
        url = self._endpoint(metadata, "userinfo_endpoint")
        found = await self._get(url, {"Authorization": f"Bearer {access}"})
        if found.get("sub") != subject:
            raise not_proved("the provider's userinfo is about someone else")
        return found

    async def _key_set(self) -> KeySet:
        if self._keys is None:
            found = await self._get(self._endpoint(await self.metadata(), "jwks_uri"))
            listed = found.get("keys")
            usable = [
                key
                for key in (listed if isinstance(listed, list) else [])
                if isinstance(key, dict) and key.get("use", "sig") == "sig"
                if key.get("kty") in ("RSA", "EC", "OKP")
            ]
            try:
                self._keys = KeySet.import_key_set({"keys": usable})
            except (JoseError, ValueError, TypeError, KeyError) as error:
                raise provider_unavailable(f"its keys cannot be read ({error})") from error
        return self._keys

    def _endpoint(self, metadata: Mapping[str, Any], name: str) -> str:
        url = metadata.get(name)
        if not isinstance(url, str) or not is_safe_url(url):
            raise provider_unavailable(f"its {name} is {str(url)[:200]!r}, no https address")
        return url

    async def _get(self, url: str, headers: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        answer = await self._send("GET", url, dict(headers or {}), None)
        if not answer.good:
            raise provider_unavailable(f"{url} answers with an error {answer.error}".rstrip())
        return answer.body

    async def _post(self, metadata: Mapping[str, Any], name: str, body: str) -> Answer:
        url, headers, body = self._auth(metadata).prepare(
            "POST", self._endpoint(metadata, name), {"Content-Type": _FORM}, body
        )
        # Once each, in the order they were given: authlib may name the client twice.
        content = str(httpx.QueryParams(dict(parse_qsl(body, keep_blank_values=True))))
        return await self._send("POST", url, headers, content)

    def _auth(self, metadata: Mapping[str, Any]) -> ClientAuth:
        client_id = self._settings.client_id
        if not self._secret:
            return ClientAuth(client_id, "", "none")
        offered = metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if "client_secret_basic" in offered:
            # RFC 6749, 2.3.1: both are form-encoded before they are joined.
            return ClientAuth(quote(client_id, ""), quote(self._secret, ""), "client_secret_basic")
        return ClientAuth(client_id, self._secret, "client_secret_post")

    async def _send(
        self, method: str, url: str, headers: dict[str, str], content: str | None
    ) -> Answer:
        headers["Accept"] = "application/json"
        try:
            async with self._client.stream(
                method, url, headers=headers, content=content
            ) as response:
                data = b""
                async for chunk in response.aiter_bytes():
                    data += chunk
                    if len(data) > _LARGEST:
                        raise provider_unavailable(f"{url} answers with more than {_LARGEST} bytes")
                good, status = response.is_success, response.status_code
        except httpx.HTTPError as error:
            why = str(error) or type(error).__name__
            raise provider_unavailable(f"{url} does not answer ({why[:200]})") from error
        try:
            body = json.loads(data)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise provider_unavailable(f"{url} answers {status} and no JSON object")
        return Answer(good, body)


def _read_secret(path: str) -> str:
    if not path:
        return ""
    try:
        secret = read_regular(Path(path), largest=_LARGEST_SECRET).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"oidc.client_secret_file: {path} cannot be read ({error}); write the secret that the "
            "provider shows for this client into it"
        ) from error
    if not secret or not secret.isprintable():
        raise ConfigError(
            f"oidc.client_secret_file: {path} holds no secret; write the one that the provider "
            "shows for this client into it, on one line"
        )
    return secret


def _trusted(authorities: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=authorities or None)
    except OSError as error:
        raise ConfigError(
            f"oidc.tls_ca: {authorities} cannot be used ({error}); give certificates in PEM"
        ) from error
