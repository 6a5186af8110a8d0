"""Draws a request as an Adaptive Card 1.5 for Teams. Pure.

Text blocks of such cards are Markdown, text runs are not: whatever quotes somebody else is in runs,
so there is nothing in it to escape and nothing that an escape could miss. Only {{DATE(...)}} and
{{TIME(...)}} mean something there, and are broken visibly. What is left out is counted.
"""

import json
import re
from dataclasses import dataclass, replace
from typing import Any

from collector.actwords import SECOND
from collector.approvals.record import Outcome, RequestState
from collector.card import Card, Fact
from collector.channels.broken import alarm_lines
from collector.channels.interface import Notice
from collector.channels.shorten import shorten

# Teams says that it takes about 28 KB; senders have found 21 000 bytes. A workflow that finds a
# card too large has accepted it already, so nobody would hear of it.
LARGEST = 20_000

_FUNCTION = re.compile(r"\{\{(?=\s*(?:DATE|TIME)\s*\()", re.IGNORECASE)
# Two or three of them; more are shown as their number. A source's own no-break space is escaped.
_SPACES = re.compile(r"(?<= ) |^ ")
_MONOSPACE = frozenset(
    ("Command", "Environment", "Started as", "Program", "Called as", "Path", *SECOND.values())
)
_SEVERITY_COLORS = {"critical": "Attention", "high": "Attention", "medium": "Warning"}
_OUTCOME_COLORS = {
    Outcome.RELEASED: "Good",
    Outcome.KILLED: "Attention",
    Outcome.REFUSED: "Attention",
}


@dataclass(frozen=True, slots=True)
class _Room:
    """How much of a card is drawn: characters of each text, lines of the tree, facts."""

    text: int
    lines: int
    facts: int


# The first that fits is taken; the last fits whatever the card is.
_ROOMS = (
    _Room(8000, 100, 100),
    _Room(2000, 30, 60),
    _Room(900, 15, 40),
    _Room(400, 10, 30),
    _Room(150, 6, 25),
    _Room(60, 4, 20),
)


def message(notice: Notice) -> bytes:
    """Return the message that shows a request, at most LARGEST bytes of JSON."""
    asks = notice.state is RequestState.OPEN
    button = "Open to read and decide" if asks else _opens(notice)
    drawn = b""
    for room in _ROOMS:
        card, hidden = _shortened(notice.card, room)
        head, rest = _body(card, hidden, asks=asks)
        body = [*_alarm(notice)[:1], *head, *_asked(notice), *rest]
        drawn = _wrapped(body, button, notice.link)
        if len(drawn) <= LARGEST:
            break
    return drawn


def follow_up(notice: Notice) -> bytes:
    """Return the message that says what became of a request; a few hundred bytes of JSON."""
    if notice.alarm:
        return _wrapped(_alarm(notice), _opens(notice), notice.link)
    color = _OUTCOME_COLORS.get(notice.outcome, "Default") if notice.outcome else "Default"
    title = shorten(notice.card.title, 300).text
    line = shorten(notice.card.state_line, 500).text
    body = [
        _runs((title, {"weight": "Bolder"})),
        _runs((line, {"color": color, "weight": "Bolder"})),
        *_asked(notice),
    ]
    return _wrapped(body, _opens(notice), notice.link)


def _alarm(notice: Notice) -> list[dict[str, Any]]:
    """Return the paragraphs that say who broke the glass, why and what for; else none."""
    first, *others = [shorten(line, 700).text for line in alarm_lines(notice)] or [""]
    style = {"weight": "Bolder", "size": "Medium", "color": "Attention"}
    return [_runs((first, style)), *(_runs((one, {})) for one in others)] if first else []


def _asked(notice: Notice) -> list[dict[str, Any]]:
    """Return the paragraphs that say who is asked, and that nobody may approve it."""
    if notice.asked is None:
        return []
    made = [_runs(("Asked: ", {"weight": "Bolder"}), (notice.asked.people, {}))]
    if notice.asked.stuck:
        style = {"weight": "Bolder", "color": "Attention"}
        made.append(_runs(("Nobody may approve: ", style), (notice.asked.stuck, {})))
    return made


