"""Floods a whole Holdfast with events, and says what became of each and what it cost."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bench import home, workloads
from tests.bench.home import Files
from tests.bench.measures import interleaved
from tests.bench.sizes import Sizes
from tests.support.accounts import Accounts
from tests.support.house import House
from tests.support.usage import Usage, reset_peak, usage

PROCESSES = ("agent", "nats-server", "collector")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """One flood. Each event that was made is in the trail or in one of the counts of losses."""

    rate: int  # asked for, a second; 0: as fast as it goes
    made: int
    made_s: float
    lost_in_kernel: int
    lost_on_host: int  # by the spool
    stored: int
    stored_s: float  # from the first event until the last was in the trail
    used: Mapping[str, Usage]  # processor time of this flood; memory at its end


@dataclass(frozen=True, slots=True)
class Watched:
    """Everything that one Holdfast showed while it had nothing to do, and while it had much."""

    idle_s: float
    idle: Mapping[str, Usage]  # processor time of that while; memory at its end
    floods: list[Flood]


def watched(place: Path, people: Accounts, files: Files, sizes: Sizes) -> Watched:
    """Start a Holdfast, leave it alone for a while, then flood it at each rate in turn."""
    with home.home(place, people, files) as house, home.loaded(house):
        # An event, so that everything has been used once.
        workloads.run(people.watched, _opens(files, 1), temporary=place)
        home.wait_in_trail(house, files.observed, lambda count: count == 1)
        before = _usage(house)
        # This much time without work is what is measured.
        time.sleep(sizes.idle_s)
        idle = _since(before, house)
        floods = [
            _flood(house, people, files, rate, sizes.flood_ms)
            for rate in interleaved(sizes.flood_rounds, sizes.flood_rates)
        ]
    return Watched(sizes.idle_s, idle, floods)


def _opens(files: Files, count: int) -> list[str]:
    return [str(files.program), "open", str(files.observed), str(count)]


def _flood(house: House, people: Accounts, files: Files, rate: int, milliseconds: int) -> Flood:
    for pid in _pids(house).values():
        reset_peak(pid)
    before, stored, kernel, gaps = (
        _usage(house),
        home.in_trail(house, files.observed),
        home.lost(house),
        _gaps(house),
    )
    began_ns = time.time_ns()
    command = [str(files.program), "flood", str(files.observed), str(rate), str(milliseconds)]
    with home.explained(house):
        made, made_ns = workloads.run(people.watched, command, temporary=files.directory)
    lost_in_kernel = home.lost(house) - kernel

    def complete(count: int) -> bool:
        return count - stored + lost_in_kernel + _dropped(house, gaps, lost_in_kernel) == made

    now = home.wait_in_trail(house, files.observed, complete)
    return Flood(
        rate=rate,
        made=made,
        made_s=made_ns / 1e9,
        lost_in_kernel=lost_in_kernel,
        lost_on_host=_dropped(house, gaps, lost_in_kernel),
        stored=now - stored,
        stored_s=(_last_stored_ns(house) - began_ns) / 1e9,
        used=_since(before, house),
    )


def _dropped(house: House, gaps: int, lost_in_kernel: int) -> int:
    """Return how many events the gaps since then name besides those that the kernel lost."""
    return _gaps(house) - gaps - lost_in_kernel


def _gaps(house: House) -> int:
    rows = house.sql("SELECT coalesce(sum(count), 0) FROM events WHERE kind = 'gap'")
    return int(rows[0][0])


def _last_stored_ns(house: House) -> int:
    return int(house.sql("SELECT max(received_ns) FROM batches")[0][0])


def _pids(house: House) -> dict[str, int]:
    children = (house.agent, house.centre.nats, house.centre.collector)
    return {
        name: child.process.pid
        for name, child in zip(PROCESSES, children, strict=True)
        if child is not None
    }


def _usage(house: House) -> dict[str, Usage]:
    return {name: usage(pid) for name, pid in _pids(house).items()}


def _since(before: Mapping[str, Usage], house: House) -> dict[str, Usage]:
    return {
        name: Usage(now.cpu_s - before[name].cpu_s, now.resident, now.peak)
        for name, now in _usage(house).items()
    }
