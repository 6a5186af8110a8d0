"""One trail, made once, that each test copies and then changes with nobody watching."""

import contextlib
import functools
import importlib.util
import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from collector.proof.verify.check import verify
from tests.support.proven_trail import KEY, make_trail

ALONE = Path(__file__).resolve().parents[4] / "docs" / "verify.py"


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of the trail. `anchor`: what an anchor has kept."""

    directory: Path
    anchor: Path

    def wrong(
        self, *, key: str = KEY.key_id, anchored: bool = False
    ) -> tuple[list[str], list[str]]:
        """Return what holdfast finds and what the short one does, as "what: where: which"."""
        anchors = (self.anchor,) if anchored else ()
        report = verify(self.directory, trusted=frozenset({key} if key else ()), anchors=anchors)
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            short = alone().Check(self.directory, [key] if key else [], list(anchors))
            ended = short.run()
            short.db.close()
        lines = said.getvalue().splitlines()[:-1]
        assert ended == bool(lines)
        return [str(one) for one in report.findings], lines


@functools.cache
def alone() -> Any:
    """The short verifier, which is no module of ours."""
    spec = importlib.util.spec_from_file_location("verify_alone", ALONE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The trail as its collector left it."""
    place = tmp_path_factory.mktemp("proven")
    anchor = place / "anchor.jsonl"
    return Copy(make_trail(place / "trail", anchor=anchor), anchor)


@pytest.fixture
def fresh(made: Copy, tmp_path: Path) -> Callable[[], Copy]:
    """Return what gives a new copy."""

    def copy() -> Copy:
        directory = tmp_path / "copy"
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(made.directory, directory)
        return Copy(directory, made.anchor)

    return copy


@pytest.fixture
def trail(fresh: Callable[[], Copy]) -> Copy:
    """Give a copy."""
    return fresh()