def _opens(notice: Notice) -> str:
    return "Open the session" if notice.session else "Open the request"


def standing(notice: Notice) -> str:
    """Return what a follow-up is about; while it stays the same there is nothing to post."""
    votes = len(notice.votes) if notice.state is RequestState.OPEN else 0
    stuck = " stuck" if notice.asked is not None and notice.asked.stuck else ""
    return f"{notice.state.value} {notice.outcome.value if notice.outcome else '-'} {votes}{stuck}"


def _shortened(card: Card, room: _Room) -> tuple[Card, int]:
    """Return the card with less in it, and how many bytes of it are left out."""
    hidden = 0

    def short(text: str) -> str:
        nonlocal hidden
        result = shorten(text, room.text)
        hidden += result.hidden_bytes
        return result.text

    left = [*(fact.text for fact in card.facts[room.facts :]), *card.tree[: -room.lines]]
    hidden += sum(len(text.encode()) for text in left)
    shown = replace(
        card,
        title=short(card.title),
        state_line=short(card.state_line),
        facts=tuple(Fact(short(one.label), short(one.text)) for one in card.facts[: room.facts]),
        tree=tuple(short(line) for line in card.tree[-room.lines :]),
        happened=short(card.happened),
        guarantee=short(card.guarantee),
        digest=short(card.digest),
    )
    return shown, hidden


_Blocks = list[dict[str, Any]]


def _body(card: Card, left_out: int, *, asks: bool) -> tuple[_Blocks, _Blocks]:
    """Return what the card is about, and what there is to know of it."""
    severity = _SEVERITY_COLORS.get(card.severity, "Default")
    head = [
        _runs(("Holdfast asks" if asks else "Holdfast", {"isSubtle": True, "size": "Small"})),
        _runs((card.title, {"weight": "Bolder", "size": "Medium"})),
        _runs(
            (f"{card.severity} severity", {"color": severity, "weight": "Bolder"}),
            (f" · {card.state_line}", {}),
        ),
    ]
    body: _Blocks = []
    if hidden := card.hidden_bytes + left_out:
        # At the top: Teams folds long cards.
        words = f"{hidden} bytes are not shown here: open the request to read on."
        body.append(_runs((words, {"weight": "Bolder", "color": "Attention"})))
    body.append(_runs((card.happened, {}), spacing="Medium"))
    body.append(_runs((card.guarantee, {"isSubtle": True})))
    for position, fact in enumerate(card.facts):
        style = {"fontType": "Monospace"} if fact.label in _MONOSPACE else {}
        spacing = "Small" if position else "Medium"
        body.append(
            _runs((f"{fact.label}: ", {"weight": "Bolder"}), (fact.text, style), spacing=spacing)
        )
    for position, line in enumerate(card.tree):
        body.append(
            _runs(
                (line, {"fontType": "Monospace", "size": "Small"}),
                spacing="None" if position else "Medium",
            )
        )
    body.append(_runs((f"Digest {card.digest}", {"isSubtle": True, "size": "Small"})))
    return head, body


def _runs(*texts: tuple[str, dict[str, Any]], spacing: str = "Small") -> dict[str, Any]:
    """Return a paragraph of texts, each with its style; none of it is Markdown."""
    inlines = [
        {"type": "TextRun", "text": _literal(text), **style} for text, style in texts if text
    ]
    return {"type": "RichTextBlock", "inlines": inlines, "spacing": spacing}


def _literal(text: str) -> str:
    """Return what is drawn as this text, also where several spaces are drawn as one."""
    # The escape is one of sanitize.py's: a backslash of the text itself is doubled there.
    text = _FUNCTION.sub(r"{\\x7b", text)
    return _SPACES.sub("\N{NO-BREAK SPACE}", text)


def _wrapped(body: list[dict[str, Any]], button: str, link: str) -> bytes:
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.5",
        "msteams": {"width": "Full"},
        "body": body,
        "actions": [{"type": "Action.OpenUrl", "title": button, "url": link}],
    }
    attachment = {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": None,
        "content": card,
    }
    whole = {"type": "message", "attachments": [attachment]}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()
