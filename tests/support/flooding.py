"""A flood of observed acts while ten others are held: what comes of both, as the trail counts."""

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.flood import Flooded, build, command
from tests.support.house import House, Request, house, is_still, place_for_all, wait_still

HOLDS = 10
_ANSWERED_MEANWHILE = 4
_DIFFERENT = 16
_SOCKETS = "holdfast-test-flood-"  # abstract ones, of the flood itself
_ARRIVAL_TRIES = 600


def rules(place: Path, act: str) -> str:
    """Return rules that ask about one program and observe what the flood does."""
    match = {
        "open": f"open: {{path: {place}/flood/**}}",
        "connect": f'connect: {{path: "@{_SOCKETS}*"}}',
    }[act]
    return f"""
rules:
  - id: flood.held
    description: Runs the program that is held while the flood goes on.
    severity: high
    match: {{exec: {{path: {place}/held}}}}
    action: ask
  - id: flood.seen
    description: Does what is done all the time.
    severity: info
    match: {{{match}}}
    action: observe
"""


@dataclass(slots=True)
class Outcome:
    """What one flood came to. Memory in kB; times in ms from the answer to what the host says."""

    flooded: Flooded
    delivered: int = 0  # acts that rows of the trail stand for
    rows: int = 0
    lost: int = 0  # what gap rows stand for
    lost_otherwise: int = 0  # of that, not for want of room in the kernel's ring
    broken: int = 0  # where the chain of batches does not add up
    arrived_s: float = 0.0  # from the end of the flood until all of it was in the trail
    agent_kb: int = 0
    agent_peak_kb: int = 0
    collector_kb: int = 0
    collector_peak_kb: int = 0
    agent_cpu_s: float = 0.0
    before_ms: list[float] = field(default_factory=list)
    during_ms: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        """Return the figures, to be printed."""
        made = self.flooded
        return (
            f"\nflood: {made.acts} acts in {made.elapsed_ns / 1e9:.1f} s, "
            f"{made.a_second:.0f} a second, {made.cpu_ns_each:.0f} ns of CPU each\n"
            f"trail: {self.delivered} in {self.rows} rows, {self.lost} in gaps, "
            f"all there {self.arrived_s:.1f} s after the end\n"
            f"agent: {self.agent_kb} kB, at most {self.agent_peak_kb} kB, "
            f"{self.agent_cpu_s:.1f} s of CPU\n"
            f"collector: {self.collector_kb} kB, at most {self.collector_peak_kb} kB\n"
            f"answer to outcome: {_rounded(self.before_ms)} ms before, "
            f"{_rounded(self.during_ms)} ms during the flood"
        )


def _rounded(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.0f}" for value in values)


