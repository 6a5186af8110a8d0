"""An AI session at its limit as one line above the inbox: the same texts for the page and live."""

from dataclasses import dataclass

from collector.approvals.capped import Capped
from collector.capped_card import render_capped
from collector.identity.hosts import HostNames


@dataclass(frozen=True, slots=True, kw_only=True)
class CappedRow:
    """One line; every text is safe to show. `over`: it is to be taken away."""

    id: str
    href: str = ""
    title: str = ""
    line: str = ""
    severity: str = "info"
    over: bool = False


def capped_row(capped: Capped, names: HostNames) -> CappedRow:
    """Return the line of a session, under the enrolled name of its host."""
    card = render_capped(capped, names.name(capped.of.host, capped.of.host_name))
    return CappedRow(
        id=capped.name,
        href=f"/sessions/{capped.name}",
        title=card.title,
        line=card.state_line,
        severity=card.severity,
    )
