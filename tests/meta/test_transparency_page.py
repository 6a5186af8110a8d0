"""docs/transparency.md and the tests of transparency agree: each case, and each exception."""

import re
import shutil
from pathlib import Path

from deploy.bootstrap import packages
from tests.layers import LAYERS
from tests.transparency.cases import CASES
from tests.transparency.exceptions import EXCEPTIONS
from tests.transparency.foreign import EVERY, FOREIGN

PAGE = Path(__file__).resolve().parents[2] / "docs" / "transparency.md"
TEXT = PAGE.read_text(encoding="utf-8")
HEADS = "| Case | Line | When held | Modes |"


def rows(part: str, columns: int) -> list[tuple[str, ...]]:
    """Return the cells of the tables in a part of the page, without their heads."""
    split = (line[2:-2].split(" | ") for line in part.splitlines() if line.startswith("| "))
    return [tuple(cells) for cells in split if len(cells) == columns and cells[0].startswith("`")]


def test_every_case_is_on_the_page_with_what_it_is_about() -> None:
    """And none that is not run."""
    listed = [row for part in TEXT.split("\n## ")[1:3] for row in rows(part, 2)]
    assert listed == [(f"`{case.name}`", case.about) for case in (*CASES, *EVERY)]
    assert len(set(listed)) == len(listed)
    assert all(case in EVERY for case in FOREIGN)


def test_every_exception_is_explained_and_no_other() -> None:
    """Row by row, under the heading of its topic, which says why before it shows the rows."""
    parts = {part.splitlines()[0]: part for part in TEXT.split("\n### ")[1:]}
    found = {}
    for topic, part in parts.items():
        words, _, table = part.split("\n## ")[0].partition(HEADS)
        assert len(re.findall(r"\w+", words)) > 20, f"{topic} is not explained"
        found[topic] = rows(table, 4)
    wanted: dict[str, list[tuple[str, ...]]] = {}
    for one in EXCEPTIONS:
        row = (f"`{one.case}`", one.key, one.value, ", ".join(sorted(one.modes)))
        wanted.setdefault(one.topic, []).append(row)
    assert found == wanted


def test_every_exception_is_of_a_case_and_stands_once() -> None:
    """A row about a case that was renamed would explain nothing."""
    assert {one.case for one in EXCEPTIONS} <= {case.name for case in (*CASES, *EVERY)}
    keys = [(one.case, one.key, one.setting, mode) for one in EXCEPTIONS for mode in one.modes]
    assert len(set(keys)) == len(keys)


def test_what_the_cases_run_is_installed_for_their_layer() -> None:
    """A case whose program is missing is skipped, and a full run skips nothing."""
    (layer,) = [one for one in LAYERS if one.name == "transparency"]
    # Where node is there already, its package is not asked for.
    needed = {case.needs for case in CASES if case.needs and not shutil.which(case.needs)}
    assert needed <= {*layer.packages, *(("node",) if "nodejs" in layer.packages else ())}
    assert {"git", "strace", "make", *packages.FOR_COMPILING} <= set(layer.packages)
    assert any(name.endswith("-testsuite") for name in layer.packages)
