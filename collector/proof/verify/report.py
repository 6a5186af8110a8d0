"""What a check of the trail has found: each thing by table or host, and what could not be told."""

from dataclasses import dataclass, field
from enum import StrEnum


class What(StrEnum):
    """What is wrong with a record."""

    CHANGED = "changed"
    DROPPED = "dropped"
    INSERTED = "inserted"
    REORDERED = "reordered"
    TRUNCATED = "truncated"
    FORGED = "forged"  # signed by a key that is not trusted, or not signed


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `where`: a table, or `events of HOST`; `which`: the record."""

    what: What
    where: str
    which: str

    def __str__(self) -> str:
        return f"{self.what}: {self.where}: {self.which}"


@dataclass(slots=True)
class Report:
    """All that was found. `notes` are no damage: what is not proven, and why."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    figures: dict[str, int] = field(default_factory=dict)
    anchored: str = "unanchored"
    keys: tuple[str, ...] = ()

    def add(self, what: What, where: str, which: str) -> None:
        """Say that something is wrong."""
        self.findings.append(Finding(what, where, which))

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings
