"""The walk: three acts, each held, shown, answered and proven; then three questions."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table

from deploy.tryout import evidence, trail
from deploy.tryout.acts import ACTS, DemoAct
from deploy.tryout.board import Board, Facts
from deploy.tryout.errors import ProofError
from deploy.tryout.reviewer import Reviewer
from deploy.tryout.trail import Answered

_HOLD_S = 60.0
_EFFECT_S = 60.0
_TRAIL_S = 15.0


class Answering(Protocol):
    """How an answer is come by: from a person at the terminal, or the same one each time."""

    def __call__(self, request: Facts) -> Answered:
        """Show the request's card and return the answer to it."""


class Walk:
    """One walk from the first act to the last question."""

    def __init__(
        self,
        console: Console,
        board: Board,
        reviewer: Reviewer,
        give_task: Callable[[str], None],
        answering: Answering,
    ) -> None:
        self._console = console
        self._board = board
        self._reviewer = reviewer
        self._give_task = give_task
        self._answering = answering

    def run(self, picture: Path | None = None) -> None:
        """Walk; raise ProofError where something did not go as it must.

        The first act goes into a `picture` (SVG), if one is wanted and the console records.
        """
        answers = []
        for number, act in enumerate(ACTS, 1):
            answers.append(self._one(number, act))
            if number == 1 and picture is not None:
                self._console.save_svg(str(picture), title="sudo deploy/try", clear=False)
        self._ask_trail(answers)

    def _one(self, number: int, act: DemoAct) -> Answered:
        self._console.rule(f"[bold]{number} of {len(ACTS)}: {act.title}", style="dim", align="left")
        self._console.print(act.story)
        self._give_task(act.task)
        request = self._board.wait(lambda: self._open(act), f"a hold by rule {act.rule}", _HOLD_S)
        began = time.monotonic()
        waiting = evidence.look_at_held(request, act, self._board)
        self._good(f"the kernel holds process {waiting.pid} (state T); {act.before}")
        answered = self._answering(request)
        self._board.check()
        evidence.check_still_held(waiting, request, act, self._board)
        waited = time.monotonic() - began
        self._reviewer.decide(request, answered.answer, answered.reason)
        self._see_effect(act, request, answered, waited)
        return answered

    def _open(self, act: DemoAct) -> Facts | None:
        for request in self._board.requests.values():
            if request["rule"]["id"] == act.rule:
                return request
        strange = next((r for r in self._board.requests.values() if r["state"] == "open"), None)
        if strange is not None:
            raise ProofError(f"{act.title}: held by another rule, {strange['rule']['id']}")
        return None

    def _see_effect(self, act: DemoAct, request: Facts, answered: Answered, waited: float) -> None:
        """Wait until the worker and the host say what became of it, and compare with the world."""
        ended = self._board.wait(
            lambda: self._board.worker(act.task, "ended"), "the worker to go on", _EFFECT_S
        )
        confirmed = self._board.wait(
            lambda: self._confirmed(request), "the host to confirm the answer", _EFFECT_S
        )
        if confirmed["outcome"] != answered.outcome:
            raise ProofError(f"{act.title}: the host has {confirmed['outcome']} the process")
        approved = answered.answer == "approve"
        if act.happened(self._board) != approved:
            raise ProofError(
                f"{act.title}: the answer was {answered.answer}, but "
                + ("nothing came of it" if approved else act.after)
            )
        code = int(ended["returncode"])
        if code != (0 if approved else -9):
            raise ProofError(f"{act.title}: its exit code is {code}: {ended['complaint'].strip()}")
        still = f"it waited {waited:.1f} s, and nothing of it ran meanwhile"
        if approved:
            self._good(f"approved: {still}; now {act.after}")
        else:
            self._good(f"denied: {still}; it was killed, and nothing came of it")

    def _confirmed(self, request: Facts) -> Facts | None:
        now = self._board.requests[str(request["request"])]
        return now if now["outcome"] else None

    def _ask_trail(self, answers: list[Answered]) -> None:
        self._console.rule("[bold]three questions to the trail", style="dim", align="left")
        self._wait_for_trail()
        results = [self._reviewer.ask_trail(question.sql) for question in trail.QUESTIONS]
        for question, result in zip(trail.QUESTIONS, results, strict=True):
            self._console.print(f"\n[bold]{question.words}")
            self._console.print(
                Syntax(question.sql, "sql", background_color="default", word_wrap=True)
            )
            self._console.print(_table(result))
        who, what, without = (result["rows"] for result in results)
        trail.check(answers, who, what, without)
        self._good("the trail says what was answered, and what the host did about it")

    def _wait_for_trail(self) -> None:
        """Wait until the trail has what the host has confirmed; it is read from the same stream."""
        until = time.monotonic() + _TRAIL_S
        sql = "SELECT count(*) FROM requests WHERE outcome IS NOT NULL AND answer IS NOT NULL"
        while self._reviewer.ask_trail(sql)["rows"][0][0] < len(ACTS):
            if time.monotonic() > until:
                raise ProofError(f"after {_TRAIL_S:.0f} s the trail still lacks a decision")
            time.sleep(0.05)

    def _good(self, text: str) -> None:
        self._console.print(f"[green]✓[/green] {text}", highlight=False)


def _table(result: Facts) -> Table:
    table = Table(box=None, pad_edge=False, header_style="cyan")
    for column in result["columns"]:
        table.add_column(column["name"], overflow="fold")
    for row in result["rows"]:
        table.add_row(*("" if value is None else str(value) for value in row))
    return table
