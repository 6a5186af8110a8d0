"""Starts a whole centre for a test: a real nats-server and a real collector, on loopback.

    with centre(tmp_path) as c:
        token = c.token("ann@example.com", "reviewer")
        bundle = c.enroll("web-1")          # path of the host's bundle (TOML)
        httpx.get(f"{c.api_url}/api/v1/whoami", headers=c.auth(token))

Everything it starts is a child of the test and ends with the block.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.administration import collector_command
from tests.support.inside import PATIENCE, keep_log

REPOSITORY = Path(__file__).parents[2]
_READY_S = 60 * PATIENCE


class Child:
    """A started process whose output is kept, and which can be waited for by a line of it."""

    def __init__(self, command: Sequence[str], log: Path, tree: Path = REPOSITORY) -> None:
        """Start it with the packages of `tree`."""
        self.log = log
        keep_log(log)
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self.process = subprocess.Popen(
            command,
            cwd=tree,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, "PYTHONPATH": _path(tree), "PYTHONUNBUFFERED": "1"},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        """Everything it has printed so far."""
        with self._changed:
            return "".join(self._lines)

    def wait_for(self, text: str, *, timeout_s: float = _READY_S) -> str:
        """Return the first line with `text`; fail with the whole output if it ends without one."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._ended or any(text in line for line in self._lines), timeout_s
            )
            for line in self._lines:
                if text in line:
                    return line
            raise AssertionError(
                f"no {text!r} in the output of the process:\n{''.join(self._lines)}"
            )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait for the end and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self._reader.join()
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
            # The disk may be full, which is what some tests are about.
            with suppress(OSError), self.log.open("a", encoding="utf-8") as file:
                file.write(line)
        with self._changed:
            self._ended = True
            self._changed.notify_all()


class Centre:
    """A state directory with the servers that run on it. `nats` and `collector` may be stopped."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.state = directory / "state"
        self.config = self.state / "collector.toml"
        self.nats_port = free_port()
        self.nats_url = f"nats://127.0.0.1:{self.nats_port}"
        self.api_url = ""
        self.nats: Child | None = None
        self.collector: Child | None = None

    def init(self) -> None:
        """Make the state directory with `holdfast-collector init`."""
        self.run(
            "init",
            *("--state", str(self.state), "--nats-port", str(self.nats_port)),
            *("--api-listen", "127.0.0.1:0"),
        )

    def start_nats(self) -> None:
        """Start nats-server and wait until it serves."""
        binary = Path(sys.executable).with_name("nats-server")
        self.nats = Child(
            [str(binary), "-c", str(self.state / "nats" / "nats.conf")], self.directory / "nats.log"
        )
        self.nats.wait_for("Server is ready")

    def start_collector(self) -> None:
        """Start the collector and wait until it is ready; sets `api_url`."""
        command = [sys.executable, "-m", "collector", "run", "--config", str(self.config)]
        self.collector = Child(command, self.directory / "collector.log")
        words = dict(
            word.split("=", 1) for word in self.collector.wait_for("ready api=").split()[1:]
        )
        self.api_url = words["api"]

    def stop_nats(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop nats-server; return its exit code."""
        assert self.nats is not None
        child, self.nats = self.nats, None
        return child.stop(number)

    def stop_collector(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop the collector; return its exit code."""
        assert self.collector is not None
        child, self.collector = self.collector, None
        return child.stop(number)

    def token(
        self, name: str, role: str, *, logins: Sequence[str] = (), groups: Sequence[str] = ()
    ) -> str:
        """Return a new token of a person."""
        options = [word for login in logins for word in ("--login", login)]
        options += [word for group in groups for word in ("--group", group)]
        return self.run(
            *("token", "create", "--name", name, "--role", role, *options),
            *("--config", str(self.config)),
        ).strip()

    @staticmethod
    def auth(token: str) -> dict[str, str]:
        """Return the header that carries a token."""
        return {"Authorization": f"Bearer {token}"}

    def enroll(self, name: str, *labels: str) -> Path:
        """Enrol a host with these labels and return the path of its bundle."""
        bundle = self.directory / f"{name}.bundle.toml"
        given = [word for label in labels for word in ("--label", label)]
        self.run("enroll", name, "--out", str(bundle), *given, "--config", str(self.config))
        return bundle

    def run(self, *words: str) -> str:
        """Run `holdfast-collector` with these words; return its output, fail on an error."""
        return collector_command(words)

    def close(self) -> None:
        """Stop whatever still runs."""
        if self.collector is not None:
            self.stop_collector()
        if self.nats is not None:
            self.stop_nats()


@contextmanager
def centre(directory: Path, *, start: bool = True) -> Iterator[Centre]:
    """Give a centre in `directory`; with `start` its nats-server and collector are running."""
    made = Centre(directory / "centre")
    try:
        made.init()
        if start:
            made.start_nats()
            made.start_collector()
        yield made
    finally:
        made.close()


def _path(tree: Path) -> str:
    """Return PYTHONPATH with a tree first, so that children import what is tested."""
    return os.pathsep.join(filter(None, (str(tree), os.environ.get("PYTHONPATH", ""))))


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
