"""The windows that Slack opens over a conversation: a reason to give, the details, and an answer.

A window carries which answer, request and card it is about, and nothing that decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from collector.channels.slack.blocks import MODAL_ROOM, Showing, message
from collector.channels.slack.elements import (
    BUTTON_LIMIT,
    MODAL_TITLE_LIMIT,
    Block,
    actions,
    button,
    plain,
    preformatted,
    section,
)
from collector.channels.slack.fitting import fitted
from wire.messages import Answer

REASON_VIEW = "holdfast_reason"
# Followed by the place of the reason in the list of the settings.
BECAUSE = "holdfast_because_"
TEXT_BLOCK, TEXT_INPUT = "holdfast_text", "holdfast_text_input"
LIFE_BLOCK, LIFE_INPUT = "holdfast_life", "holdfast_life_input"
LONGEST_REASON = 2000
_VOTES_ROOM, _REMARKS_ROOM = 4000, 8000

View = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Subject:
    """What a window is about: the answer, the button's value, and whether it is for a time."""

    answer: Answer
    carried: str
    for_a_time: bool

    def __str__(self) -> str:
        return f"{self.answer.value} {int(self.for_a_time)} {self.carried}"

    @classmethod
    def parse(cls, text: str) -> "Subject":
        """Read what `str` has written; raise ValueError for anything else."""
        answer, life, carried = text.split(" ", 2)
        return cls(Answer(answer), carried, bool(int(life)))


def ask_reason(
    subject: Subject, title: str, reasons: Sequence[str], lives: Sequence[str] = ()
) -> View:
    """Return the window that asks why; `lives` are the times that a grant may have."""
    verb = "Approve" if subject.answer is Answer.APPROVE else "Deny"
    blocks: list[Block] = [preformatted([title])]
    if subject.for_a_time:
        blocks.append(_lives(lives))
    if reasons:
        blocks.append(section(f"{verb} with one of these reasons:"))
        blocks.append(
            actions(
                [button(reason, f"{BECAUSE}{at}", str(at)) for at, reason in enumerate(reasons)],
                "holdfast_because",
            )
        )
    blocks.append(
        {
            "type": "input",
            "block_id": TEXT_BLOCK,
            "label": plain("Or write your own" if reasons else "Why"),
            "element": {
                "type": "plain_text_input",
                "action_id": TEXT_INPUT,
                "multiline": True,
                "min_length": 1,
                "max_length": LONGEST_REASON,
            },
        }
    )
    heading = f"{verb} for a time" if subject.for_a_time else verb
    return _view(heading, blocks) | {
        "callback_id": REASON_VIEW,
        "private_metadata": str(subject),
        "submit": plain(verb, MODAL_TITLE_LIMIT),
    }


def told(text: str, link: str = "") -> View:
    """Return the window that says what came of it."""
    blocks = [section(text)]
    if link:
        blocks.append(section(f"Its page: {link}"))
    return _view("Holdfast", blocks)


def details(shown: Showing, remarks: Sequence[str]) -> View:
    """Return the window with everything that a card can show, and what people said."""
    made = message(shown, MODAL_ROOM)
    blocks = list(made.blocks)
    if shown.votes:
        blocks += [section("Votes"), preformatted(fitted(shown.votes[-50:], _VOTES_ROOM).lines)]
    if remarks:
        blocks += [section("Comments"), preformatted(fitted(remarks[-50:], _REMARKS_ROOM).lines)]
    return _view("Request", blocks)


def chosen_life(view: dict[str, Any]) -> int:
    """Return which of the times is chosen in a window; -1, which is none, for anything else."""
    found = _state(view, LIFE_BLOCK, LIFE_INPUT).get("selected_option") or {}
    try:
        return int(found.get("value", "-1"))
    except ValueError:
        return -1


def written_reason(view: dict[str, Any]) -> str:
    """Return what was typed."""
    return str(_state(view, TEXT_BLOCK, TEXT_INPUT).get("value") or "").strip()


def _state(view: dict[str, Any], block: str, element: str) -> dict[str, Any]:
    values = view.get("state", {}).get("values", {})
    found: dict[str, Any] = values.get(block, {}).get(element, {})
    return found


def _lives(lives: Sequence[str]) -> Block:
    options = [
        {"text": plain(text, BUTTON_LIMIT), "value": str(at)} for at, text in enumerate(lives)
    ]
    return {
        "type": "input",
        "block_id": LIFE_BLOCK,
        "label": plain("For how long"),
        "element": {
            "type": "static_select",
            "action_id": LIFE_INPUT,
            "options": options,
            "initial_option": options[0],
        },
    }


def _view(title: str, blocks: list[Block]) -> View:
    return {
        "type": "modal",
        "title": plain(title, MODAL_TITLE_LIMIT),
        "close": plain("Close", MODAL_TITLE_LIMIT),
        "blocks": blocks,
    }
