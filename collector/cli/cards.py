"""A request on a terminal: its card in full, and the question that a person answers with a key.

The try-out uses this as well. It trusts nobody's text: whatever comes from the API is made
harmless once more, and none of it is ever read as markup.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from collector.cli.keys import Keyboard, always
from collector.cli.words import clock, count, left
from collector.sanitize import harmless, visible

COLOURS = {
    "info": "cyan",
    "low": "cyan",
    "medium": "yellow",
    "high": "bold red",
    "critical": "bold white on red",
}
_QUESTION = "[a] approve   [d] deny   [s] skip   [f] full text   [q] quit "


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person said at the keyboard; `digest` is of the act that they were shown."""

    answer: Literal["approve", "deny"]
    reason: str
    digest: str


Choice = Answer | Literal["skip", "quit", "gone"]


def print_card(console: Console, request: dict[str, Any]) -> None:
    """Print a request as the API gives it (with its `card`), as wide as the terminal."""
    card = request["card"]
    severity = harmless(str(card["severity"]))
    title = Text.assemble(
        (f" {severity} ", COLOURS.get(severity, "bold")), " ", (harmless(card["title"]), "bold")
    )
    console.print(Rule(style="dim"))
    console.print(title, overflow="fold")
    table = _grid()
    _row(table, "Request", f"{visible(request['request'])}, opened {clock(request['opened_ns'])}")
    _row(table, "State", _state(request), "bold")
    for fact in card["facts"]:
        _row(table, harmless(fact["label"]), harmless(fact["text"]))
    if card["tree"]:
        _row(table, "Processes", "\n".join(harmless(line) for line in card["tree"]))
    _row(table, "Happened", harmless(card["happened"]), "bold")
    _row(table, "Promise", harmless(card["guarantee"]))
    _row(table, "Digest", harmless(card["digest"]))
    for comment in request["comments"]:
        said = f"{visible(comment['by'])}, {clock(comment['time_ns'])}: {visible(comment['text'])}"
        _row(table, "Comment", said)
    console.print(table)
    if card["hidden_bytes"]:
        _warn_hidden(console, request)


def print_full(console: Console, request: dict[str, Any]) -> None:
    """Print what the card may have cut: every argument on its own line, and the paths, whole."""
    from collector.commandtext import argument_lines

    act = request["act"]
    argv = act["argv"] if act["kind"] == "exec" else act["process"]["argv"]
    table = _grid()
    for number, argument in enumerate(argument_lines(argv)):
        _row(table, f"Argument {number}", argument)
    for label, name in (("Program", "executable"), ("Called as", "filename")):
        if act[name]:
            _row(table, label, visible(act[name]))
    for label, name in (("Path", "path"), ("Directory", "cwd")):
        if act[name]:
            _row(table, label, visible(act[name]))
    _row(table, "Why", visible(request["rule"]["description"]))
    console.print(table)
    if act["argv_cut"] or act["path_cut"] or act["addresses_cut"]:
        console.print(
            Text("The host itself could not read all of it; that part is in no record.", "bold red")
        )


def ask(console: Console, request: dict[str, Any]) -> Answer | None:
    """Ask about a card that was just printed, at this process's terminal; None for no answer."""
    choice = question(console, request, Keyboard(sys.stdin.fileno()))
    return choice if isinstance(choice, Answer) else None


def question(
    console: Console,
    request: dict[str, Any],
    keyboard: Keyboard,
    stands: Callable[[], bool] = always,
) -> Choice:
    """Ask for a key, and for a reason after a or d, until there is an answer.

    "gone" means that the question no longer stood. Approving a card that hides something needs a
    look at the full text first.
    """
    try:
        return _question(console, request, keyboard, stands)
    except EOFError:
        console.print()
        return "quit"


def state_words(request: dict[str, Any]) -> str:
    """Return where a request with a card stands, as the card says it."""
    return harmless(str(request["card"]["state_line"]))


def _question(
    console: Console, request: dict[str, Any], keyboard: Keyboard, stands: Callable[[], bool]
) -> Choice:
    unread = bool(request["card"]["hidden_bytes"])

    def put() -> None:
        console.print(Text(_QUESTION, "bold"), end="")
        console.file.flush()

    while True:
        key = keyboard.key(put, stands)
        console.print()
        if key is None:
            return "gone"
        if key in ("q", "Q"):
            return "quit"
        if key in ("s", "S"):
            return "skip"
        if key in ("f", "F"):
            print_full(console, request)
            unread = False
        elif key in ("a", "A") and unread:
            _warn_hidden(console, request)
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
    required = request["rule"]["reason_required"]
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


def _warn_hidden(console: Console, request: dict[str, Any]) -> None:
    hidden = count(request["card"]["hidden_bytes"], "byte")
    words = f"{hidden} not shown: read the full text with f, or `holdfast show --full"
    console.print(
        Text(f"{words} {visible(request['request'])[:8]}`, before you approve", "bold red")
    )


def _state(request: dict[str, Any]) -> str:
    words = state_words(request)
    if request["state"] == "open" and request["deadline_ns"]:
        words += f" ({left(request['deadline_ns'], time.time_ns())} left)"
    return words


def _grid() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _row(table: Table, label: str, text: str, style: str = "") -> None:
    table.add_row(Text(label), Text(text, style, overflow="fold"))
