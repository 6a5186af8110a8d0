"""docs/trail.md asks twenty questions, and each has the answer that stands there."""

import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from collector.config import Trail
from collector.trail.questions import QUESTIONS
from collector.trail.sql import SqlRunner
from collector.trail.store import open_trail
from tests.support.filled_events import fill_acts, fill_orders
from tests.support.filled_trail import fill
from tests.support.trail_page import shown

PAGE = Path(__file__).resolve().parents[3] / "docs" / "trail.md"
_SECTION = re.compile(
    r"^### (?P<number>\d+)\. (?P<title>[^\n]+)\n\n"
    r"```sql\n(?P<sql>.+?)\n```\n\n(?P<answer>(?:\|[^\n]*\n)+)",
    flags=re.MULTILINE | re.DOTALL,
)
SECTIONS = list(_SECTION.finditer(PAGE.read_text(encoding="utf-8") + "\n"))


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a trail with the week that the page is about."""
    directory = tmp_path_factory.mktemp("trail")
    connection = open_trail(Trail(file=str(directory / "trail.duckdb")))
    fill(connection)
    fill_acts(connection)
    fill_orders(connection)
    yield connection
    connection.close()


def test_the_page_has_the_questions_that_the_query_page_offers() -> None:
    """All twenty, in their order, in the same words and the same SQL."""
    assert [int(one["number"]) for one in SECTIONS] == list(range(1, 21))
    assert [(one["title"], one["sql"]) for one in SECTIONS] == [
        (question.title, question.sql.rstrip()) for question in QUESTIONS.values()
    ]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda one: one["number"])
async def test_the_answer_is_the_one_on_the_page(
    trail: duckdb.DuckDBPyConnection, section: re.Match[str]
) -> None:
    """Through the same door as everybody's questions."""
    runner = SqlRunner(trail, seconds=60, workers=1)
    try:
        await runner.run(section["sql"], 100)
    finally:
        runner.close()
    found = trail.execute(section["sql"])
    names = [column[0] for column in found.description or ()]
    assert shown(names, found.fetchall()) == section["answer"].rstrip()
