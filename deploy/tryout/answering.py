"""Where answers come from: a person at the terminal, or the same answer every time."""

import textwrap
import time

from rich.console import Console

from collector.cli.asking import Answer, question
from collector.cli.cards import print_card
from collector.cli.keys import Keyboard
from deploy.tryout.board import Board, Facts
from deploy.tryout.errors import ProofError, Quit
from deploy.tryout.evidence import UNANSWERED
from deploy.tryout.trail import Answered

_WATCHED_S = 1.0


class Unattended:
    """Gives the same answer to every request, and shows the card all the same."""

    def __init__(self, console: Console, answer: str) -> None:
        self._console = console
        self._answer = answer

    def __call__(self, request: Facts) -> Answered:
        """Show the card and answer, after long enough to see that the process does not run."""
        print_card(self._console, _shortened(request), brief=True)
        time.sleep(_WATCHED_S)
        return Answered(self._answer, f"unattended, --answer {self._answer}")


class AtTheTerminal:
    """Asks the person at the terminal, for as long as all parts of Holdfast run."""

    def __init__(self, console: Console, board: Board, terminal: int) -> None:
        self._console = console
        self._board = board
        self._keyboard = Keyboard(terminal, board.wake)

    def __call__(self, request: Facts) -> Answered:
        """Show the card, ask for a key and a reason."""
        print_card(self._console, _shortened(request), brief=True)

        def stands() -> bool:
            return self._board.is_well() and self._board.is_open(request)

        choice = question(self._console, request, self._keyboard, stands, skippable=False)
        if isinstance(choice, Answer):
            return Answered(choice.answer, choice.reason)
        if choice == "quit":
            raise Quit
        self._board.check()
        raise ProofError(_ended_words(self._board.now(request)))


def _ended_words(request: Facts) -> str:
    """Say why a question was taken back; the state line is the card's own."""
    if request["state"] == "cancelled":
        return UNANSWERED
    return f"the request ended without your answer: {request['card']['state_line']}"


def _shortened(request: Facts) -> Facts:
    """Return the request with a process tree that begins above the first watched process.

    What is above that is the machine's; `holdfast show` and the API have all of it.
    """
    tree = request["card"]["tree"]
    first = next((n for n, line in enumerate(tree) if "(first watched)" in line), 0)
    above = max(first - 1, 0)
    part = textwrap.dedent("\n".join(tree[above:])).splitlines()
    if above:
        part = [f"(below {above} others)", *part]
    return {**request, "card": {**request["card"], "tree": part}}
