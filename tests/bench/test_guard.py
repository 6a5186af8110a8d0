"""Who lets a held process run on, and how far it gets: by what stands against it.

No times here, but counts: how many of so many held processes got past their act.
"""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.freezer import Freezer
from agent.release import ProcessId
from agent.sensor import programs
from agent.sensor.labels import cgroup_mount
from tests.bench.measures import digits, spread
from tests.bench.page import Section, Table
from tests.bench.report import Report
from tests.bench.sizes import Sizes
from tests.support.accounts import Accounts
from tests.support.watched import PINS, Watched, subreaper

SECTION = Section("guard", "Who lets a held process run on")

RULES = """
rules:
  - id: program
    description: The victim that creates.
    severity: high
    match: { exec: { path: "{place}/creator" } }
    action: ask
  - id: secret
    description: What the victim that reads opens.
    severity: high
    match: { open: { path: "{place}/secret" } }
    action: ask
"""
ATTACKS = {
    "SIGCONT fifty times, later": ("later", 0),
    "SIGCONT as soon as it stops": ("at-once", 0),
    "the same, by a parent that ignores SIGCHLD": ("at-once", 1),
    "a flood of SIGCONT from before the act": ("flood", 0),
    "the same, by a parent that ignores SIGCHLD ": ("flood", 1),
}
# Whether the programs of the guard are attached, and whether the agent freezes.
LAYERS = {
    "the stop alone": (False, False),
    "and frozen": (False, True),
    "and stopped again, killed": (True, False),
    "all": (True, True),
}
VICTIMS = {"a command": "creates", "an opened file": "reads"}


@dataclass(frozen=True, slots=True)
class _Try:
    got_on: bool
    frozen_after_ns: int | None


def test_how_far_a_held_process_gets(people: Accounts, sizes: Sizes, report: Report) -> None:
    """Each attack against each set of layers, in turns."""
    counts: dict[tuple[str, str, str], list[_Try]] = {}
    with _guarded(people) as watched:
        for _ in range(sizes.guard_rounds):
            for layers in LAYERS:
                with _layers(layers):
                    for attack in ATTACKS:
                        for victim in VICTIMS:
                            tried = counts.setdefault((attack, victim, layers), [])
                            tried.append(_one(watched, attack, victim, layers))
    rows = []
    for attack in ATTACKS:
        for victim in VICTIMS:
            tries = [counts[attack, victim, layers] for layers in LAYERS]
            cells = [f"{sum(one.got_on for one in some)} of {len(some)}" for some in tries]
            rows.append((f"{attack.strip()}; {victim}", *cells))
    heads = ("Attack; what is held", *LAYERS)
    found = [one.frozen_after_ns for some in counts.values() for one in some]
    after = spread([ns / 1000 for ns in found if ns is not None])
    window = (digits(after.least), digits(after.median), digits(after.high), digits(after.most))
    report.publish(
        SECTION,
        [
            Table("Held processes that got past their act", heads, rows),
            Table(
                "From the stop until it is in the frozen cgroup, under these attacks",
                ("", "Least µs", "Median µs", "Third quartile µs", "Most µs"),
                [("processes", *window)],
            ),
        ],
    )


@contextmanager
def _guarded(people: Accounts) -> Iterator[Watched]:
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as name, subreaper():
        place = Path(name)
        place.chmod(0o777)
        source = Path(__file__).with_name("resume.c")
        command = ["gcc", "-O2", "-static", "-o", str(place / "attacker"), str(source)]
        subprocess.run(command, check=True)
        for victim in ("creator", "reader"):
            shutil.copy(place / "attacker", place / victim)
        (place / "secret").write_text("swordfish")
        programs.unload(PINS)
        watched = Watched(people, place)
        try:
            watched.start()
            watched.rules(RULES)
            watched.begin()
            yield watched
        finally:
            watched.clean()
            watched.unload()


@contextmanager
def _layers(name: str) -> Iterator[None]:
    attached, _ = LAYERS[name]
    if not attached:
        (PINS / "links" / "on_signal").unlink()
    try:
        yield
    finally:
        if not attached:
            programs.attach_one(PINS, "on_signal", "signal_generate")


def _one(watched: Watched, attack: str, victim: str, layers: str) -> _Try:
    how, deaf = ATTACKS[attack]
    got_on = watched.place / "got-on"
    got_on.unlink(missing_ok=True)
    what = {
        "creates": [str(watched.place / "creator"), "creates", str(got_on)],
        "reads": [
            str(watched.place / "reader"),
            "reads",
            str(watched.place / "secret"),
            str(got_on),
        ],
    }[VICTIMS[victim]]
    attacker = watched.run([str(watched.place / "attacker"), how, str(deaf), *what])
    pid = int(attacker.line())
    act = watched.next_hold(pid).act
    freezer = Freezer(cgroup_mount(), "holdfast-test")
    process, after = ProcessId(pid, act.process.start_ns), None
    if LAYERS[layers][1] and freezer.freeze(process):
        after = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - act.boot_ns
    assert attacker.line() == "done"
    tried = _Try(got_on.exists(), after)
    watched.end_started()
    freezer.drop(process)
    freezer.sweep()
    return tried
