"""What writes docs/performance.md: it changes what is between its markers and nothing else."""

import pytest

from tests.bench.page import Aim, Section, Table, aims_table, filled, marked, part

PAGE = """# A page

Prose with a | table.

<!-- bench: one -->

old

<!-- end: one -->

More prose.

<!-- bench: two -->

<!-- end: two -->
"""


def test_a_part_is_replaced_and_the_rest_stays() -> None:
    """Twice the same text gives the same page."""
    once = filled(PAGE, {Section("one", "One"): "new\n"})
    assert once == PAGE.replace("old", "new")
    assert filled(once, {Section("one", "One"): "new"}) == once
    assert part(once, "one") == "new"


def test_an_empty_part_is_filled() -> None:
    """The first run finds only the markers."""
    assert part(filled(PAGE, {Section("two", "Two"): "first"}), "two") == "first"


def test_a_new_section_comes_at_the_end_with_its_title() -> None:
    """Adding a section is adding one file."""
    page = filled(PAGE, {Section("three", "The third"): "text"})
    assert page.startswith(PAGE.rstrip())
    assert page.endswith("## The third\n\n<!-- bench: three -->\n\ntext\n\n<!-- end: three -->\n")
    assert marked(page) == ["one", "two", "three"]


@pytest.mark.parametrize(
    "broken",
    [
        PAGE.replace("<!-- end: one -->", ""),
        PAGE + "<!-- bench: one -->\n",
        PAGE.replace("<!-- end: two -->", "<!-- end: one -->"),
    ],
)
def test_broken_markers_are_an_error(broken: str) -> None:
    """A run never guesses which part of the page is its own."""
    with pytest.raises(ValueError, match="markers"):
        marked(broken)


def test_a_table_is_markdown_and_its_rows_are_whole() -> None:
    """A cell that is missing is found before the page has it."""
    table = Table("T", ("a", "b"), [("x", "1")])
    assert table.text() == "**T**\n\n| a | b |\n| --- | ---: |\n| x | 1 |\n"
    with pytest.raises(ValueError, match="2 cells"):
        Table("T", ("a", "b"), [("x",)]).text()


def test_aims_say_whether_they_were_met() -> None:
    """A missed one stands out."""
    table = aims_table([Aim("fast", "1 ms", True), Aim("small", "9 GiB", False)])
    assert [row[-1] for row in table.rows] == ["met", "**missed**"]
