"""Addresses and secrets of channels: one file each, read at every use, so that a new one counts
at once. An address may be a credential, so it is never in an error."""

import re
from pathlib import Path
from urllib.parse import urlsplit

from collector.config import is_loopback
from collector.errors import ChannelError, StateError
from collector.keys import read_secret

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


class Targets:
    """The directory in which a channel's routes have their files: NAME.url, NAME.secret."""

    def __init__(self, directory: Path, section: str) -> None:
        """`section` of collector.toml names the directory."""
        self._directory = directory
        self._section = section

    def url(self, name: str) -> str:
        """Return an address that may be posted to; raise ChannelError naming the file."""
        path = self._path(name, "url")
        text = _read(path, "write the address to post to into it, mode 600").strip()
        try:
            parts = urlsplit(text)
            host, named = parts.hostname or "", parts.port is None or parts.port > 0
        except ValueError:
            host, named = "", False
        plain = text.isascii() and text.isprintable() and " " not in text
        if not host or not named or not plain or parts.username is not None or parts.fragment:
            raise ChannelError(f"{path}: is not one address; write https://host/path, and no more")
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
            raise ChannelError(
                f"{path}: the address does not begin with https://; only this machine itself may "
                "be reached without"
            )
        return text

    def secrets(self, name: str) -> list[str]:
        """Return the lines of NAME.secret, at least one; raise ChannelError naming the file."""
        path = self._path(name, "secret")
        lines = _read(path, "write the secret that the receiver has into it, mode 600").split()
        if not lines:
            raise ChannelError(f"{path}: is empty; write the secret that the receiver has into it")
        return lines

    def place(self, name: str, kind: str) -> str:
        """Return the path of a file, for an error about what is in it."""
        return str(self._path(name, kind))

    def _path(self, name: str, kind: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ChannelError(
                f"route {self._section}:{name[:80]}: a name has letters, digits, dots, dashes and "
                f"underscores; files NAME.{kind} are in {self._section}.directory"
            )
        return self._directory / f"{name}.{kind}"


def _read(path: Path, remedy: str) -> str:
    try:
        return read_secret(path, remedy=remedy)
    except StateError as error:
        raise ChannelError(str(error)) from error
