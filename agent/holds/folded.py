"""Denials that come too often: denied all the same, counted, and told together as one event.

Where the kernel can refuse the same call of the same process by itself for a moment, it is told to.
"""

import asyncio
import hashlib
import logging
from dataclasses import dataclass, replace

from agent.errors import AgentError
from agent.holds.intake import over_cap
from agent.holds.model import Doom, Hold, Limit, Voice
from agent.holds.repeats import FIRST_PAUSE_S, LONGEST_PAUSE_S, MINUTE_NS, Repeats, Sort
from agent.holds.settler import Parts
from rules.model import Action
from wire.acts import Act
from wire.targets import target

log = logging.getLogger("holdfast.agent.folded")

_SECOND_NS = 1_000_000_000


@dataclass(slots=True)
class _Tally:
    act: Act  # the last one
    rule: str
    words: str
    count: int = 0
    pause_s: float = FIRST_PAUSE_S


class Folded:
    """Counts what is denied beyond `denials_per_minute`, and tells of it."""

    def __init__(self, parts: Parts) -> None:
        self._p = parts
        self._limit = parts.host.denials_per_minute
        self._repeats = Repeats(self._limit, parts.clock.boot_ns)
        self._tallies: dict[Sort, _Tally] = {}
        self._timers: dict[Sort, asyncio.TimerHandle] = {}
        # What the kernel refuses by itself, by the sensor's name for it.
        self._left: dict[bytes, Sort] = {}
        self.total = 0  # since the agent started

    def is_tired_of(self, hold: Hold, act: Act) -> bool:
        """Return whether this very act was denied too often of late to be asked about again."""
        return self._repeats.is_empty(_of_act(hold, act))

    def denied(self, hold: Hold) -> None:
        """Count an act that a person, or silence, has denied."""
        if hold.act is not None and isinstance(hold.fate, Doom):
            self._repeats.take(_of_act(hold, hold.act))

    def quiet(self, hold: Hold) -> Hold:
        """Return a new hold as it is to be taken up: folded, if it is denied beyond the rate."""
        if not isinstance(hold.fate, Doom):
            return hold
        if hold.capped is not Limit.REPEATS and self._repeats.take(_sort(hold)):
            return hold
        return replace(hold, voice=Voice.QUIET, folded=True)

    def count(self, hold: Hold, act: Act, words: str) -> None:
        """Count one that was denied and not told of; call it once that is journalled."""
        sort = _sort(hold)
        tally = self._tallies.setdefault(sort, _Tally(act, hold.rule, words))
        tally.act, tally.words = act, words
        self._add(sort, tally, 1)
        if isinstance(hold.fate, Doom) and hold.fate.refuse:
            self._leave_to_kernel(hold, sort)
        if sort not in self._timers:
            self._later(sort, tally)

    def tell_all(self) -> None:
        """Tell of all now, and let the kernel refuse nothing by itself any more: rules changed."""
        self._collect(everything=True)
        for sort in list(self._tallies):
            self._tell(sort)

    def close(self) -> None:
        """Tell what is counted, and nothing more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self.tell_all()

    def _leave_to_kernel(self, hold: Hold, sort: Sort) -> None:
        pause_ns = max(_SECOND_NS, MINUTE_NS // self._limit)
        try:
            name = self._p.sensor.refuse_again(hold.key, self._p.clock.boot_ns() + pause_ns)
        except (AgentError, OSError):  # then each time is a hold, as ever
            log.exception("hold %s cannot be left to the kernel", hold.id)
            return
        if name is not None:
            self._left[name] = sort

    def _collect(self, *, everything: bool = False) -> None:
        try:
            found = self._p.sensor.refused_again(everything=everything)
        except (AgentError, OSError):  # what it refuses ends by itself
            log.exception("what the kernel has refused by itself is counted later")
            return
        for name, count in found:
            sort = self._left.pop(name, None)
            tally = self._tallies.get(sort) if sort is not None else None
            if sort is not None and tally is not None:
                self._add(sort, tally, count)
            elif count:  # of an earlier run
                self.total += count
                self._p.report.notice(
                    "denied_again",
                    f"{count} calls that an earlier run of the agent had refused were made again, "
                    "and the kernel refused them",
                )

    def _add(self, sort: Sort, tally: _Tally, count: int) -> None:
        tally.count += count
        self.total += count
        if count and tally.count == count and tally.pause_s == FIRST_PAUSE_S:
            log.warning("%r: denials by %s come too often to be told one by one", *sort[:2])

    def _later(self, sort: Sort, tally: _Tally) -> None:
        loop = asyncio.get_running_loop()
        self._timers[sort] = loop.call_later(tally.pause_s, self._paused, sort)
        tally.pause_s = min(2 * tally.pause_s, LONGEST_PAUSE_S)

    def _paused(self, sort: Sort) -> None:
        del self._timers[sort]
        self._collect()
        told = self._tell(sort)
        tally = self._tallies[sort]
        if told or sort in self._left.values():
            self._later(sort, tally)
        else:
            del self._tallies[sort]

    def _tell(self, sort: Sort) -> bool:
        """Write one event for what was counted since the last; return whether that is anything."""
        tally = self._tallies[sort]
        if not tally.count:
            return False
        more = f"{tally.count} alike" if tally.count > 1 else "1"
        self._p.report.held(
            tally.act,
            action=Action.DENY.value,
            rule=tally.rule or None,
            hold=None,
            detail=f"{tally.words}; {more} beyond {self._limit} denials a minute, told as one: "
            "this is the last that the agent has seen",
            count=tally.count,
        )
        tally.count = 0
        return True


def tired(hold: Hold) -> Hold:
    """Return the hold of an act that nobody is asked about again."""
    return over_cap(hold, Limit.REPEATS)


def _sort(hold: Hold) -> Sort:
    return Sort(hold.subject, hold.rule, hold.capped.value if hold.capped else "")


def _of_act(hold: Hold, act: Act) -> Sort:
    what = hashlib.blake2b(f"{act.kind.value}: {target(act)}".encode(), digest_size=16)
    return Sort(hold.subject, hold.rule, what.hexdigest())
