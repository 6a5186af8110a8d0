"""A sensor of mode audit over a real auditd, its rules, and processes that it watches."""

import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.processes import ProcessControl
from agent.release import ProcessId
from agent.sensor.audit import AuditSensor
from agent.sensor.interface import HeldAct, Subject
from rules.load import load
from rules.modes import HostMode
from rules.superset import KernelTables, compile_tables
from tests.bench.auditing import KEY
from tests.support.accounts import Accounts
from tests.support.auditd import Auditd
from tests.support.inside import PATIENCE
from tests.support.started import Started, python
from tests.support.watched import NO_RULES
from wire.acts import Act

_WAIT_S = 20 * PATIENCE


class Site:
    """See the module; all that a test starts ends with `close`."""

    def __init__(self, daemon: Auditd, people: Accounts, place: Path) -> None:
        self.daemon, self.people, self.place = daemon, people, place
        self.notices: list[tuple[str, str]] = []
        self.sensor = self.new_sensor()
        self._open = False
        self._started: list[Started] = []
        self._waiting: list[HeldAct] = []
        self._control = ProcessControl()

    def new_sensor(self, socket: Path | None = None) -> AuditSensor:
        """Return a sensor over the same files, as a restarted agent has."""
        sensor = AuditSensor(socket or self.daemon.socket, self.place / "run", key=KEY)
        sensor.tell_through(lambda name, words: self.notices.append((name, words)))
        return sensor

    def start(self, rules: str = NO_RULES, subjects: Sequence[Subject] | None = None) -> None:
        """Start the sensor with rules, `{place}` standing for the directory."""
        uid = self.people.watched.pw_uid
        assert uid != 0
        own = [Subject(index=1, name="ai", uids=(uid,))]
        self._open = True
        self.sensor.start(subjects or own, self.tables(rules))

    def stop(self) -> None:
        """Close the sensor, as an agent that ends."""
        if self._open:
            self._open = False
            self.sensor.close()

    def tables(self, text: str) -> KernelTables:
        """Return the tables of rules."""
        path = self.place / "rules.yaml"
        path.write_text(text.replace("{place}", str(self.place)))
        return compile_tables(load([path]), HostMode.AUDIT)

    def run(
        self, what: Sequence[str | bytes | Path] | str, *, user: int | None = None,
        groups: Sequence[int] = (), group: int | None = None, cwd: Path | None = None,
    ) -> Started:  # fmt: skip
        """Start a command, or Python code, as a user: the watched one if none is named."""
        process = subprocess.Popen(
            python(what) if isinstance(what, str) else list(what),
            user=self.people.watched.pw_uid if user is None else user,
            group=self.people.watched.pw_gid if group is None else group,
            extra_groups=groups,
            cwd=cwd or self.place,
            env={"PATH": "/usr/bin:/bin", "LD_PRELOAD": ""},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started = Started(process)
        self._started.append(started)
        return started

    def next_hold(self, wanted: Callable[[Act], bool] = lambda act: True) -> HeldAct:
        """Return the next act that is wanted among those that were stopped or too late to be."""
        found: list[HeldAct] = []

        def look() -> bool:
            self._waiting += self.sensor.new_holds()
            found.extend(held for held in self._waiting if wanted(held.act))
            return bool(found)

        self.until(look, lambda: f"no hold came; others: {self._waiting}")
        self._waiting.remove(found[0])
        return found[0]

    def until(self, look: Callable[[], bool], why: Callable[[], str] = lambda: "") -> None:
        """Take what the reader says until something is so; fail if that does not come."""
        end = time.monotonic() + _WAIT_S
        while not look():
            assert time.monotonic() < end, why()
            select.select([self.sensor.holds_fd()], [], [], 0.2)

    def observed(self, wanted: Callable[[Act], bool] = lambda act: True) -> Act:
        """Return the next observed act that is wanted."""
        found: list[Act] = []

        def look() -> bool:
            self._waiting += self.sensor.new_holds()
            found.extend(act for act in self.sensor.drain_execs(1000) if wanted(act))
            return bool(found)

        self.until(look, lambda: "no such act was observed")
        return found[0]

    def let_go(self, held: HeldAct) -> None:
        """Let a held process run on, as the agent does."""
        process = ProcessId.of(held.act.process)
        assert process.pid in {one.pid for one in self._started}
        self.sensor.forget(held.key)
        self.sensor.unguard(process.pid)
        started = next(one for one in self._started if one.pid == process.pid)
        started.wait_stopped()
        signal.pidfd_send_signal(started.descriptor, signal.SIGCONT)

    def close(self) -> None:
        """End all of it."""
        for started in self._started:
            started.kill()
            started.close()
        self.stop()
        for held in self.sensor.all_holds():
            self.sensor.forget(held.key)
