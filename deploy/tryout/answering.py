"""Where answers come from: a person at the terminal, or the same answer every time."""

from pathlib import Path

from rich.console import Console

from deploy.tryout.board import Facts
from deploy.tryout.trail import Answered


class Unattended:
    """Gives the same answer to every request, and shows the card all the same."""

    def __init__(self, console: Console, answer: str, record: Path | None) -> None:
        self._console = console
        self._answer = answer

    def __call__(self, request: Facts) -> Answered:
        """Show the card and answer."""
        self._console.print(request["card"])
        return Answered(self._answer, f"unattended: --answer {self._answer}")


class AtTheTerminal:
    """Asks the person at the terminal."""

    def __init__(self, console: Console, record: Path | None) -> None:
        self._console = console

    def __call__(self, request: Facts) -> Answered:
        """Show the card, ask for a key and a reason."""
        self._console.print(request["card"])
        key = input("a/d? ")
        return Answered("approve" if key == "a" else "deny", input("reason? "))
