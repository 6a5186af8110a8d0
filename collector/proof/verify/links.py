"""Checks the chain of each host: every batch follows from the one before, or that was known."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

from collector.proof.checkpoint import HostState, canonical
from collector.proof.verify.report import Report, What
from collector.proof.verify.source import Source
from wire.chain import NOTHING_BEFORE, ROWS

_BATCHES = """
SELECT host, sequence, first, count, previous, chain, last_event_ns, gap_events, chain_version,
       groups, received_ns
FROM batches ORDER BY host, sequence, chain
"""


@dataclass(frozen=True, slots=True)
class Batch:
    """A row of batches. `leaves`: by kind, how many events, and the digest over them."""

    host: str
    sequence: int
    first: int
    count: int
    chain: str
    leaves: dict[str, tuple[int, str]]
    checkable: bool  # whether its events give its leaves
    forked: bool  # whether there is another one of its number
    received_ns: int


@dataclass(slots=True)
class _Before:
    """The batches of a host with the newest sequence so far."""

    host: str = ""
    sequence: int = 0
    next_event: int = 1
    chains: tuple[str, ...] = (NOTHING_BEFORE,)


def batches_of(source: Source, newest: dict[str, HostState], report: Report) -> Iterator[Batch]:
    """Yield every batch, by host and sequence; what does not fit is said on the way.

    `newest`: what the checkpoints say is in the chain of each host.
    """
    breaks = _breaks(source)
    wanted = dict(newest)
    before = _Before()
    for row in source.query(_BATCHES):
        host, sequence, first, count, previous, chain, last_ns, gaps, version, groups, at = row
        place, known = f"events of {host}", breaks.get((host, sequence), set())
        if host != before.host:
            before = _Before(host)
        state = wanted.get(host)
        if state is not None and (state.sequence, state.chain) == (sequence, chain):
            del wanted[host]
        said = _misfit(before, sequence, first, previous, known)
        if said is not None:
            report.add(said[0], place, said[1])
        leaves = _leaves(groups)
        if version == ROWS:
            head = ("holdfast chain 2", host, sequence, first, count, previous, gaps, last_ns)
            parts = [[kind, *leaf] for kind, leaf in leaves.items()]
            made = hashlib.sha256(canonical([*head, parts])).hexdigest()
            if made != chain or sum(size for size, _ in leaves.values()) != count:
                report.add(What.CHANGED, place, f"the row of batch {sequence} in batches")
        again = sequence == before.sequence
        forked = again or "fork" in known
        checkable = version == ROWS and not forked and "unknown_columns" not in known
        yield Batch(host, sequence, first, count, chain, leaves, checkable, forked, at)
        chains = (*before.chains, chain) if again else (chain,)
        before = _Before(host, sequence, first + count, chains)
    for state in wanted.values():
        which = f"batch {state.sequence} is signed, and is not there as it was"
        report.add(What.DROPPED, f"events of {state.host}", which)


def _misfit(
    before: _Before, sequence: int, first: int, previous: str, known: set[str]
) -> tuple[What, str] | None:
    """Return what is wrong with a batch after the one before, unless that was seen on arrival."""
    if sequence == before.sequence:
        return None if "fork" in known else (What.INSERTED, f"a second batch {sequence}")
    if sequence > before.sequence + 1:
        missing = f"batches {before.sequence + 1} to {sequence - 1} are missing"
        return None if "gap" in known else (What.DROPPED, missing)
    if "broken" in known:
        return None
    if previous not in before.chains:
        return What.CHANGED, f"batch {sequence} does not follow from batch {before.sequence}"
    if first != before.next_event and len(before.chains) == 1:
        return What.CHANGED, f"batch {sequence} starts at event {first}, not {before.next_event}"
    return None


def _leaves(groups: str) -> dict[str, tuple[int, str]]:
    """Return what the column says; nothing if it cannot be read, which its link then shows."""
    try:
        return {str(kind): (int(count), str(leaf)) for kind, count, leaf in json.loads(groups)}
    except (ValueError, TypeError):
        return {}


def _breaks(source: Source) -> dict[tuple[str, int], set[str]]:
    found: dict[tuple[str, int], set[str]] = {}
    for host, sequence, kind in source.query("SELECT host, sequence, kind FROM chain_breaks"):
        found.setdefault((host, sequence), set()).add(kind)
    return found
