"""The configuration file: every key checked, every error with its place, every key documented."""

from pathlib import Path

import pytest

from collector import config
from collector.errors import ConfigError

MINIMAL = """
[nats]
url = "nats://127.0.0.1:4222"
seed_file = "keys/collector.nk"
[signing]
key_file = "keys/signing.key"
[trail]
file = "trail.duckdb"
[identities]
file = "/srv/identities.db"
"""
DOCS = Path(__file__).parents[3] / "docs"


def _load(directory: Path, text: str) -> config.Config:
    path = directory / "collector.toml"
    path.write_text(text, encoding="utf-8")
    return config.load(path)


def test_defaults_are_safe_and_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    """Loopback, and files beside the configuration."""
    loaded = _load(tmp_path, MINIMAL)
    assert loaded.api.listen == "127.0.0.1:8420"
    assert loaded.trail.file == str(tmp_path / "trail.duckdb")
    assert loaded.nats.seed_file == str(tmp_path / "keys" / "collector.nk")
    assert loaded.identities.file == "/srv/identities.db"
    assert loaded.nats.tls_ca == ""


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (MINIMAL + "[api]\nlissen = 'x'\n", "api.lissen is not a key"),
        (MINIMAL + "[apis]\n", "apis is not a key"),
        (MINIMAL.replace('url = "nats://127.0.0.1:4222"', ""), "url"),
        (MINIMAL.replace('"trail.duckdb"', "7"), "trail.file"),
        (MINIMAL.replace("[trail]", "[trail"), "not TOML"),
        (MINIMAL + "[api]\nlisten = '8420'\n", "host:port"),
        (MINIMAL + "[api]\nlisten = '127.0.0.1:99999'\n", "host:port"),
        (MINIMAL + "[api]\nlisten = '0.0.0.0:8420'\n", "there is no certificate"),
        (MINIMAL + "[api]\nlisten = '[::]:8420'\n", "there is no certificate"),
        (MINIMAL + "[api]\nlisten = 'collector:8420'\n", "there is no certificate"),
        (MINIMAL + "[api]\ntls_key = 'k'\n", "go together"),
        (MINIMAL + "[api]\nstream_queue = 0\n", "api.stream_queue must be more than 0"),
        (MINIMAL + "[log]\nlevel = 'loud'\n", "log.level"),
        (MINIMAL.replace("[signing]", "[signing]\ntrusted = ['abc']"), "signing.trusted"),
        (MINIMAL.replace("[trail]", "[trail]\nmemory_limit = 'lots'"), "trail.memory_limit"),
        (MINIMAL.replace("[trail]", "[trail]\nquery_seconds = 0"), "trail.query_seconds"),
        (MINIMAL + "[trail.retention]\nkept = {}\n", "trail.retention.kept is not a key"),
        (MINIMAL + "[trail.retention]\nkeep = {open = '90'}\n", "trail.retention.keep.open"),
        (MINIMAL + "[trail.retention]\nkeep = {open = 90}\n", "trail.retention.keep"),
        ("nats = 7", "nats"),
    ],
)
def test_an_error_names_file_and_key(tmp_path: Path, text: str, part: str) -> None:
    """Whoever edits the file finds the line."""
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, text)
    assert str(tmp_path / "collector.toml") in str(caught.value)
    assert part in str(caught.value)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    """The remedy is in the error."""
    with pytest.raises(ConfigError, match="holdfast-collector init"):
        config.load(tmp_path / "nothing.toml")


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "[::1]:8420", "localhost:8420"])
def test_loopback_needs_no_certificate(tmp_path: Path, listen: str) -> None:
    """On this machine only."""
    assert _load(tmp_path, MINIMAL + f"[api]\nlisten = '{listen}'\n").api.listen == listen


def test_others_may_reach_it_with_a_certificate(tmp_path: Path) -> None:
    """Both files are given, relative to the configuration."""
    loaded = _load(
        tmp_path,
        MINIMAL + "[api]\nlisten='0.0.0.0:8420'\ntls_certificate='c.pem'\ntls_key='k.pem'\n",
    )
    assert loaded.api.tls_key == str(tmp_path / "k.pem")


@pytest.mark.parametrize("key", config.keys())
def test_every_key_is_documented(key: str) -> None:
    """docs/collector.md has a row for each key."""
    assert f"| `{key}` |" in (DOCS / "collector.md").read_text(encoding="utf-8")
