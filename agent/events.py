"""Observed acts from the kernel's rings into event columns, a batch at a time.

The kernel wakes the reader at the first record after a drain; the drain comes a moment later, so
that one wake-up serves everything that happened meanwhile. An idle host costs nothing.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

from agent.errors import RecordError
from agent.rows import Columns, act_row, gap_row, joined, to_columns
from agent.rulings import Ruled
from agent.sensor.interface import ObservedRow, Sensor
from agent.sensor.records import LATEST_NS, NO_LOGIN, NOT_OVER, ActFields, text
from rules.model import Action
from wire.acts import Act

log = logging.getLogger("holdfast.agent.events")

GATHER_S = 0.02
_AT_ONCE = 8192
_KNOWN_SORTS = 50_000
_UNREAD = "the kernel's records could not be read; run holdfast-agent unload, then start it again"

# Where the fields of struct act stand in a row, behind the head of the ring's record.
_AT = {name: 2 + position for position, name in enumerate(ActFields._fields)}
_SORT_FIELDS = (
    "kind subject transport address_family address port open_flags marks device inode guarantee"
).split()
# What is the same for all acts of one sort, in the order of a template.
_TEMPLATE = (
    "kind subject path device inode flags transport address port guarantee action rule detail"
).split()


class Decider(Protocol):
    """Says what the rules say to an act."""

    @property
    def digest(self) -> str:
        """Digest of the rules in force."""

    def decide(self, act: Act) -> Ruled:
        """Return the ruling."""


class EventPipeline:
    """Drains the sensor's rings whenever there is something, and hands on columns."""

    def __init__(self, sensor: Sensor, rules: Decider, add: Callable[[Columns, int], None]) -> None:
        """`add(columns, count)` takes event rows by column, as wire.events names them."""
        self._sensor = sensor
        self._rules = rules
        self._add = add
        self._sorts: dict[tuple[object, ...], tuple[object, ...] | None] = {}
        self._digest = rules.digest
        self._lost = sensor.losses()
        self._unread = 0  # rows that are no act
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

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
        self.drain()

    def _gather(self) -> None:
        assert self._loop is not None
        self._loop.remove_reader(self._sensor.events_fd())
        self._timer = self._loop.call_later(GATHER_S, self._drain_and_listen)

    def _drain_and_listen(self) -> None:
        assert self._loop is not None
        try:
            more = self.drain() >= _AT_ONCE
        except Exception:  # top of the loop: one bad record must not end the telemetry
            log.exception("observed acts could not be read")
            more = False
        if more:
            self._timer = self._loop.call_soon(self._drain_and_listen)  # type: ignore[assignment]
        else:
            self._loop.add_reader(self._sensor.events_fd(), self._gather)

    def drain(self) -> int:
        """Hand on what the rings hold, up to one batch; return how many records were read."""
        if self._digest != self._rules.digest:
            self._digest = self._rules.digest
            self._sorts.clear()  # what other rules said
        execs = self._sensor.drain_execs(_AT_ONCE)
        rows = self._sensor.drain_acts(_AT_ONCE)
        tables = [self._execs(execs), self._acts(rows), self._gaps()]
        columns = joined(tables)
        count = len(columns["kind"])
        if count:
            self._add(columns, count)
        return max(len(execs), len(rows))

    def _execs(self, acts: list[Act]) -> Columns:
        rows = []
        for act in acts:
            action, rule, detail = self._ruling(act)
            if action is not None:
                rows.append(act_row(act, action=action, rule=rule, detail=detail))
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

    def _acts(self, rows: list[ObservedRow]) -> Columns:
        rows = self._dated(rows)
        if not rows:
            return to_columns([])
        sort_at = [_AT[name] for name in _SORT_FIELDS]
        result_at = _AT["result"]
        kept: list[ObservedRow] = []
        templates: list[tuple[object, ...]] = []
        sorts = self._sorts
        for row in rows:
            sort = (row[-1], row[result_at] < 0, *[row[at] for at in sort_at])
            try:
                template = sorts[sort]
            except KeyError:
                template = self._learn(sort, row)
            if template is not None:
                kept.append(row)
                templates.append(template)
        return self._columns(kept, templates)

    def _dated(self, rows: list[ObservedRow]) -> list[ObservedRow]:
        """Leave out rows whose time no clock shows: one of them would spoil its whole batch."""
        at = _AT["boot_ns"]
        if max((row[at] for row in rows), default=0) < LATEST_NS:
            return rows
        kept = [row for row in rows if row[at] < LATEST_NS]
        self._unread += len(rows) - len(kept)
        return kept

    def _learn(self, sort: tuple[object, ...], row: ObservedRow) -> tuple[object, ...] | None:
        try:
            act = self._sensor.act_of_row(row)
        except RecordError:
            self._unread += 1  # not learned, so that each such row is counted
            return None
        action, rule, detail = self._ruling(act)
        made = act_row(act, action=action, rule=rule, detail=detail)
        template = None if action is None else tuple(made[name] for name in _TEMPLATE)
        if len(self._sorts) >= _KNOWN_SORTS:
            self._sorts.clear()
        self._sorts[sort] = template
        return template

    @staticmethod
    def _columns(rows: list[ObservedRow], templates: list[tuple[object, ...]]) -> Columns:
        count = len(rows)
        columns = to_columns([])
        if not count:
            return columns
        offset = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        for name, values in zip(_TEMPLATE, zip(*templates, strict=True), strict=True):
            columns[name] = list(values)
        by_field = list(zip(*rows, strict=True))
        for name, field in (("pid", "tgid"), ("tid", "tid"), ("uid", "uid"), ("gid", "gid")):
            columns[name] = list(by_field[_AT[field]])
        columns["time_ns"] = [boot + offset for boot in by_field[_AT["boot_ns"]]]
        columns["session"] = [
            f"{pid}-{start}"
            for pid, start in zip(
                by_field[_AT["root_tgid"]], by_field[_AT["root_start_ns"]], strict=True
            )
        ]
        columns["login_uid"] = [
            None if uid == NO_LOGIN else uid for uid in by_field[_AT["login_uid"]]
        ]
        columns["program"] = [text(comm) for comm in by_field[_AT["comm"]]]
        columns["result"] = [
            None if result == NOT_OVER else result for result in by_field[_AT["result"]]
        ]
        columns["count"] = [1] * count
        columns["argv"] = [None] * count
        columns["hold"] = [None] * count
        return columns

    def _gaps(self) -> Columns:
        now = self._sensor.losses()
        before, self._lost = self._lost, now
        unread, self._unread = self._unread, 0
        return to_columns(
            [
                gap_row(time.time_ns(), lost, words)
                for lost, words in (
                    (now.events - before.events, "the kernel's ring was full"),
                    (now.holds - before.holds, "could not be held and were killed"),
                    (now.labels - before.labels, "could not be labelled: killed, or not watched"),
                    (now.unread - before.unread + unread, _UNREAD),
                )
                if lost
            ]
        )
