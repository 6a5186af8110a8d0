"""Where the centre is and which token to show it: options, then environment, then a file.

The file is ~/.config/holdfast/config.toml, of mode 0600, written by `holdfast login`. A token is
never taken from the command line, where every user of the machine could read it.
"""

import ipaddress
import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from collector.cli.errors import AccessError, UsageError

DEFAULT_URL = "http://127.0.0.1:8420"
_LONGEST_URL = 2_000
PLAIN_HTTP = "HOLDFAST_PLAIN_HTTP"
_SIGN_IN = "sign in with `holdfast login --url URL`, or set HOLDFAST_TOKEN"


@dataclass(frozen=True, slots=True)
class Access:
    """The centre's address and a token for it. `source` says where the token came from."""

    url: str
    token: str
    source: str


def config_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the path of the configuration file, whether it is there or not."""
    base = environment.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "holdfast" / "config.toml"


def find_url(url: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """Return the centre's address, checked; raise UsageError if it cannot be used."""
    found = url or environment.get("HOLDFAST_URL") or _stored(environment).get("url", "")
    return check_url(found or DEFAULT_URL, environment)


def find_access(
    url: str | None, token_file: str | None, environment: Mapping[str, str] = os.environ
) -> Access:
    """Return address and token; raise AccessError if there is no token."""
    address = find_url(url, environment)
    if token_file:
        return Access(address, read_token(token_file), token_file)
    if token := environment.get("HOLDFAST_TOKEN", ""):
        return Access(address, check_token(token, place="HOLDFAST_TOKEN"), "HOLDFAST_TOKEN")
    stored = _stored(environment)
    if "token" not in stored:
        raise AccessError("not_signed_in", "you are not signed in", _SIGN_IN)
    path = str(config_file(environment))
    if stored.get("url") != address:
        raise AccessError(
            "not_signed_in",
            f"{path} holds a token for {stored.get('url')}, not for {address}",
            _SIGN_IN,
        )
    return Access(address, check_token(stored["token"], place=path), path)


def read_token(path: str) -> str:
    """Return the token in a file, or on standard input for "-"."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).expanduser().read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "token_file", f"--token-file {path}: {_why(error)}", "give a file that you can read"
        ) from error
    return check_token(text, place=f"--token-file {path}")


def check_token(text: str, *, place: str) -> str:
    """Return the token without outer blanks; raise AccessError if it cannot be one."""
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise AccessError(
            "bad_token",
            f"{place}: there is no token in it",
            "`holdfast-collector token create` makes one; give it as it was printed",
        )
    return token


def check_url(url: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return the address without a slash at its end; raise UsageError if it cannot be used.

    Plain http would show the token to the network, so it is for this machine only.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= _LONGEST_URL
    if (
        not plain
        or parts.scheme not in ("http", "https")
        or not host
        or parts.username
        or parts.query
    ):
        raise UsageError(
            "bad_url",
            f"{url[:200]!r} is not the address of a centre",
            "give it as https://host or http://127.0.0.1:8420",
        )
    if parts.scheme == "http" and not is_loopback(host) and environment.get(PLAIN_HTTP) != "1":
        raise UsageError(
            "plain_http",
            f"{url} would send your token unencrypted over the network",
            f"use https, or `ssh -L 8420:127.0.0.1:8420 {host}`, or set {PLAIN_HTTP}=1",
        )
    return url.rstrip("/")


def is_loopback(host: str) -> bool:
    """Say whether a host name or address of a URL is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def store(access: Access, path: Path) -> None:
    """Write address and token to the file, which nobody else may read, in one step."""
    text = f"url = {_quoted(access.url)}\ntoken = {_quoted(access.token)}\n"
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UsageError(
            "config_file",
            f"{path} cannot be written: {_why(error)}",
            "see to its directory, or set XDG_CONFIG_HOME",
        ) from error


def forget(path: Path) -> bool:
    """Remove the file; return whether it was there."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UsageError(
            "config_file", f"{path} cannot be removed: {_why(error)}", "remove it yourself"
        ) from error
    return True


def _stored(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what the file holds, nothing if it is not there."""
    import tomllib

    path = config_file(environment)
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if stat.S_IMODE(mode) & 0o077:
                raise UsageError(
                    "config_file", f"{path} can be read by others", f"run: chmod 600 {path}"
                )
            found = tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            "config_file", f"{path} cannot be read: {_why(error)}", "mend or remove it"
        ) from error
    return {name: value for name, value in found.items() if isinstance(value, str)}


def _why(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
