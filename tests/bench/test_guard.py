"""Who lets a held process run on, and how far it gets: by what stands against it.

No times here, but counts: how many of so many held processes got past their act, and how many
made a system call more.
"""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
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
from tests.support.loading import run_loader
from tests.support.tiny_elf import write_creator_of_two
from tests.support.watched import PINS, Watched, subreaper

SECTION = Section("guard", "Who lets a held process run on")

RULES = """
rules:
  - id: program
    description: The victims that are held as they start.
    severity: high
    match: { exec: { path: ["{place}/creator", "{place}/tiny"] } }
    action: ask
  - id: secret
    description: What the victims that are held at an open open.
    severity: high
    match: { open: { path: "{place}/secret" } }
    action: ask
"""
# What the attacker is told, and whether it ignores SIGCHLD.
ATTACKS = {
    "SIGCONT fifty times, later": ("later", 0),
    "SIGCONT as soon as it stops": ("at-once", 0),
    "the same, by a parent that ignores SIGCHLD": ("at-once", 1),
    "a flood of SIGCONT from before the act": ("flood", 0),
    "the same flood, by a parent that ignores SIGCHLD": ("flood", 1),
}
FLOODS = [attack for attack, (how, _) in ATTACKS.items() if how == "flood"]
AGAIN, KILLED = "STOPS_AGAIN", "KILLS_FOR_RUNNING"
# What the programs do without, and whether the agent freezes.
LAYERS: dict[str, tuple[Sequence[str], bool]] = {
    "the stop alone": ((AGAIN, KILLED), False),
    "and frozen": ((AGAIN, KILLED), True),
    "and stopped again": ((KILLED,), False),
    "and killed": ((AGAIN,), False),
    "all": ((), True),
}
# A program and its arguments, in the directory of the run.
VICTIMS = {
    "a command": ("creator", "creates", "first"),
    "an opened file": ("reader", "reads", "secret", "first"),
}
# Their very next system calls make a file each, so one that is made shows outside.
ACTING = {
    "a command": ("tiny",),
    "an opened file": ("reader", "acts", "secret", "first", "second"),
}
FILES = ("first", "second")


@dataclass(frozen=True, slots=True)
class _Try:
    made: int  # of FILES
    frozen_after_ns: int | None


Counts = dict[tuple[str, str, str], list[_Try]]


def test_how_far_a_held_process_gets(people: Accounts, sizes: Sizes, report: Report) -> None:
    """Each attack against each set of layers, in turns."""
    past: Counts = {}
    calls: Counts = {}
    with _prepared(people) as watched:
        for _ in range(sizes.guard_rounds):
            for layers in LAYERS:
                with _loaded(watched, layers):
                    _tries(watched, layers, ATTACKS, VICTIMS, past)
                    _tries(watched, layers, FLOODS, ACTING, calls)
    report.publish(SECTION, [_past(past), _calls(calls), _moment([past, calls])])


def _tries(
    watched: Watched,
    layers: str,
    attacks: Sequence[str] | Mapping[str, object],
    victims: Mapping[str, Sequence[str]],
    counts: Counts,
) -> None:
    for attack in attacks:
        for victim, words in victims.items():
            tried = counts.setdefault((attack, victim, layers), [])
            tried.append(_one(watched, attack, words, layers))


def _past(counts: Counts) -> Table:
    rows = [
        (f"{attack}; {victim}", *_cells(counts, attack, victim, 1))
        for attack in ATTACKS
        for victim in VICTIMS
    ]
    return Table("Held processes that got past their act", ("Attack; what is held", *LAYERS), rows)


def _calls(counts: Counts) -> Table:
    rows = [
        (f"{attack}; {victim}; {which}", *_cells(counts, attack, victim, made))
        for attack in FLOODS
        for victim in ACTING
        for made, which in enumerate(("the next call", "the call after that"), 1)
    ]
    heads = ("Attack; what is held; which call", *LAYERS)
    return Table("Held processes whose next system calls had their effect", heads, rows)


def _cells(counts: Counts, attack: str, victim: str, made: int) -> list[str]:
    """Return, by layers, how many of how many processes made so many files or more."""
    tries = [counts[attack, victim, layers] for layers in LAYERS]
    return [f"{sum(one.made >= made for one in some)} of {len(some)}" for some in tries]


def _moment(every: Sequence[Counts]) -> Table:
    tries = [one for counts in every for some in counts.values() for one in some]
    after = [one.frozen_after_ns for one in tries]
    window = spread([ns / 1000 for ns in after if ns is not None])
    return Table(
        "From the stop until it is in the frozen cgroup, under these attacks",
        ("", "Least µs", "Median µs", "Third quartile µs", "Most µs"),
        [
            (
                "processes",
                *map(digits, (window.least, window.median, window.high, window.most)),
            )
        ],
    )


@contextmanager
def _prepared(people: Accounts) -> Iterator[Watched]:
    """Have the attacker, its victims and their files, and nothing loaded yet."""
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as name, subreaper():
        place = Path(name).resolve()
        place.chmod(0o777)
        source = Path(__file__).with_name("resume.c")
        command = ["gcc", "-O2", "-static", "-o", str(place / "attacker"), str(source)]
        subprocess.run(command, check=True)
        for victim in ("creator", "reader"):
            shutil.copy(place / "attacker", place / victim)
        write_creator_of_two(place / "tiny", *(place / file for file in FILES))
        (place / "secret").write_text("swordfish")
        programs.unload(PINS)
        yield Watched(people, place)


@contextmanager
def _loaded(watched: Watched, layers: str) -> Iterator[None]:
    """Have programs loaded that have these layers and no others, and the rules in force."""
    without, _ = LAYERS[layers]
    options = [word for layer in without for word in ("--without", layer)]
    done = run_loader("--pin", str(PINS), "--cache", str(watched.cache), *options)
    assert done.returncode == 0, done.stderr
    try:
        watched.start()
        watched.rules(RULES)
        watched.begin()
        yield
        watched.clean()
    finally:
        watched.unload()


def _one(watched: Watched, attack: str, victim: Sequence[str], layers: str) -> _Try:
    how, deaf = ATTACKS[attack]
    place = watched.place
    made = [place / name for name in FILES]
    for file in made:
        file.unlink(missing_ok=True)
    program, *words = victim
    # The first of its words, if any, says what it does; all others are files.
    what = [str(place / program), *words[:1], *(str(place / word) for word in words[1:])]
    attacker = watched.run([str(place / "attacker"), how, str(deaf), *what])
    pid = int(attacker.line())
    act = watched.next_hold(pid).act
    freezer = Freezer(cgroup_mount(), "holdfast-test")
    process, after = ProcessId(pid, act.process.start_ns), None
    _, frozen = LAYERS[layers]
    if frozen and freezer.freeze(process):
        after = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - act.boot_ns
    assert attacker.line() == "done"
    tried = _Try(sum(file.exists() for file in made), after)
    watched.end_started()
    freezer.drop(process)
    freezer.sweep()
    return tried
