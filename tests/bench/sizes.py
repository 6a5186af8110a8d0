"""How much the bench measures: the one place where numbers of rounds and operations are set.

`HOLDFAST_BENCH=small` takes sizes that only show that everything runs; such a run prints its
tables and leaves the page alone. `HOLDFAST_BENCH_EVENTS` is how many events the made trail has.
"""

import os
from dataclasses import dataclass, replace

VARIABLE = "HOLDFAST_BENCH"
TRAIL_VARIABLE = "HOLDFAST_BENCH_EVENTS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """One set of sizes. Times are in seconds unless the name says otherwise."""

    # What a process pays: rounds, and how often each operation is done in one.
    cost_rounds: int
    getppid: int
    opens: int
    spawns: int
    connects: int
    signals: int
    sources: int  # C files that the compile is of
    # Latency: rounds of each number of open holds, and answered holds in one.
    latency_rounds: int
    latency_holds: int
    open_holds: tuple[int, ...]
    # Approvals: rounds of each way to be asked, holds in one; and a crowd that is decided at once.
    approval_rounds: int
    approval_holds: int
    crowd_rounds: int
    crowd: int
    # Events: floods at each rate a second (0: as fast as it goes).
    flood_rounds: int
    flood_rates: tuple[int, ...]
    flood_ms: int
    idle_s: float
    guard_rounds: int  # of each attack against each set of layers
    capacity_rounds: int
    capacity_s: int  # of a flood of rows
    # The trail: events of one that is made, days and times that each view is asked for, events of
    # a flood of messages and its rounds.
    trail_events: int
    trail_days: int
    trail_whole: int
    ingest_events: int
    ingest_rounds: int
    # The same events in other programs: how many, how many in an audit log, rounds of questions.
    rival_events: int
    rival_audit_events: int
    rival_rounds: int
    page: bool  # whether the page is written


FULL = Sizes(
    cost_rounds=8,
    getppid=1_000_000,
    opens=40_000,
    spawns=400,
    connects=6_000,
    signals=200_000,
    sources=36,
    latency_rounds=4,
    latency_holds=60,
    open_holds=(1, 100),
    approval_rounds=4,
    approval_holds=40,
    crowd_rounds=5,
    crowd=1_000,
    flood_rounds=3,
    flood_rates=(10_000, 50_000, 100_000, 200_000, 0),
    flood_ms=4_000,
    idle_s=30.0,
    guard_rounds=10,
    capacity_rounds=7,
    capacity_s=12,
    trail_events=100_000_000,
    trail_days=20,
    trail_whole=5,
    ingest_events=1_000_000,
    ingest_rounds=5,
    rival_events=5_000_000,
    rival_audit_events=1_000_000,
    rival_rounds=5,
    page=True,
)

SMALL = Sizes(
    cost_rounds=2,
    getppid=20_000,
    opens=1_000,
    spawns=20,
    connects=200,
    signals=5_000,
    sources=2,
    latency_rounds=1,
    latency_holds=3,
    open_holds=(1, 5),
    approval_rounds=1,
    approval_holds=3,
    crowd_rounds=1,
    crowd=20,
    flood_rounds=1,
    flood_rates=(2_000, 0),
    flood_ms=500,
    idle_s=1.0,
    guard_rounds=1,
    capacity_rounds=1,
    capacity_s=5,
    trail_events=200_000,
    trail_days=2,
    trail_whole=1,
    ingest_events=20_000,
    ingest_rounds=1,
    rival_events=20_000,
    rival_audit_events=5_000,
    rival_rounds=1,
    page=False,
)


def chosen() -> Sizes:
    """Return the sizes of this run."""
    asked = os.environ.get(VARIABLE, "full")
    try:
        sizes = {"full": FULL, "small": SMALL}[asked]
    except KeyError:
        raise ValueError(f"{VARIABLE}={asked}: is neither full nor small") from None
    wanted = os.environ.get(TRAIL_VARIABLE)
    return replace(sizes, trail_events=int(wanted)) if wanted else sizes
