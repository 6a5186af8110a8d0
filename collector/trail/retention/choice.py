"""Which events fall now: by the policy, and by what the files have of each kind and hour. Pure.

What counts is when the collector took a batch in, by its own clock: no wrong clock of a host has
its events fall early, or stay for good.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from collector.trail.retention.settings import NEVER, Policy

HOUR_NS = 3600 * 10**9
# Ages of a week and more count in whole days, so that a file is written again once a day at most.
_DAY, _WEEK = 24, 7 * 24
# So much less than the limit is left, or the next events would be over it again.
_SPARE = 0.05


class Reason(StrEnum):
    """Why events fall."""

    AGE = "age"
    SIZE = "size"


@dataclass(frozen=True, slots=True)
class Part:
    """The events of one kind in a file that were received in one hour (since 1970)."""

    kind: str
    hour: int
    rows: int


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file has."""

    file: str
    bytes: int
    parts: tuple[Part, ...]

    @property
    def rows(self) -> int:
        """How many events."""
        return sum(part.rows for part in self.parts)


@dataclass(frozen=True, slots=True)
class Cut:
    """What was received before an hour falls: for its age by its kind, for size whatever it is."""

    policy: Policy
    ages: Mapping[str, int] = field(default_factory=dict)
    size: int = 0

    def reason(self, kind: str, hour: int) -> Reason | None:
        """Return why events of a kind and an hour fall, None if they stay."""
        return next((one for one in Reason if hour < self.before(kind, one)), None)

    def before(self, kind: str, reason: Reason) -> int:
        """Return the hour before which events of a kind fall for a reason; 0: none do."""
        if kind in NEVER or not kind:  # a tombstone without a kind is of all of them
            return 0
        return self.ages.get(kind, 0) if reason is Reason.AGE else self.size

    def kept_hours(self, kind: str, reason: Reason) -> int:
        """Return how old the policy wants events of a kind to be that fall for a reason."""
        if reason is Reason.SIZE:
            return self.policy.at_least
        return self.policy.age(kind) or 0


def cut_of(policy: Policy, contents: Sequence[Contents], now_ns: int) -> Cut:
    """Return what falls now; nothing that is younger than the policy wants it to be."""
    kinds = {part.kind for one in contents for part in one.parts}
    ages = {
        kind: _before(now_ns, hours)
        for kind in sorted(kinds)
        if (hours := policy.age(kind)) is not None
    }
    by_age = Cut(policy, ages)
    return Cut(policy, ages, _size_hour(by_age, contents, now_ns))


def files_of(cut: Cut, contents: Sequence[Contents]) -> list[tuple[str, Reason]]:
    """Return the files that something falls from, and why; those first that fall as a whole.

    A file may come twice, first for age. What falls as a whole needs no room on the disk.
    """
    found: list[tuple[bool, Reason, str]] = []
    for one in contents:
        reasons = [cut.reason(part.kind, part.hour) for part in one.parts]
        found += [
            (any(reason is not wanted for reason in reasons), wanted, one.file)
            for wanted in Reason
            if wanted in reasons
        ]
    # `age` is before `size` by its letters too.
    return [(file, reason) for _, reason, file in sorted(found)]


def _before(now_ns: int, hours: int) -> int:
    """Return the hour before which what was received has an age."""
    grain = _DAY if hours >= _WEEK else 1
    return (now_ns // HOUR_NS - hours) // grain * grain


def _size_hour(by_age: Cut, contents: Sequence[Contents], now_ns: int) -> int:
    """Return the hour before which all must fall for the files to be small enough; 0: none must."""
    policy = by_age.policy
    if policy.size is None:
        return 0
    left: dict[int, float] = {}
    total = 0.0
    for one in contents:
        each = one.bytes / one.rows if one.parts else 0.0
        for part in one.parts:
            if by_age.reason(part.kind, part.hour) is not None:
                continue
            total += part.rows * each
            if part.kind not in NEVER:
                left[part.hour] = left.get(part.hour, 0.0) + part.rows * each
    if total <= policy.size:
        return 0
    floor = _before(now_ns, policy.at_least)
    last = 0
    for hour in sorted(left):
        if hour >= floor or total <= policy.size * (1 - _SPARE):
            break
        total -= left[hour]
        last = hour + 1
    return last
