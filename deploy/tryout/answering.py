"""Where answers come from: a person at the terminal, or the same answer every time."""

import os
import sys
import termios
import time
import tty

from rich.console import Console

from deploy.tryout.board import Facts
from deploy.tryout.screen import draw_card
from deploy.tryout.trail import Answered

_KEYS = {"a": "approve", "d": "deny"}
_WATCHED_S = 1.0


class Unattended:
    """Gives the same answer to every request, and shows the card all the same."""

    def __init__(self, console: Console, answer: str) -> None:
        self._console = console
        self._answer = answer

    def __call__(self, request: Facts) -> Answered:
        """Show the card and answer, after long enough to see that the process does not run."""
        draw_card(self._console, request["card"])
        time.sleep(_WATCHED_S)
        return Answered(self._answer, f"unattended, --answer {self._answer}")


class AtTheTerminal:
    """Asks the person at the terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __call__(self, request: Facts) -> Answered:
        """Show the card, ask for a key and a reason."""
        draw_card(self._console, request["card"])
        self._console.print("[bold green]a[/]pprove or [bold red]d[/]eny? ", end="")
        answer = self._key()
        self._console.print(f"{answer}")
        return Answered(answer, self._reason())

    def _key(self) -> str:
        """Wait for one of the keys; anything else is no answer."""
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
        try:
            tty.setcbreak(descriptor)
            while True:
                typed = os.read(descriptor, 1)
                if not typed:
                    raise EOFError
                if typed.decode(errors="replace").lower() in _KEYS:
                    return _KEYS[typed.decode().lower()]
        finally:
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)

    def _reason(self) -> str:
        reason = ""
        while not reason:
            reason = self._console.input("Why? It goes into the trail: ").strip()
        return reason
