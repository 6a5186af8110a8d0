"""Observed acts from the kernel's rings into event columns, a slice at a time.

The kernel wakes the reader at the first record after a drain; the drain comes a moment later, so
that one wake-up serves everything that happened meanwhile. An idle host costs nothing. Under a
flood slices follow one another, and between any two the loop serves holds and all else there is.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

from agent.observed import ObservedColumns
from agent.rows import Columns, Row, act_row, gap_row, joined, to_columns
from agent.rulings import Ruled
from agent.sensor.interface import Losses, Observed, Sensor
from rules.model import Action
from wire.acts import Act
from wire.redaction.redactor import Redactor

log = logging.getLogger("holdfast.agent.events")

GATHER_S = 0.02
# Where much is to be read, the ring must not run full meanwhile: it holds 35 ms of a flood.
_GATHER_FLOOD_S = 0.004
_FLOOD = 1024
# A slice is as long as can be read in this time, since nothing else runs meanwhile.
_SLICE_S = 0.004
_LEAST, _MOST = 256, 4096
# An exec takes about as long as this many acts.
_ACTS_AN_EXEC = 16
_CLOSING_SLICES = 1024
_RECORDS = "the kernel could not deliver audit records (auditctl -s: lost)"
_ABSENT = "no audit records came for a while, and nobody was held; the notices say when"
_UNREAD = "the kernel's records could not be read; run holdfast-agent unload, then start it again"


class Decider(Protocol):
    """Says what the rules say to an act."""

    @property
    def digest(self) -> str:
        """Digest of the rules in force."""

    def decide(self, act: Act) -> Ruled:
        """Return the ruling."""


class EventPipeline:
    """Drains the sensor's rings whenever there is something, and hands on columns."""

    def __init__(
        self,
        sensor: Sensor,
        rules: Decider,
        add: Callable[[Columns, int], None],
        redactor: Redactor | None = None,
    ) -> None:
        """`add(columns, count)` takes event rows by column, as wire.events names them."""
        self._redactor = redactor or Redactor()
        self._sensor = sensor
        self._rules = rules
        self._add = add
        self._observed = ObservedColumns(self._row, self._redactor.path)
        self._digest = rules.digest
        self._lost = sensor.told()  # also what was lost while no agent ran is still to be told
        self._at_once = _LEAST
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.Handle | None = None

    def start(self) -> None:
        """Begin to listen on the running loop; also for what was written while nobody did."""
        self._loop = asyncio.get_running_loop()
        self._gather()

    def close(self) -> None:
        """Stop listening, after a last drain."""
        if self._loop is not None:
            self._loop.remove_reader(self._sensor.events_fd())
        if self._timer is not None:
            self._timer.cancel()
        for _ in range(_CLOSING_SLICES):  # more than the rings hold, should a flood go on
            if not self.drain()[1]:
                break

    def _gather(self) -> None:
        self._wait(GATHER_S)

    def _wait(self, seconds: float) -> None:
        assert self._loop is not None
        self._loop.remove_reader(self._sensor.events_fd())
        self._timer = self._loop.call_later(seconds, self._drain_and_listen)

    def _drain_and_listen(self) -> None:
        assert self._loop is not None
        count, more = 0, False
        try:
            count, more = self.drain()
        except Exception:  # top of the loop: one bad record must not end the telemetry
            log.exception("observed acts could not be read")
        if more:
            self._timer = self._loop.call_soon(self._drain_and_listen)
        elif count >= _FLOOD:
            self._wait(_GATHER_FLOOD_S)
        else:
            self._loop.add_reader(self._sensor.events_fd(), self._gather)

    def drain(self) -> tuple[int, bool]:
        """Hand on a slice of what the rings hold; return how many were read, whether more may be.

        Acts that are the same and were read together are one row, which says how many.
        """
        if self._digest != self._rules.digest:
            self._digest = self._rules.digest
            self._observed.forget()  # what other rules said
        began, limit = time.perf_counter(), self._at_once
        execs = self._sensor.drain_execs(limit // _ACTS_AN_EXEC)
        acts = self._sensor.drain_acts(limit)
        lost = self._sensor.losses()
        columns = joined([self._execs(execs), self._observed.of(acts), self._gaps(lost)])
        rows = len(columns["kind"])
        if rows:
            self._add(columns, rows)
        if lost != self._lost:
            self._sensor.tell(lost)
            self._lost = lost
        read = sum(one.times for one in acts)
        more = read >= limit or len(execs) >= limit // _ACTS_AN_EXEC
        if more:
            took = time.perf_counter() - began
            self._at_once = int(min(max(limit * _SLICE_S / took, limit / 2, _LEAST), _MOST))
        return read + len(execs), more

    def _execs(self, acts: list[Act]) -> Columns:
        rows = []
        for act in acts:
            action, rule, detail = self._ruling(act)
            if action is not None:
                # The rules have seen it as it is.
                shown = self._redactor.act(act)
                rows.append(act_row(shown, action=action, rule=rule, detail=detail))
        return to_columns(rows)

    def _ruling(self, act: Act) -> tuple[str | None, str | None, str]:
        """Return (action, rule, detail) for an act that the kernel let pass."""
        ruled = self._rules.decide(act)
        rule = ruled.rule.id if ruled.rule else None
        if ruled.action in (Action.ASK, Action.DENY):
            # Only what did nothing, or what older rules let pass, comes this way.
            failed = act.result is not None and act.result < 0
            detail = "" if failed else f"the rule that says {ruled.action} came into force later"
            return Action.OBSERVE.value, rule, detail
        return ruled.action.value if ruled.action else None, rule, ""

    def _row(self, observed: Observed) -> Row | None:
        act = self._sensor.act_of(observed)
        action, rule, detail = self._ruling(act)
        if action is None:
            return None
        return act_row(self._redactor.act(act), action=action, rule=rule, detail=detail)

    def _gaps(self, now: Losses) -> Columns:
        before = self._lost
        unread, self._observed.unread = self._observed.unread, 0
        return to_columns(
            [
                gap_row(time.time_ns(), lost, words)
                for lost, words in (
                    (now.events - before.events, "the kernel's ring was full"),
                    (now.holds - before.holds, "could not be held and were killed"),
                    (now.labels - before.labels, "could not be labelled: killed, or not watched"),
                    (now.unread - before.unread + unread, _UNREAD),
                    (now.records - before.records, _RECORDS),
                    (now.absences - before.absences, _ABSENT),
                )
                if lost
            ]
        )
