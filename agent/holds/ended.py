"""Acts whose process was gone before it could be stopped: nobody can be asked, so it is recorded.

A process that does this in a loop must not bury the trail in notices; its acts are all there.
"""

from collections.abc import Callable
from typing import Protocol

from agent.rulings import Ruled
from rules.model import Action
from wire.acts import Act
from wire.ids import HoldId

_MOST_SESSIONS = 4096


class Report(Protocol):
    """Where it is recorded."""

    def held(
        self, act: Act, *, action: str | None, rule: str | None, hold: HoldId | None, detail: str
    ) -> None:
        """Record one act."""

    def notice(self, name: str, words: str) -> None:
        """Record something that the host itself has to say."""


class Ended:
    """Records them, and says so at the first of a session, the tenth, the hundredth and so on."""

    def __init__(self, judge: Callable[[Act], Ruled], report: Report) -> None:
        self._judge = judge
        self._report = report
        self._counts: dict[str, int] = {}

    def note(self, act: Act) -> None:
        """Record an act, if any rule is about it."""
        ruled = self._judge(act)
        if ruled.action is None or ruled.rule is None:
            return
        detail = ""
        if ruled.action in (Action.ASK, Action.DENY):
            detail = "not stopped: its process had ended before the report of it came"
            self._count(act, ruled.action)
        self._report.held(
            act, action=ruled.action.value, rule=ruled.rule.id, hold=None, detail=detail
        )

    def _count(self, act: Act, action: Action) -> None:
        if len(self._counts) >= _MOST_SESSIONS:
            self._counts.clear()
        count = self._counts[act.session] = self._counts.get(act.session, 0) + 1
        if str(count).strip("0") == "1":
            self._report.notice(
                "not_stopped",
                f"session {act.session}: {count} acts that a rule wants to {action} had happened, "
                "and their processes had ended, before anybody could be stopped",
            )
