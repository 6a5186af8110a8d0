"""Turns values into pages: the templates, always escaped, in the one frame with the navigation."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from collector.errors import Refusal
from collector.identity.sessions import Session
from collector.sanitize import visible
from collector.web.words import iso
from collector.words import clock, count

HERE = Path(__file__).parent
STATIC = HERE / "static"


@dataclass(frozen=True, slots=True)
class Link:
    """Where a remedy is, and in which words it leads there."""

    words: str
    href: str


@dataclass(frozen=True, slots=True)
class Notice:
    """What went wrong, or was done, at the top of a page; `good` picks its shape and colour."""

    title: str
    text: str
    good: bool = False
    link: Link | None = None


# What a remedy says to a terminal is said to a reader of pages in these words.
_REMEDIES = {
    "unknown_request": "the inbox lists those that wait, and Holds lists all",
    "already_decided": "nothing is left to decide; the page shows what the host did",
    "forbidden_role": "ask a reviewer, or have an administrator give you that role",
}


def notice_of(refusal: Refusal, *, back: str = "/") -> Notice:
    """Return a refusal in words: who was first where somebody was, else what to do about it.

    Who must sign in again for it comes `back` to this page.
    """
    facts = refusal.extra
    if refusal.code == "already_decided" and isinstance(decided_ns := facts["decided_ns"], int):
        said = "approved" if facts["answer"] == "approve" else "denied"
        reason = f" Reason: {visible(str(facts['reason']))}" if facts["reason"] else ""
        return Notice(
            f"Already {said} by {visible(str(facts['decided_by']))} at {clock(decided_ns)}",
            f"Your answer was not taken; the first one stands.{reason}",
        )
    remedy = _REMEDIES.get(refusal.code, refusal.remedy).replace("`", "")
    link = None
    if isinstance(way := facts.get("sign_in"), str):
        link = Link("Sign in again", f"{way}&{urlencode({'next': back})}")
    return Notice(sentence(visible(refusal.message)), sentence(visible(remedy)), link=link)


class Pages:
    """Renders templates."""

    def __init__(self, waiting: Callable[[], int]) -> None:
        """`waiting` says how many requests wait for an answer."""
        self._waiting = waiting
        self._environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals.update(sentence=sentence)
        self._environment.filters.update(visible=visible, clock=clock, iso=iso, count=count)

    def render(
        self,
        name: str,
        *,
        session: Session | None,
        status: int = 200,
        notice: Notice | None = None,
        **values: Any,
    ) -> HTMLResponse:
        """Return the page `name` with these values, for whoever is signed in."""
        template = self._environment.get_template(f"{name}.html")
        text = template.render(
            page=name, session=session, notice=notice, tally=self._waiting(), **values
        )
        return HTMLResponse(text, status)


def sentence(text: str) -> str:
    """Return a clause of an error as a sentence."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
