"""[trail.retention] of collector.toml: what falls, and when. Without it nothing does."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from collector.errors import ConfigError
from wire.event_kinds import EventKind

DEFAULT, FOREVER = "default", "forever"
# What a host could not record is told for good.
NEVER = frozenset({EventKind.GAP.value})
_KINDS = tuple(kind.value for kind in EventKind if kind.value not in NEVER)
_HOURS = {"h": 1, "d": 24, "w": 7 * 24, "y": 365 * 24}
_AGE = re.compile(r"([1-9][0-9]{0,4})\s*([hdwy])", re.ASCII)
_LONGEST_H = 100 * _HOURS["y"]
_BYTES = {"MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZE = re.compile(r"([1-9][0-9]{0,5})\s*(MB|GB|TB)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """As it is written: ages by kind, a size in bytes, and how old what falls for size must be."""

    keep: Mapping[str, str] = field(default_factory=dict)
    size_limit: str = ""
    keep_at_least: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What falls: ages in hours by kind (None: never), and a size in bytes (None: any).

    What the size demands falls once it is `at_least` hours old. `text` is the policy as tombstones
    carry it.
    """

    ages: Mapping[str, int | None] = field(default_factory=dict)
    default: int | None = None
    size: int | None = None
    at_least: int = 0
    text: str = "{}"

    def age(self, kind: str) -> int | None:
        """Return after how many hours events of a kind fall by age; None: never."""
        return None if kind in NEVER else self.ages.get(kind, self.default)


def policy_of(settings: Retention, *, place: str) -> Policy | None:
    """Return what is asked for, None if that is nothing; raise ConfigError naming `place`."""
    given = {name: _hours(age, f"{place}.keep.{name}") for name, age in settings.keep.items()}
    _check_kinds(given, f"{place}.keep")
    size = _size(settings.size_limit, f"{place}.size_limit")
    said = settings.keep_at_least
    least = _hours(said, f"{place}.keep_at_least") if said else 0
    if least is None:
        raise ConfigError(f"{place}.keep_at_least: nothing would fall then; leave out size_limit")
    if size is not None and not least:
        raise ConfigError(
            f"{place}.size_limit needs {place}.keep_at_least: without it a flood of new events "
            'would push out all that came before; say how old what falls must be, as "30d"'
        )
    if size is None and least:
        raise ConfigError(
            f"{place}.keep_at_least is about size_limit, which is not set; set that too"
        )
    for name, hours in given.items():
        if hours is not None and hours < least:
            raise ConfigError(
                f"{place}.keep.{name} is {settings.keep[name]}, less than keep_at_least of "
                f"{settings.keep_at_least}; raise the first or lower the second"
            )
    ages = {name: hours for name, hours in given.items() if name != DEFAULT}
    default = given.get(DEFAULT)
    if size is None and default is None and all(hours is None for hours in ages.values()):
        return None
    asked = {
        "keep": dict(settings.keep),
        "size_limit": settings.size_limit,
        "keep_at_least": settings.keep_at_least,
    }
    text = json.dumps({name: said for name, said in asked.items() if said}, sort_keys=True)
    return Policy(ages=ages, default=default, size=size, at_least=least, text=text)


def _check_kinds(given: Mapping[str, object], place: str) -> None:
    for name in given:
        if name in NEVER:
            raise ConfigError(
                f"{place}.{name}: what a host could not record is kept for good; leave it out"
            )
        if name != DEFAULT and name not in _KINDS:
            raise ConfigError(
                f"{place}.{name[:40]} is no kind of event; known: {DEFAULT}, {', '.join(_KINDS)}"
            )


def _hours(text: str, place: str) -> int | None:
    """Return the hours of an age, None for forever."""
    if text == FOREVER:
        return None
    found = _AGE.fullmatch(text)
    hours = int(found[1]) * _HOURS[found[2]] if found else 0
    if not 0 < hours <= _LONGEST_H:
        raise ConfigError(
            f'{place}: {text[:40]!r} is not an age; write hours, days, weeks or years, as "90d", '
            f'100y at most, or "{FOREVER}"'
        )
    return hours


def _size(text: str, place: str) -> int | None:
    if not text:
        return None
    found = _SIZE.fullmatch(text.upper())
    if found is None:
        raise ConfigError(f'{place}: {text[:40]!r} is not a size, for example "50GB"')
    return int(found[1]) * _BYTES[found[2]]
