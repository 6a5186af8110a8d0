"""The page about evidence names every measure and framework that there is, and no other."""

import re
from pathlib import Path

from collector.report.framework_names import Framework
from collector.report.measures import BY_ID

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "evidence.md").read_text(encoding="utf-8")


def _first_column(heading: str) -> list[str]:
    part = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([a-z0-9_]+)`", part, flags=re.MULTILINE)


def test_every_measure_is_explained() -> None:
    """In the order of the page itself."""
    assert sorted(_first_column("Measures")) == sorted(BY_ID)


def test_every_framework_is_named() -> None:
    """As the command line takes it."""
    assert _first_column("Frameworks") == [one.value for one in Framework]
