"""The table of ways round Holdfast and the tests that take those ways belong to each other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = (CHECKOUT / "docs" / "security.md").read_text(encoding="utf-8")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
WAYS = CHECKOUT / "tests" / "kernel" / "evasions"


def rows() -> Iterator[list[str]]:
    """Yield the cells of each way: the way, what each mode does, and the tests."""
    table = PAGE.split("\n## Ways round Holdfast\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in table.splitlines() if line.startswith("|")]
    for line in lines[2:]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if any(cells[1:]):  # the others are headings
            yield cells


def names_in(path: Path) -> set[str]:
    """Return the names of the tests in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    }


@pytest.mark.parametrize("cells", list(rows()), ids=lambda cells: str(cells[0]))
def test_each_way_says_what_each_mode_does_and_which_test_takes_it(cells: list[str]) -> None:
    """No mode is left out, and every test that is named is there."""
    assert len(cells) == 5
    assert all(cells), cells
    named = TEST.findall(cells[4])
    assert len(named) == len(cells[4].split(",")), cells[4]
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not (CHECKOUT / path).exists() or name not in names_in(CHECKOUT / path)
    ]
    assert not missing


def test_each_test_that_takes_a_way_has_a_row() -> None:
    """What was tried is told to who reads the page."""
    told = {(path, name) for cells in rows() for path, name in TEST.findall(cells[4])}
    taken = {
        (str(path.relative_to(CHECKOUT)), name)
        for path in WAYS.glob("test_*.py")
        for name in names_in(path)
    }
    assert taken
    assert taken - told == set()


@pytest.mark.parametrize(
    "way",
    [
        "SIGCONT", "orphaned", "tracer", "threads", "argv", "symlink", "hard link", "bind mount",
        "user namespace", "overlayfs", "memfd", "deleted", "loader", "copied", "LD_PRELOAD",
        "setuid", "sudo", "double fork", "systemd-run", "cron", "at:", "docker.sock", "inherited",
        "SCM_RIGHTS", "/proc/PID/mem", "process_vm_writev", "io_uring", "Fast Open", "UDP", "raw",
        "packet", "vsock", "DNS", "floods", "the agent", "unpinning", "disk", "PID reuse",
    ],
)  # fmt: skip
def test_no_way_that_is_known_is_missing(way: str) -> None:
    """What attackers and agents have used elsewhere has a row, closed or not."""
    assert any(way in cells[0] for cells in rows())
