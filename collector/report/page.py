"""Turns reports into pages that stand alone: one file, with its style, without scripts."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from collector.report.dashboard import Shown
from collector.report.evidence import Evidence, Finding
from collector.report.period import Period

_HERE = Path(__file__).parent / "pages"


class PaperPages:
    """Renders the templates of pages/, always escaped, but for charts, which are ours."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(_HERE),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._css = Markup((_HERE / "paper.css").read_text())  # noqa: S704 - our own file

    def evidence(self, evidence: Evidence, *, by: str) -> str:
        """Return the page of a framework's evidence, made by this person."""
        return self._render("evidence.html", by, evidence=evidence, findings=tuple(Finding))

    def report(self, shown: Sequence[Shown], period: Period, *, by: str) -> str:
        """Return the dashboard as a page."""
        return self._render("report.html", by, shown=shown, period=period)

    def _render(self, name: str, by: str, **values: Any) -> str:
        made = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M")
        template = self._environment.get_template(name)
        return template.render(css=self._css, made=made, by=by, **values)
