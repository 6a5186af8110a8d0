"""What Slack would refuse or read as markup in a message or a window, found before it could."""

import json
import re
from collections.abc import Iterator
from typing import Any

from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block, BlockElement
from slack_sdk.models.blocks.basic_components import PlainTextObject
from slack_sdk.models.views import View

MOST_BLOCKS = {"message": 50, "modal": 100}
TOTAL = {"message": 13_000, "modal": 250_000}
_RICH = {"rich_text", "rich_text_preformatted", "text"}
# The line of a notification is markup to Slack: letters, digits and harmless signs only, and the
# sign of an address inside of one, where it mentions nobody.
_NOTIFICATION = re.compile(r"(?:[A-Za-z0-9 :.,-]|(?<=[A-Za-z0-9])@(?=[A-Za-z0-9])){1,300}")
_LONGEST = {"text": 3000, "value": 2000, "url": 3000, "action_id": 255, "block_id": 255}


class LimitError(AssertionError):
    """Slack would not take it, or would read it as more than text; names where and why."""


def check_message(params: dict[str, Any]) -> None:
    """Raise LimitError unless Slack takes a message as it is and reads nothing into it."""
    text = params.get("text") or ""
    _need(bool(_NOTIFICATION.fullmatch(text)), f"text of a notification: {text!r}")
    _check_blocks(params.get("blocks") or [], "message")


def check_view(view: dict[str, Any]) -> None:
    """The same for a window."""
    _check_blocks(view["blocks"], "modal")
    try:
        View(**view).validate_json()
    except SlackObjectFormationError as error:
        raise LimitError(f"view: {error}") from error
    _need(0 < len(view["title"]["text"]) <= 24, "a title has 1 to 24 characters")
    _need(len(view.get("submit", {}).get("text", "")) <= 24, "submit is at most 24 characters")
    _need(len(view.get("private_metadata", "")) <= 3000, "private_metadata is at most 3000")
    asks = any(block["type"] == "input" for block in view["blocks"])
    _need(not asks or "submit" in view, "a window with an input needs submit")


def texts(blocks: object) -> str:
    """Return all that a person reads, one piece to a line."""
    found = []
    for part in _parts(blocks):
        if isinstance(part.get("text"), str):
            found.append(part["text"])
    return "\n".join(found)


def buttons(blocks: object) -> dict[str, dict[str, Any]]:
    """Return the buttons by what stands on them."""
    return {part["text"]["text"]: part for part in _parts(blocks) if part.get("type") == "button"}


def _check_blocks(blocks: list[dict[str, Any]], where: str) -> None:
    _need(0 < len(blocks) <= MOST_BLOCKS[where], f"{len(blocks)} blocks")
    total = len(json.dumps(blocks, ensure_ascii=False))
    _need(total <= TOTAL[where], f"{total} characters in all: msg_blocks_too_long")
    for block, parsed in zip(blocks, Block.parse_all(blocks), strict=True):
        try:
            parsed.validate_json()
            parsed.to_dict()
        except SlackObjectFormationError as error:
            raise LimitError(f"{block['type']}: {error}") from error
        _check_elements(block)
    for part in _parts(blocks):
        _check_part(part)
    _unique(blocks, "block_id")
    for block in blocks:
        _unique(block.get("elements", []), "action_id")


def _check_elements(block: dict[str, Any]) -> None:
    elements = [*block.get("elements", []), block.get("element"), block.get("accessory")]
    for one in elements:
        if not isinstance(one, dict) or one["type"] in ("plain_text", *_RICH):
            continue
        parsed = BlockElement.parse(one)
        if parsed is None:
            raise LimitError(f"slack_sdk knows no element {one['type']}")
        try:
            parsed.validate_json()
        except SlackObjectFormationError as error:
            raise LimitError(f"{one['type']}: {error}") from error


def _check_part(part: dict[str, Any]) -> None:
    kind = part.get("type", "")
    _need(
        kind not in ("mrkdwn", "markdown", "link", "user", "usergroup", "emoji", "broadcast"), kind
    )
    if kind == "plain_text":
        _need(part.get("emoji") is False, f"emoji codes are read in {part['text'][:80]!r}")
        _need(bool(part["text"]), "an empty text")
        PlainTextObject(text=part["text"]).validate_json()
    if kind == "header":
        _need(len(part["text"]["text"]) <= 150, "a header of over 150 characters")
    if kind == "button":
        _need(len(part["text"]["text"]) <= 75, "a button of over 75 characters")
    for key, longest in _LONGEST.items():
        if isinstance(part.get(key), str):
            _need(len(part[key]) <= longest, f"{key} of {len(part[key])} characters")


def _unique(parts: object, key: str) -> None:
    found = [part[key] for part in parts if key in part] if isinstance(parts, list) else []
    _need(len(found) == len(set(found)), f"{key} twice: {found}")


def _parts(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _parts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _parts(inner)


def _need(fine: bool, why: str) -> None:
    if not fine:
        raise LimitError(why)
