"""The pieces of Block Kit that Holdfast uses, none of which Slack reads as markup.

Text is plain_text or preformatted rich text, so it can be no mention, no link and no emoji code.
"""

import json
from collections.abc import Sequence
from typing import Any

from collector.sanitize import harmless

Block = dict[str, Any]

# Slack's own limits, in characters.
HEADER_LIMIT = 150
SECTION_LIMIT = 3000
BUTTON_LIMIT = 75
VALUE_LIMIT = 2000
URL_LIMIT = 3000
MODAL_TITLE_LIMIT = 24
METADATA_LIMIT = 3000
MOST_BLOCKS = 50
_ELEMENT_LIMIT = 3000
_CUT = " (cut)"


def size(blocks: Sequence[Block]) -> int:
    """Return how long blocks are as ASCII JSON, which no other way of counting exceeds."""
    return len(json.dumps(list(blocks)))


def cost(text: str) -> int:
    """Return by how much a text lengthens the ASCII JSON that it is put into."""
    return len(json.dumps(text)) - 2


def plain(text: str, limit: int = SECTION_LIMIT) -> dict[str, Any]:
    """Return a text that Slack shows as it is; one over `limit` ends in "(cut)"."""
    shown = harmless(text)
    if len(shown) > limit:
        shown = shown[: limit - len(_CUT)] + _CUT
    # Slack refuses an empty text.
    return {"type": "plain_text", "text": shown or "-", "emoji": False}


def header(text: str) -> Block:
    """Return a headline."""
    return {"type": "header", "text": plain(text, HEADER_LIMIT)}


def section(text: str) -> Block:
    """Return a paragraph; line breaks in it are kept."""
    lines = [plain(line)["text"] if line else "" for line in text.split("\n")]
    whole = "\n".join(lines)
    if len(whole) > SECTION_LIMIT:
        whole = whole[: SECTION_LIMIT - len(_CUT)] + _CUT
    return {"type": "section", "text": {"type": "plain_text", "text": whole or "-", "emoji": False}}


def context(texts: Sequence[str]) -> Block:
    """Return small print of up to ten pieces."""
    return {"type": "context", "elements": [plain(text, 2000) for text in texts[:10]]}


def preformatted(lines: Sequence[str]) -> Block:
    """Return lines in a fixed width. Rich text has no markup: its pieces are typed, not parsed."""
    whole = "\n".join(map(harmless, lines)) or "-"
    parts = [whole[at : at + _ELEMENT_LIMIT] for at in range(0, len(whole), _ELEMENT_LIMIT)]
    pieces = [{"type": "text", "text": part} for part in parts]
    return {
        "type": "rich_text",
        "elements": [{"type": "rich_text_preformatted", "elements": pieces}],
    }


def button(text: str, action: str, value: str, *, style: str = "") -> dict[str, Any]:
    """Return a button; `style` is primary, danger or empty."""
    made = {
        "type": "button",
        "text": plain(text, BUTTON_LIMIT),
        "action_id": action,
        "value": value,
    }
    return made | {"style": style} if style else made


def link_button(text: str, action: str, url: str) -> dict[str, Any]:
    """Return a button that opens a page."""
    return {
        "type": "button",
        "text": plain(text, BUTTON_LIMIT),
        "action_id": action,
        "url": url,
    }


def actions(elements: Sequence[dict[str, Any]], block_id: str) -> Block:
    """Return a row of buttons."""
    return {"type": "actions", "block_id": block_id, "elements": list(elements)}
