"""Centres on loopback: one whose people sign in at a real identity provider, one with tokens."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.collector.conftest import People, populate
from tests.support import node
from tests.support.centre import centre
from tests.support.identity_site import Site, run_site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Give a site that a module's tests share; each test names accounts of its own."""
    with run_site(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    """Give a centre that a module's tests share, with people who have tokens, and hosts."""
    with centre(tmp_path_factory.mktemp("centre")) as running:
        yield populate(running)


@pytest.fixture(scope="session")
def axe() -> Path:
    """Give the script of axe-core."""
    return node.packages() / "node_modules" / "axe-core" / "axe.min.js"
