"""Fixtures of the agent's tests."""

from collections.abc import Iterator

import pytest

from tests.support.children import Child, child


@pytest.fixture
def one() -> Iterator[Child]:
    """A real process."""
    with child() as started:
        yield started


@pytest.fixture
def other() -> Iterator[Child]:
    """Another real process."""
    with child() as started:
        yield started
