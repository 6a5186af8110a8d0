"""From the facts of a host to everything that doctor says of it. Pure."""

from dataclasses import dataclass

from agent.doctor import doors, modes, needs, people
from agent.doctor.facts import Facts
from agent.doctor.finding import Finding, Level
from agent.doctor.modes import Way

CHECKS = (*needs.CHECKS, *doors.CHECKS, *people.CHECKS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What doctor says. `way` is how this host holds, None if it cannot; `why` is a sentence."""

    facts: Facts
    ways: tuple[Way, ...]
    way: Way | None
    why: str
    findings: tuple[Finding, ...]

    @property
    def problems(self) -> int:
        """How many things must be mended; without any way to hold that is one more."""
        return self.count(Level.PROBLEM) + (self.way is None)

    def count(self, level: Level) -> int:
        """Return how many findings are of a level."""
        return sum(finding.level is level for finding in self.findings)


def examine(facts: Facts) -> Report:
    """Judge a host."""
    found = modes.ways(facts)
    way = modes.chosen(found)
    mode = way.mode if way else None
    return Report(
        facts=facts,
        ways=found,
        way=way,
        why=modes.why(found),
        findings=tuple(check(facts, mode) for check in CHECKS),
    )
