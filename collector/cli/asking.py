"""The question below a brief card, which a person answers with a key and a reason.

The try-out uses this as well.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from rich.console import Console
from rich.text import Text

from collector.cli.cards import print_full, print_left_out, print_summary, warn_hidden
from collector.cli.keys import Keyboard, always


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person said at the keyboard; `digest` is of the act that they were shown."""

    answer: Literal["approve", "deny"]
    reason: str
    digest: str


Choice = Answer | Literal["skip", "quit", "gone"]


def question(
    console: Console,
    request: dict[str, Any],
    keyboard: Keyboard,
    stands: Callable[[], bool] = always,
    *,
    skippable: bool = True,
) -> Choice:
    """Ask about a brief card that was just printed: for a key, and for a reason after a or d.

    "gone" means that the question no longer stood. Approving a card that hides something needs a
    look at the full text first.
    """
    try:
        return _question(console, request, keyboard, stands, skippable)
    except EOFError:
        console.print()
        return "quit"


def _question(
    console: Console,
    request: dict[str, Any],
    keyboard: Keyboard,
    stands: Callable[[], bool],
    skippable: bool,
) -> Choice:
    unread = bool(request["card"]["hidden_bytes"])

    skip = "   [s] skip" if skippable else ""

    def put() -> None:
        # The card may have scrolled away; nobody is to answer from memory.
        print_summary(console, request)
        console.print(
            Text(f"[a] approve   [d] deny{skip}   [f] full text   [q] quit ", "bold"), end=""
        )
        console.file.flush()

    while True:
        key = keyboard.key(put, stands)
        console.print()
        if key is None:
            return "gone"
        if key in ("q", "Q"):
            return "quit"
        if key in ("s", "S") and skippable:
            return "skip"
        if key in ("f", "F"):
            print_left_out(console, request)
            print_full(console, request)
            unread = False
        elif key in ("a", "A") and unread:
            warn_hidden(console, request)
        elif key in ("a", "A", "d", "D"):
            verb: Literal["approve", "deny"] = "approve" if key in ("a", "A") else "deny"
            answer = _with_reason(console, request, keyboard, stands, verb)
            if answer is not None:
                return answer


def _with_reason(
    console: Console,
    request: dict[str, Any],
    keyboard: Keyboard,
    stands: Callable[[], bool],
    answer: Literal["approve", "deny"],
) -> Answer | Literal["gone"] | None:
    """Ask for the reason of an answer; None goes back to the choice of a key."""
    required = request["policy"]["reason_required"]
    hint = "empty line: back" if required else "may be empty"
    console.print(Text(f"{answer}: reason ({hint}): "), end="")
    console.file.flush()
    reason = keyboard.line(stands)
    if reason is None:
        console.print()
        return "gone"
    if required and not reason:
        return None
    return Answer(answer, reason, request["digest"])
