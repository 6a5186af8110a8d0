"""[[export]] in collector.toml: what cannot be meant is an error that names the export."""

from pathlib import Path

import pytest

from collector import config
from collector.errors import ConfigError
from collector.export.settings import TABLES, Beginning, ExportKind, Facility, Shape, Transport
from collector.export.sources import SOURCES
from tests.unit.collector.test_config import MINIMAL

_HEAD = '[[export]]\nname = "siem"\nkind = "syslog"\nto = "siem.example.com:6514"\n'


def _load(directory: Path, text: str) -> config.Config:
    path = directory / "collector.toml"
    path.write_text(MINIMAL + text, encoding="utf-8")
    return config.load(path)


def test_what_is_not_said_is_safe(tmp_path: Path) -> None:
    """TLS, from now on, everything."""
    (one,) = _load(tmp_path, _HEAD).export
    assert (one.kind, one.format) == (ExportKind.SYSLOG, Shape.JSONL)
    assert (one.transport, one.facility) == (Transport.TLS, Facility.AUTHPRIV)
    assert (one.start, one.what) == (Beginning.NOW, TABLES)


def test_every_table_that_can_be_exported_can_be_named() -> None:
    """The configuration is read without the trail, so it has a list of its own."""
    assert set(TABLES) == set(SOURCES)


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    """As everywhere in it."""
    (one,) = _load(tmp_path, _HEAD + 'tls_ca = "ca.pem"\n').export
    assert one.tls_ca == str(tmp_path / "ca.pem")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (_HEAD + "prot = 1\n", "export.prot is not a key"),
        (_HEAD + _HEAD, "two exports have this name"),
        (_HEAD.replace('"siem"', '"a b"'), "a name has"),
        (_HEAD.replace('"siem"', '""'), "a name has"),
        (_HEAD.replace(":6514", ""), "host:port"),
        (_HEAD.replace(":6514", ":0"), "host:port"),
        (_HEAD.replace(":6514", ":65536"), "host:port"),
        (_HEAD + 'what = ["batches"]\n', "batches cannot be exported"),
        (_HEAD + "what = []\n", "nothing cannot be exported"),
        (_HEAD + 'format = "csv"\n', "csv"),
        (_HEAD + 'transport = "tcp"\ntls_ca = "ca.pem"\n', "tls_"),
        (_HEAD + 'tls_key = "key.pem"\n', "go together"),
        (_HEAD + 'transport = "udp"\nlongest_bytes = 70000\n', "a datagram has at most"),
        (_HEAD + "longest_bytes = 100\n", "longest_bytes must be 2048"),
        (_HEAD + "batch = 0\n", "batch must be 1"),
        (_HEAD + "per_second = 0\n", "per_second must be"),
        (_HEAD + "timeout_s = 0\n", "timeout_s must be"),
        ('[[export]]\nname = "x"\nkind = "webhook"\nto = "x"\n', "webhook.directory is not set"),
        ('[[export]]\nname = "x"\nkind = "carrier pigeon"\nto = "x"\n', "pigeon"),
        ("[export]\nname = 1\n", "array"),
    ],
)
def test_an_error_names_what_is_wrong(tmp_path: Path, text: str, part: str) -> None:
    """Before anything is started."""
    with pytest.raises(ConfigError, match=r"collector\.toml") as caught:
        _load(tmp_path, text)
    assert part in str(caught.value)
