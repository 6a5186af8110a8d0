"""A real sensor on this kernel, the rules it is given, and the processes that it watches.

What is pinned lies under a directory of its own and is taken away at the end. Only what a test
started, and what descends from that, is ever signalled.
"""

import ctypes
import os
import select
import signal
import subprocess
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from agent.sensor import programs
from agent.sensor.interface import HeldAct, HeldKey, Losses, Subject
from rules.load import load
from rules.match import Ruling, decide
from rules.model import RuleSet
from rules.superset import compile_tables
from tests.support.accounts import Accounts
from tests.support.inside import PATIENCE, compiled_programs
from tests.support.sensors import MODE, make_sensor
from tests.support.started import Started, python, signal_process, wait_gone, wait_state
from wire.acts import Act

PINS = Path("/sys/fs/bpf/holdfast-test")
_WAIT_S = 20 * PATIENCE
_ALL = 1_000_000
_PR_SET_CHILD_SUBREAPER = 36
# Rules that are about nothing at all, between tests.
NO_RULES = """
rules:
  - id: nothing
    description: About nothing.
    severity: info
    match: { exec: { path: /holdfast-test/no/such/program } }
    action: observe
"""


class Watched:
    """A started sensor and the processes of one test. See the fixture `watched`."""

    def __init__(self, accounts: Accounts, place: Path, pins: Path = PINS) -> None:
        """`place` is a directory that everybody may write to; compiled programs stay in it."""
        self.accounts = accounts
        self.place = place
        self.pins = pins
        self.cache = compiled_programs(place / "cache")
        self.sensor = make_sensor(pins, self.cache)
        self.is_open = False
        self.may_lose = False  # whether the test at hand is about losses
        self.ruleset = self._load(NO_RULES)
        self._started: list[Started] = []
        self._before: set[int] = set()
        self._waiting: list[HeldAct] = []

    # -- the sensor ---------------------------------------------------------------------------

    def start(
        self,
        subjects: Sequence[Subject] | None = None,
        journalled: Collection[HeldKey] = (),
    ) -> None:
        """Start the sensor with the rules as they are; by default it watches the watched user."""
        self.sensor = make_sensor(self.pins, self.cache)
        self.sensor.start(
            self.user_subject() if subjects is None else subjects,
            compile_tables(self.ruleset, MODE),
            journalled,
        )
        self.is_open = True

    def stop(self) -> None:
        """Let go of the kernel side, as an agent that ends; what is pinned goes on working."""
        if self.is_open:
            self.is_open = False
            self.sensor.close()
            self._waiting.clear()

    def user_subject(self) -> list[Subject]:
        """Return the subject that tests watch unless they say otherwise."""
        uid = self.accounts.watched.pw_uid
        assert uid != 0
        return [Subject(index=1, name="ai", uids=(uid,))]

    def again(self, subjects: Sequence[Subject] | None = None) -> None:
        """Put a new sensor object in place of the old one, as a restarted agent does."""
        self.stop()
        self.start(subjects)

    def rules(self, text: str) -> None:
        """Put rules in force by the way that an agent takes; `{place}` stands for the directory."""
        self.ruleset = self._load(text)
        self.sensor.set_tables(compile_tables(self.ruleset, MODE))

    def _load(self, text: str) -> RuleSet:
        path = self.place / "rules.yaml"
        path.write_text(text.replace("{place}", str(self.place)))
        return load([path])

    def ruling(self, act: Act) -> Ruling:
        """Return what the rules in force say to an act."""
        return decide(self.ruleset, act)

    # -- what it reports ----------------------------------------------------------------------

    def next_hold(self, child: Started | int | None = None) -> HeldAct:
        """Return the next hold, of a process if one is given; fail if none comes."""
        pid = child.pid if isinstance(child, Started) else child
        until = time.monotonic() + _WAIT_S
        poll = select.poll()
        poll.register(self.sensor.holds_fd(), select.POLLIN)
        while True:
            for held in self._waiting:
                if pid is None or held.act.process.pid == pid:
                    self._waiting.remove(held)
                    return held
            left = until - time.monotonic()
            assert left > 0, f"no hold came; others: {self._waiting}"
            poll.poll(left * 1000)
            self._waiting += self.sensor.new_holds()

    def passing(self, child: Started) -> list[HeldAct]:
        """Let go of all that the kernel holds of a child until it ends; return what that was."""
        found: list[HeldAct] = []
        poll = select.poll()
        poll.register(self.sensor.holds_fd(), select.POLLIN)
        poll.register(child.descriptor, select.POLLIN)
        while True:
            ended = any(fd == child.descriptor for fd, _ in poll.poll(_WAIT_S * 1000))
            for held in self.sensor.new_holds():
                found.append(held)
                self.let_go(held, child)
            if ended:
                return found

    def holds(self) -> list[HeldAct]:
        """Return everything that the kernel holds."""
        return self.sensor.all_holds()

    def execs(self) -> list[Act]:
        """Return the execs that were observed since the last time."""
        return self.sensor.drain_execs(_ALL)

    def acts(self) -> list[Act]:
        """Return the other acts that were observed since the last time."""
        return [
            self.sensor.act_of(one)
            for one in self.sensor.drain_acts(_ALL)
            for _ in range(one.times)
        ]

    def losses(self) -> Losses:
        """Return what was lost so far."""
        return self.sensor.losses()

    # -- processes ----------------------------------------------------------------------------

    def run(
        self,
        what: Sequence[str | bytes | Path] | str,
        *,
        user: int | None = None,
        group: int | None = None,
        groups: Sequence[int] = (),
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        executable: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Started:
        """Start a command, or Python code, as a user: the watched one if none is named."""
        uid = self.accounts.watched.pw_uid if user is None else user
        process = subprocess.Popen(
            python(what) if isinstance(what, str) else list(what),
            executable=executable,
            user=uid,
            group=self.accounts.watched.pw_gid if group is None else group,
            extra_groups=groups,
            cwd=cwd or self.place,
            env={"PATH": "/usr/bin:/bin"} if env is None else env,
            pass_fds=pass_fds,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started = Started(process)
        self._started.append(started)
        return started

    def let_go(self, held: HeldAct, child: Started | None = None, *, refuse: bool = False) -> None:
        """Let a held process run on, as the agent does; it need not be a child of the test."""
        pid = held.act.process.pid
        self.sensor.admit(held.key, refuse=refuse)
        if child is not None:
            child.wait_stopped()
            self.sensor.unguard(pid)
            child.resume()
        else:
            assert pid in {process.pid for process in _descendants()}
            wait_state(pid, "T")
            self.sensor.unguard(pid)
            signal_process(pid, signal.SIGCONT)
        self.sensor.forget(held.key)

    def let_all_go(self, child: Started) -> list[HeldAct]:
        """Let a child run on that has one hold or several, as the agent does; return them."""
        found = [self.next_hold(child)]
        child.wait_stopped()
        self._waiting += self.sensor.new_holds()
        found += [one for one in self._waiting if one.act.process.pid == child.pid]
        self._waiting = [one for one in self._waiting if one not in found]
        for held in found:
            self.sensor.admit(held.key)
            self.sensor.forget(held.key)
        self.sensor.unguard(child.pid)
        child.resume()
        return found

    # -- before and after each test -----------------------------------------------------------

    def begin(self) -> None:
        """Remember what runs already, so that it is left alone."""
        self._before = {process.pid for process in _descendants()}

    def clean(self) -> None:
        """End what the test started, wherever it went, and let the kernel forget it."""
        self.end_started()
        self.may_lose = False
        if not self.is_open:
            self.start()
        self.rules(NO_RULES)
        for held in self.holds():
            self.sensor.forget(held.key)
        self.sensor.new_holds()
        self.acts()
        self.execs()
        self._waiting.clear()

    def end_started(self) -> None:
        """End what was started since `begin`, and forget what the kernel held of it."""
        # New ones may be forked until the last is gone.
        while new := [one for one in _descendants() if one.pid not in self._before]:
            for process in new:
                signal_process(process.pid, signal.SIGKILL)
            for process in new:
                if process.pid not in {one.pid for one in self._started}:
                    _reap(process.pid)
            for started in self._started:
                started.kill()
        for started in self._started:
            started.close()
        self._started.clear()
        if self.is_open:
            for held in self.holds():
                self.sensor.forget(held.key)
            self.sensor.new_holds()
            self.sensor.new_resumes()
        self._waiting.clear()

    def unload(self) -> None:
        """Take everything out of the kernel."""
        self.stop()
        programs.unload(self.pins)


@contextmanager
def subreaper() -> Iterator[None]:
    """Be the parent of every orphan below, so that none that a test started gets away."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _descendants() -> Iterable[psutil.Process]:
    return psutil.Process().children(recursive=True)


def _reap(pid: int) -> None:
    wait_gone(pid)
    with suppress(ChildProcessError):  # its own parent is still there, and dies as well
        os.waitpid(pid, 0)
