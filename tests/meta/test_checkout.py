"""What is in the repository belongs to the project and to nobody's machine."""

import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import pytest

from tests.layers import LAYERS

CHECKOUT = Path(__file__).resolve().parents[2]
# Paths that only exist on the machine of whoever wrote them.
PRIVATE = re.compile(r"(?<![\w./-])/(?:home|Users|root|work|mnt|workspace)/[A-Za-z0-9_.-]+")
# Rules are about such paths, and so are tests and the examples in documents.
ABOUT_PATHS = ("rules/", "tests/", "docs/")


def _tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={CHECKOUT}", "ls-files", "-z"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [CHECKOUT / name for name in listed.stdout.split("\0") if name]


def _lines() -> Iterator[tuple[str, str]]:
    """Yield "file:line" and the line, for every line of every tracked file."""
    for path in _tracked():
        if path.is_file():
            name = path.relative_to(CHECKOUT)
            text = path.read_bytes().decode(errors="replace")
            for number, line in enumerate(text.splitlines(), 1):
                yield f"{name}:{number}", line


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    """An absolute path into a home or a checkout works for one person only."""
    found = [
        f"{place}: {match}"
        for place, line in _lines()
        if not place.startswith(ABOUT_PATHS)
        for match in PRIVATE.findall(line)
    ]
    assert not found, "\n".join(found)


def test_no_file_names_the_place_of_this_checkout() -> None:
    """Whatever a test run or a generator has written into a file, it was not this path."""
    found = [place for place, line in _lines() if f"{CHECKOUT}/" in line]
    assert not found, "\n".join(found)


@pytest.mark.timeout(900)  # all tests are collected twice
def test_every_test_is_in_exactly_one_layer() -> None:
    """tests/run skips nothing: its layers add up to what pytest finds, without overlap."""

    def collect(*arguments: str) -> list[str]:
        listed = subprocess.run(
            [str(CHECKOUT / ".venv/bin/python"), "-m", "pytest", "--collect-only", "-q", "-p",
             "no:cacheprovider", *arguments],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        assert listed.returncode in (0, 5), listed.stdout + listed.stderr
        return [line for line in listed.stdout.splitlines() if "::" in line]

    there = [
        layer.arguments
        for layer in LAYERS
        if layer.arguments and (not layer.directory or (CHECKOUT / layer.directory).is_dir())
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        everything, *layers = pool.map(lambda chosen: collect(*chosen), [("tests",), *there])
    assert sorted(chain.from_iterable(layers)) == sorted(everything)
