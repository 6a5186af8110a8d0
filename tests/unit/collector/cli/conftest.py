"""A fake centre, a home directory, and the command as a script would call it."""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from collector.cli.__main__ import main
from tests.unit.collector.cli.fake_centre import TOKEN, FakeCentre, fake_centre


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON value."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The error of --json, which must be alone on standard error."""
        assert self.out == ""
        assert self.err.count("\n") == 1
        return json.loads(self.err)["error"]


class Holdfast(Protocol):
    """Calls the command with these words; `stdin` is what it can read."""

    def __call__(self, *words: str, stdin: str = "") -> Done: ...


@pytest.fixture
def centre() -> Iterator[FakeCentre]:
    """A centre that has nothing waiting."""
    with fake_centre() as made:
        yield made


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment without settings of whoever runs the tests; returns the config file."""
    for name in [name for name in os.environ if name.startswith("HOLDFAST_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "holdfast" / "config.toml"


@pytest.fixture
def holdfast(
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Holdfast:
    """The command, not signed in."""

    def call(*words: str, stdin: str = "") -> Done:
        typed = tmp_path / "stdin"
        typed.write_text(stdin, encoding="utf-8")
        with typed.open(encoding="utf-8") as file, monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", file)
            with pytest.raises(SystemExit) as ended:
                main(words)
        out, err = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return Done(ended.value.code, out, err)

    return call


@pytest.fixture
def signed_in(centre: FakeCentre, holdfast: Holdfast, monkeypatch: pytest.MonkeyPatch) -> Holdfast:
    """The command, signed in to the fake centre by the environment."""
    monkeypatch.setenv("HOLDFAST_URL", centre.url)
    monkeypatch.setenv("HOLDFAST_TOKEN", TOKEN)
    return holdfast
