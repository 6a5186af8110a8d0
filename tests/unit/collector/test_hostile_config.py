"""The centre's configuration, keys and the command line's settings, whatever is in them."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from collector import config, keys
from collector.api.app import Server
from collector.cli import settings as cli
from collector.cli.errors import CliError
from collector.errors import CollectorError, ConfigError, StateError
from tests.support.damage import damaged, odd_files, put, snapshot

GOOD = f"""
[nats]
url = "nats://127.0.0.1:4222"
seed_file = "keys/collector.nk"
publish_timeout_s = 5.0
[signing]
key_file = "keys/signing.key"
trusted = ["{"a" * 64}"]
[trail]
file = "trail.duckdb"
memory_limit = "512MB"
threads = 2
query_seconds = 10.0
query_workers = 2
process_memory = "4GB"
[identities]
file = "identities.db"
[api]
listen = "127.0.0.1:8420"
stream_queue = 256
[log]
level = "info"
"""
SETTINGS = f"""url = "https://centre.example"
token = "hft_{"0" * 12}_{"a" * 64}"
"""


@given(damaged(GOOD))
def test_any_configuration_loads_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    """What loads can be meant: sizes, times and counts that the collector can work with."""
    path = put(tmp_path_factory.getbasetemp() / "collector.toml", data)
    try:
        found = config.load(path)
    except ConfigError as error:
        words = str(error)
        assert words.startswith(str(path)) and "\n" not in words
        return
    assert 0 < found.trail.query_seconds <= 86_400
    assert 0 < found.trail.query_workers <= 256
    assert config.size(found.trail.process_memory, place="") < 2**63
    for place in (found.trail.file, found.identities.file, found.nats.seed_file):
        assert Path(place).is_absolute() and place != str(path.parent)
        Path(place).exists()  # raises for what is no path
    host, port = config.listen_address(found.api.listen, place="")
    assert host and 0 <= port <= 65_535


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """A FIFO would hold up the start, a device would fill the memory."""
    for path in odd_files(tmp_path):
        readers: tuple[Any, ...] = (config.load, keys.read_nats_key, keys.read_signer)
        for read in readers:
            with pytest.raises(CollectorError) as caught:
                read(path)
            assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("read", [keys.read_nats_key, keys.read_signer])
def test_a_key_that_is_damaged_is_refused_and_not_shown(tmp_path: Path, read: Any) -> None:
    """Cut at any byte, or of any content."""
    good = keys.new_nats_key().seed if read is keys.read_nats_key else "3f" * 32
    path = tmp_path / "a.key"
    read(put(path, good.encode()))
    for length in range(len(good)):
        put(path, good[:length].encode())
        with pytest.raises(StateError) as caught:
            read(path)
        assert str(caught.value).startswith(str(path))
        assert length < 10 or good[:length] not in str(caught.value)

    @given(st.binary(max_size=90))
    def check(data: bytes) -> None:
        put(path, data)
        with pytest.raises(StateError):
            read(path)

    check()
    for mode in (0o644, 0o640, 0o604):
        put(path, good.encode(), mode)
        with pytest.raises(StateError, match="chmod 600"):
            read(path)


def test_a_certificate_that_is_none_is_a_matter_of_the_configuration(tmp_path: Path) -> None:
    """One error at the start that names both files."""
    put(tmp_path / "c.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    for name in ("c.pem", "nothing.pem", "."):
        api = config.Api(
            listen="127.0.0.1:0",
            tls_certificate=str(tmp_path / name),
            tls_key=str(tmp_path / "k.pem"),
        )
        with pytest.raises(ConfigError, match=r"api\.tls_certificate"):
            Server(FastAPI(), api)


def _signs_in(environment: dict[str, str], url: str | None, token_file: str | None) -> None:
    try:
        access = cli.find_access(url, token_file, environment)
    except CliError as error:
        assert error.message and error.remedy and error.code
        return
    # What was taken can be used: as an address and as a header.
    httpx.URL(access.url)
    httpx.Headers({"Authorization": f"Bearer {access.token}"})


@given(damaged(SETTINGS))
def test_any_file_of_settings_signs_in_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    """And nothing is written."""
    home = tmp_path_factory.getbasetemp() / "home"
    (home / "holdfast").mkdir(parents=True, exist_ok=True)
    put(home / "holdfast" / "config.toml", data)
    before = snapshot(home)
    _signs_in({"XDG_CONFIG_HOME": str(home)}, None, None)
    assert snapshot(home) == before


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60)
URLS = st.one_of(
    TEXT,
    TEXT.map("https://{}".format),
    TEXT.map("http://127.0.0.1{}".format),
    st.sampled_from(
        ["http://[", "http://[::1", "https://a:b", "https://a:99999", "https://" + "a" * 70_000]
    ),
)


@given(URLS, TEXT, st.booleans())
def test_any_address_and_token_are_taken_or_refused(url: str, token: str, plain: bool) -> None:
    """From options and environment alike."""
    environment = {"HOLDFAST_URL": url, "HOLDFAST_TOKEN": token, "XDG_CONFIG_HOME": "/nowhere"}
    if plain:
        environment[cli.PLAIN_HTTP] = "1"
    _signs_in(environment, None, None)
    _signs_in(environment, url, None)


def test_a_token_file_of_any_sort_is_refused_in_words(tmp_path: Path) -> None:
    """Those that can be read at once; a pipe is a fair way to hand over a token."""
    for path in odd_files(tmp_path):
        if path.name not in ("fifo", "device"):
            with pytest.raises(CliError, match="token-file"):
                cli.find_access("https://a", str(path), {})
