"""A trail for the tests of exports."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.filled_trail import FilledTrail, filled_trail


@pytest.fixture
async def trail(tmp_path: Path) -> AsyncIterator[FilledTrail]:
    """Give an open trail without rows."""
    async with filled_trail(tmp_path) as made:
        yield made
