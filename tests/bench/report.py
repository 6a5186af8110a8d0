"""Takes the tables of a section, keeps them for the terminal, and writes them into the page."""

from collections.abc import Sequence
from pathlib import Path

from tests.bench import machine
from tests.bench.page import MACHINE, Aim, Section, Table, aims_table, filled


class Report:
    """What the sections of one run have published. Without a page it only keeps the text."""

    def __init__(self, page: Path | None) -> None:
        self._page = page
        # As it was before the run made the machine busy.
        self._machine = machine.facts().text()
        self.said: list[str] = [self._machine]

    def publish(self, section: Section, tables: Sequence[Table], aims: Sequence[Aim] = ()) -> None:
        """Take the tables of a section; a run that was cut off has written what it has so far."""
        every = [*tables, *([aims_table(aims)] if aims else [])]
        text = "\n".join(table.text() for table in every)
        self.said.append(f"## {section.title}\n\n{text}")
        if self._page is not None:
            body = f"Measured {machine.stamp()}.\n\n{text}"
            parts = {Section(MACHINE, "The machine"): self._machine, section: body}
            self._page.write_text(filled(self._page.read_text(encoding="utf-8"), parts))
