"""The query page: what runs, what waits for the reader, what is kept, and who may remove it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from collector.trail.questions import QUESTIONS
from tests.support.pages_alone import PagesAlone, csrf, pages_alone


@pytest.fixture
async def pages(tmp_path: Path) -> AsyncIterator[PagesAlone]:
    """Give the pages, on loopback."""
    async with pages_alone(tmp_path) as made:
        yield made


async def test_a_question_is_answered_with_a_table_and_a_chart(pages: PagesAlone) -> None:
    """And the address of the page is the link that shares it."""
    ann = await pages.signed_in("ann@example.com", "viewer")
    sql = "SELECT 'a' AS name, 3 AS n UNION ALL SELECT '<b>', 4"
    answer = await ann.get("/query", params={"sql": sql})
    assert answer.status_code == 200
    assert "2 rows" in answer.text and "<td>&lt;b&gt;</td>" in answer.text
    assert "<svg" in answer.text and "&lt;b&gt;" in answer.text.partition("<svg")[2]
    assert 'href="/query?sql=SELECT+%27a%27' in answer.text


async def test_what_makes_no_chart_has_none(pages: PagesAlone) -> None:
    """Four columns, no number, or no row."""
    ann = await pages.signed_in("ann@example.com", "viewer")
    for sql in ("SELECT 1, 2, 3, 4", "SELECT 'a', 'b'", "SELECT 'a', 1 WHERE false", "SELECT 1, 2"):
        assert "<svg" not in (await ann.get("/query", params={"sql": sql})).text


async def test_a_link_from_elsewhere_is_read_before_it_runs(pages: PagesAlone) -> None:
    """Another site cannot make a reader's browser ask."""
    ann = await pages.signed_in("ann@example.com", "viewer")
    sql = {"sql": "SELECT 12345 * 2 AS n"}
    foreign = await ann.get("/query", params=sql, headers={"Sec-Fetch-Site": "cross-site"})
    assert "24690" not in foreign.text and "Read it, then run it" in foreign.text
    own = await ann.get("/query", params=sql, headers={"Sec-Fetch-Site": "same-origin"})
    assert "24690" in own.text


@pytest.mark.parametrize(
    "sql", ["DROP TABLE holds", "SELECT 1; SELECT 2", "SELECT * FROM read_csv('/etc/passwd')", "x"]
)
async def test_what_may_not_be_asked_is_refused_in_words(pages: PagesAlone, sql: str) -> None:
    """And stays in its field, to be mended."""
    ann = await pages.signed_in("ann@example.com", "viewer")
    answer = await ann.get("/query", params={"sql": sql})
    assert answer.status_code == 422 and 'role="alert"' in answer.text
    assert sql.replace("'", "&#39;") in answer.text


async def test_every_ready_question_runs(pages: PagesAlone) -> None:
    """On a trail without anything too."""
    ann = await pages.signed_in("ann@example.com", "viewer")
    assert len(QUESTIONS) == 20
    for name, question in QUESTIONS.items():
        answer = await ann.get("/query", params={"question": name})
        assert answer.status_code == 200, question
        assert question.title.replace("'", "&#39;") in answer.text


async def test_a_saved_question_is_everybodys_and_its_savers_to_remove(pages: PagesAlone) -> None:
    """Or an administrator's."""
    ann = await pages.signed_in("ann@example.com", "viewer")
    bob = await pages.signed_in("bob@example.com", "reviewer")
    form = {"csrf": await csrf(ann), "sql": "SELECT 77 AS n", "name": "Seventy-seven"}
    kept = await ann.post("/query/saved", data=form)
    assert kept.status_code == 303
    address = kept.headers["location"]
    shown = await bob.get(address)
    assert "77" in shown.text and "Seventy-seven" in shown.text
    assert "Remove" not in shown.text and "Remove" in (await ann.get("/query")).text
    again = await ann.post("/query/saved", data=form | {"name": "SEVENTY-SEVEN"})
    assert again.status_code == 409 and "already" in again.text
    place = f"/query/saved/{address.partition('=')[2]}/remove"
    assert (await bob.post(place, data={"csrf": await csrf(bob)})).status_code == 403
    assert (await ann.post(place, data={"csrf": "x"})).status_code == 403
    assert "Seventy-seven" in (await ann.get("/query")).text
    assert (await ann.post(place, data={"csrf": await csrf(ann)})).status_code == 303
    assert "Seventy-seven" not in (await ann.get("/query")).text


@pytest.mark.parametrize(
    ("name", "sql", "status"),
    [("", "SELECT 1", 422), ("x", "DROP TABLE holds", 422), ("a\nb", "SELECT 1", 422)],
)
async def test_what_is_of_no_use_is_not_kept(
    pages: PagesAlone, name: str, sql: str, status: int
) -> None:
    """A question without a name, or one that does not run."""
    ann = await pages.signed_in("ann@example.com", "viewer")
    form = {"csrf": await csrf(ann), "sql": sql, "name": name}
    assert (await ann.post("/query/saved", data=form)).status_code == status
    assert "Nobody has saved one" in (await ann.get("/query")).text