class Flood:
    """Ten holds and the flood. Use `run` once."""

    def __init__(self, home: House, place: Path, act: str, different: int) -> None:
        self._home = home
        self._act = act
        self._program = build(place)
        self._held = place / "held"
        shutil.copy("/bin/true", self._held)
        self._names: Sequence[Path | str]
        if act == "open":
            (place / "flood").mkdir()
            self._names = [place / "flood" / str(number) for number in range(different)]
            for file in self._names:
                Path(file).touch()
        else:
            self._names = [f"{_SOCKETS}{number}" for number in range(different)]

    def run(self, *, seconds: int, rate: int = 0, processes: int = 1) -> Outcome:
        """Flood while acts are held; answer some meanwhile, the others afterwards.

        `rate` is of each process; so many do it at once.

        Fails if a hold does not wait, or does not end as it was answered.
        """
        home = self._home
        before_ms = [self._answer(*self._hold(), number) for number in range(2)]
        waiting = [self._hold() for _ in range(HOLDS)]
        what = command(self._program, self._names, seconds=seconds, rate=rate, act=self._act)
        floods = [home.start(what) for _ in range(processes)]
        agent_cpu = _cpu_s(self._agent)
        for flood in floods:
            assert flood.stdin is not None
            flood.stdin.write(b"\n")
            flood.stdin.flush()
        during_ms = []
        for number in range(_ANSWERED_MEANWHILE):
            # The time between two answers; that the flood goes on is what is waited for.
            assert not _ended(floods[0], seconds / (_ANSWERED_MEANWHILE + 2)), (
                "the flood was too short"
            )
            _all_held(waiting)
            during_ms.append(self._answer(*waiting.pop(0), number))
        assert floods[0].poll() is None, "the flood ended before the last answer did"
        flooded = Flooded.together([_said(flood) for flood in floods])
        ended = time.monotonic()
        _all_held(waiting)
        outcome = Outcome(flooded, before_ms=before_ms, during_ms=during_ms)
        outcome.agent_cpu_s = _cpu_s(self._agent) - agent_cpu
        self._count(outcome)
        outcome.arrived_s = time.monotonic() - ended
        outcome.agent_kb, outcome.agent_peak_kb = _memory_kb(self._agent)
        outcome.collector_kb, outcome.collector_peak_kb = _memory_kb(self._collector)
        for number, hold in enumerate(waiting):
            self._answer(*hold, number)
        return outcome

    @property
    def _agent(self) -> int:
        assert self._home.agent is not None
        return self._home.agent.process.pid

    @property
    def _collector(self) -> int:
        assert self._home.centre.collector is not None
        return self._home.centre.collector.process.pid

    def _hold(self) -> tuple[subprocess.Popen[bytes], Request]:
        child = self._home.start([str(self._held)])
        request = self._home.request_of(child)
        wait_still(child)
        return child, request

    def _answer(self, child: subprocess.Popen[bytes], request: Request, number: int) -> float:
        """Answer, by turns yes and no, and see that it comes true; return how long it took (ms)."""
        answer = "deny" if number % 2 else "approve"
        began = time.monotonic()
        settled = self._home.answer(request, answer, "during the flood")
        took = (time.monotonic() - began) * 1000
        assert settled["outcome"] == ("killed" if number % 2 else "released")
        assert child.wait() == (-signal.SIGKILL if number % 2 else 0)
        return took

    def _count(self, outcome: Outcome) -> None:
        """Ask the trail until it has accounted for all, which it must, and never for more."""
        for _ in range(_ARRIVAL_TRIES):
            ((outcome.delivered, outcome.rows, outcome.lost, outcome.lost_otherwise),) = (
                self._home.sql(
                    "SELECT coalesce(sum(count) FILTER (rule = 'flood.seen'), 0)::BIGINT,"
                    " count(*) FILTER (rule = 'flood.seen'),"
                    " coalesce(sum(count) FILTER (kind = 'gap'), 0)::BIGINT,"
                    " coalesce(sum(count) FILTER (kind = 'gap' AND detail <>"
                    "  'gap: the kernel''s ring was full'), 0)::BIGINT FROM events"
                )
            )
            if outcome.delivered + outcome.lost >= outcome.flooded.acts:
                break
            # As in test_main_job: events travel behind, and the trail has no event of its own.
            subprocess.run(["sleep", "0.2"], check=True)
        ((outcome.broken,),) = self._home.sql("SELECT count(*) FROM chain_breaks")


def _said(flood: subprocess.Popen[bytes]) -> Flooded:
    """Wait for the end of a flood; return what it says."""
    assert flood.stdout is not None
    said = Flooded.read(flood.stdout.readline().decode())
    assert flood.wait() == 0
    return said


def _ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _all_held(waiting: Sequence[tuple[subprocess.Popen[bytes], Request]]) -> None:
    assert all(is_still(child.pid) for child, _ in waiting)


def _memory_kb(pid: int) -> tuple[int, int]:
    """Return (resident, highest resident) of a process in kB, as its status says."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return int(status["VmRSS"].split()[0]), int(status["VmHWM"].split()[0])


def _cpu_s(pid: int) -> float:
    """Return the CPU time of a process so far, its own and the kernel's, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


@contextmanager
def flooded_house(
    directory: Path, *, act: str = "open", different: int = _DIFFERENT
) -> Iterator[Flood]:
    """Have a whole Holdfast that awaits the flood of an act (`open`, `connect`), on so many things.

    Opens of a few files fold into few rows. Of some thousands hardly any are read together, so
    each is a row, and what comes after the kernel has as much to do as there are opens.
    """
    with place_for_all() as place, house(directory, rules(place, act)) as home:
        yield Flood(home, place, act, different)
