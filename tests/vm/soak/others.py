"""Who is no subject: runs programs, makes files, connects, logs in, has units started."""

import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.vm.soak.measures import Measures
from tests.vm.soak.site import SECRETS, Site, run

# One line for each act: its name and how many seconds it took. Ends when nobody listens any more.
_WORK = """
import os, socket, sys, time
home, port, asked = sys.argv[1], int(sys.argv[2]), sys.argv[3]
path = home + "/file"
def exec_():
    os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
def create():
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
def open_():
    with open(path, "r+") as file:
        file.write("text")
def open_what_subjects_wait_for():
    open(asked).close()
def delete():
    os.unlink(path)
def connect():
    socket.create_connection(("127.0.0.1", port)).close()
while True:
    for name, act in (
        ("exec", exec_), ("create", create), ("open", open_),
        ("open-asked", open_what_subjects_wait_for), ("delete", delete), ("connect", connect),
    ):
        began = time.monotonic()
        act()
        print(name, time.monotonic() - began, flush=True)
    time.sleep(0.05)
"""
WORK = ("exec", "create", "open", "open-asked", "delete", "connect")
LOGIN, UNIT = "login", "unit start"
ACTS = (*WORK, LOGIN, UNIT)
# Longer than anything takes in software emulation; what takes longer hangs.
PATIENCE_S = 240


class Others:
    """They work until `close`; whatever cannot be done is an error that `check` raises."""

    def __init__(self, site: Site, measures: Measures) -> None:
        self._measures = measures
        self._site = site
        self._over = threading.Event()
        self._failed: list[str] = []
        # Whether sshd hangs, whose logins do so too; and how often it has.
        self.no_logins = False
        self.times_without = 0
        self._work = subprocess.Popen(
            [
                *("/usr/bin/python3", "-I", "-S", "-c", _WORK),
                *(str(site.home), str(site.port), str(SECRETS / "asked")),
            ],
            user=site.plain.pw_uid,
            group=site.plain.pw_gid,
            extra_groups=[],
            stdout=subprocess.PIPE,
            text=True,
            cwd=site.home,
        )
        self._threads = [
            threading.Thread(target=target, daemon=True)
            for target in (
                self._read,
                lambda: self._repeat(LOGIN, site.login),
                lambda: self._repeat(UNIT, ["systemctl", "start", site.unit]),
            )
        ]
        for thread in self._threads:
            thread.start()

    def wait_for(
        self, hang: str, acts: Sequence[str], *, times: int = 2, patience_s: float = PATIENCE_S
    ) -> None:
        """Return once each of these acts was done so often while that hung; fail if one is not."""
        end = time.monotonic() + patience_s
        while missing := [act for act in acts if self._measures.count(hang, act) < times]:
            self.check()
            assert time.monotonic() < end, f"while {hang} hangs, nobody gets done: {missing}"
            time.sleep(0.2)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Have all but logins and starts of units wait for the length of the block."""
        self._work.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._work.send_signal(signal.SIGCONT)

    def check(self) -> None:
        """Fail if anything could not be done."""
        assert not self._failed, self._failed
        assert self._work.poll() is None, "the work of who is no subject has ended"

    def close(self) -> None:
        """Stop."""
        self._over.set()
        self._work.kill()
        self._work.wait()
        for thread in self._threads:
            thread.join()
        if self._work.stdout is not None:
            self._work.stdout.close()

    def _read(self) -> None:
        assert self._work.stdout is not None
        hang = self._measures.now
        for line in self._work.stdout:
            act, seconds = line.split()
            self._measures.add(hang, act, float(seconds))
            hang = self._measures.now  # as the next one begins

    def _repeat(self, act: str, command: Sequence[str]) -> None:
        while not self._over.wait(0.5):
            if act == LOGIN and self.no_logins:
                continue
            hang, began, before = self._measures.now, time.monotonic(), self.times_without
            try:
                run(*command, timeout_s=PATIENCE_S)
            except (subprocess.SubprocessError, AssertionError) as error:
                if act == LOGIN and self.times_without > before:
                    continue  # it began before sshd hung
                self._failed.append(f"{act} while {hang} hangs: {error}")
                return
            if act != LOGIN or self.times_without == before:
                self._measures.add(hang, act, time.monotonic() - began)


@contextmanager
def others(site: Site, measures: Measures) -> Iterator[Others]:
    """Have them work for the length of the block."""
    one = Others(site, measures)
    try:
        yield one
    finally:
        one.close()
