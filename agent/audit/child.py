"""The reader as a child of the agent: started, read, and started anew when it has died."""

import logging
import os
import select
import subprocess
import time
from pathlib import Path

import agent.audit.reader
from agent.audit.frames import Away, Connected, Frame, Frames
from agent.errors import RecordError, SensorError

log = logging.getLogger("holdfast.agent.audit")

# The distribution's own Python, which alone has the distribution's auparse.
SYSTEM_PYTHON = "/usr/bin/python3"
_READER = Path(agent.audit.reader.__file__).parent
_CHUNK = 1 << 16
_START_S = 15.0
# One that dies again at once is started again a little later.
_SHORT_S, _PAUSE_S = 10.0, 2.0


class ReaderProcess:
    """One reader after another."""

    def __init__(self, path: Path, key: str) -> None:
        """`path` is the socket of auditd's af_unix plugin, `key` that of our rules."""
        self._path, self._key = path, key
        self._process: subprocess.Popen[bytes] | None = None
        self._frames = Frames()
        self._began = 0.0
        # Stays the same for whoever waits for it, whichever reader is behind it.
        self._epoll = select.epoll()
        self._early: list[Frame] = []

    @property
    def fd(self) -> int:
        """A descriptor that is readable while there is something to take."""
        return self._epoll.fileno()

    @property
    def pid(self) -> int:
        """The process that reads."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start it, and return once records come through; raise SensorError that says why not."""
        self._spawn(0.0)
        end = time.monotonic() + _START_S
        while True:
            left = end - time.monotonic()
            if left <= 0 or not self._epoll.poll(left):
                raise SensorError(f"{self._path}: the audit reader says nothing")
            frames, ended = self._read()
            if ended:
                raise SensorError(f"the audit reader does not run: {ended}")
            for frame in frames:
                if isinstance(frame, Away):
                    raise SensorError(_no_plugin(self._path, frame.why))
                if isinstance(frame, Connected):
                    self._early = frames
                    return

    def take(self) -> tuple[list[Frame], str]:
        """Return what has come since the last time, and, if the reader has died, how.

        Another is on its way then. Raises RecordError for what no reader of ours says.
        """
        frames, self._early = self._early, []
        if not self._epoll.poll(0):
            return frames, ""
        try:
            more, ended = self._read()
        except RecordError:
            self._again()
            raise
        if ended:
            self._again()
        return frames + more, ended

    def close(self) -> None:
        """End it."""
        self._end()
        self._epoll.close()

    def _read(self) -> tuple[list[Frame], str]:
        assert self._process is not None and self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        found: list[Frame] = []
        while True:
            try:
                data = os.read(descriptor, _CHUNK)
            except BlockingIOError:
                return found, ""
            if not data:
                return found, self._end()
            found += self._frames.take(data)

    def _again(self) -> None:
        short = time.monotonic() - self._began < _SHORT_S
        self._end()
        self._spawn(_PAUSE_S if short else 0.0)

    def _spawn(self, pause_s: float) -> None:
        words = ["--socket", str(self._path), "--key", self._key, "--after", str(pause_s)]
        try:
            process = subprocess.Popen(
                [SYSTEM_PYTHON, "-I", "-B", str(_READER), *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                process_group=0,  # what is typed at the agent's terminal is for the agent
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
            )
        except OSError as error:
            raise SensorError(f"{SYSTEM_PYTHON}: {error.strerror}; install python3") from error
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self._epoll.register(process.stdout.fileno(), select.EPOLLIN)
        self._process, self._frames, self._began = process, Frames(), time.monotonic()

    def _end(self) -> str:
        process, self._process = self._process, None
        if process is None:
            return ""
        assert process.stdout is not None
        self._epoll.unregister(process.stdout.fileno())
        process.stdout.close()  # which ends it, if it has not ended
        try:
            code = process.wait(1.0)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        return f"it was ended by signal {-code}" if code < 0 else f"it ended with status {code}"


def _no_plugin(path: Path, why: str) -> str:
    return (
        f"{path}: no audit records come from there ({why}); in auditd's plugins.d/af_unix.conf say "
        f"active = yes and args = 0600 {path}, and restart auditd (docs/audit.md)"
    )
