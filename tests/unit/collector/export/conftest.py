"""A trail for the tests of exports."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.export_trail import ExportTrail, export_trail


@pytest.fixture
async def trail(tmp_path: Path) -> AsyncIterator[ExportTrail]:
    """Give an open trail without rows."""
    async with export_trail(tmp_path) as made:
        yield made
