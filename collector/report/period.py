"""From when to when a report goes, and SQL for it: the same text that a reader can run again."""

import datetime as dt
from dataclasses import dataclass
from string import Template

_DAY_NS = 86_400 * 10**9
# What several questions say alike, by its name behind a $.
_PHRASES = {
    "held": "opened_ns >= $from_ns AND opened_ns < $to_ns",
    "decided": "d.time_ns >= $from_ns AND d.time_ns < $to_ns",
    "received": "received_ns >= $from_ns AND received_ns < $to_ns",
    "when": (
        '"when" >= make_timestamp($from_ns // 1000) AND "when" < make_timestamp($to_ns // 1000)'
    ),
    "begun": (
        "strftime(date_trunc('$step', make_timestamp(opened_ns // 1000)), '%Y-%m-%dT%H:%M:%SZ')"
    ),
    "seconds": "greatest(decided_ns - opened_ns, 0) / 1e9",
    "row": (
        "make_timestamp(opened_ns // 1000) AS opened, host_name AS host, subject, kind, what,\n"
        "       rule, state, decided_by, decision_reason AS reason"
    ),
}


@dataclass(frozen=True, slots=True)
class Period:
    """From `from_ns` on and before `to_ns`, nanoseconds since the epoch."""

    from_ns: int
    to_ns: int

    def __post_init__(self) -> None:
        if self.from_ns >= self.to_ns:
            raise ValueError("it ends before it begins")

    @property
    def days(self) -> float:
        """How long it is, in days."""
        return (self.to_ns - self.from_ns) / _DAY_NS

    @property
    def step(self) -> str:
        """What charts over time count by: SQL's word for it."""
        return "hour" if self.days <= 3 else "day"

    def words(self) -> str:
        """Return it for people, in UTC."""
        return f"{_moment(self.from_ns)} to {_moment(self.to_ns)} UTC"

    def sql(self, text: str) -> str:
        """Return SQL with the phrases and the period put in, so that anybody can run it."""
        whole = Template(text).safe_substitute(_PHRASES)
        filled = Template(whole).substitute(from_ns=self.from_ns, to_ns=self.to_ns, step=self.step)
        return filled.strip()


def _moment(time_ns: int) -> str:
    moment = dt.datetime.fromtimestamp(time_ns // 10**9, dt.UTC)
    return moment.strftime("%Y-%m-%d %H:%M")
