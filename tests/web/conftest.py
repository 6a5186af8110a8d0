"""A centre whose people have tokens, and the script that looks for what is not accessible."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.collector.conftest import People, populate
from tests.support import node
from tests.support.centre import centre


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    """Give a centre that a module's tests share, with people who have tokens, and hosts."""
    with centre(tmp_path_factory.mktemp("centre")) as running:
        yield populate(running)


@pytest.fixture(scope="session")
def axe() -> Path:
    """Give the script of axe-core."""
    return node.packages() / "node_modules" / "axe-core" / "axe.min.js"
