"""What came of each of several answers, as the page of results shows it."""

from dataclasses import dataclass

from collector.web.pages import Notice
from collector.web.rows import Row


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one answer of several."""

    row: Row
    notice: Notice
