"""bpftrace for the bench: a script that prints what one test user opens, executes, connects to."""

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.tools import running

_TRACEFS = Path("/sys/kernel/tracing")
# The last probe to be attached says that all are.
SCRIPT = """
tracepoint:syscalls:sys_enter_openat /uid == UID/ { @name[tid] = args->filename; }
tracepoint:syscalls:sys_exit_openat /@name[tid]/ {
  printf("open %d %s %d %s\\n", pid, comm, args->ret, str(@name[tid]));
  delete(@name[tid]);
}
tracepoint:syscalls:sys_enter_execve /uid == UID/ {
  printf("exec %d %s %s\\n", pid, comm, str(args->filename));
}
tracepoint:syscalls:sys_enter_connect /uid == UID/ {
  printf("connect %d %s %d\\n", pid, comm, args->fd);
}
interval:ms:50 /@ready == 0/ { @ready = 1; printf("ready\\n"); }
END { clear(@name); clear(@ready); }
"""


@contextmanager
def tracefs() -> Iterator[None]:
    """Have tracefs mounted where bpftrace looks for it, and left as it was found."""
    ours = not (_TRACEFS / "events").is_dir()
    if ours:
        subprocess.run(["mount", "-t", "tracefs", "tracefs", str(_TRACEFS)], check=True)
    try:
        yield
    finally:
        if ours:
            subprocess.run(["umount", str(_TRACEFS)], check=True)


class Tracer:
    """A running bpftrace. Its output is read once it has ended."""

    def __init__(self, output: Path) -> None:
        self._output = output

    def lost(self) -> int:
        """Return how many events it says that it lost; only whole after its end."""
        return sum(int(number) for number in re.findall(rb"Lost (\d+) events", self._text()))

    def saw(self, path: Path) -> bool:
        """Return whether it has printed an open of a path."""
        return f" {path}\n".encode() in self._text()

    def ready(self) -> bool:
        """Return whether all its probes are attached."""
        return b"ready\n" in self._text()

    def _text(self) -> bytes:
        return self._output.read_bytes()


@contextmanager
def bpftrace(directory: Path, uid: int) -> Iterator[Tracer]:
    """Have bpftrace follow a test user; its output goes to a file, as an administrator would."""
    assert uid > 0
    directory.mkdir(parents=True)
    output = directory / "bpftrace.out"
    command = ["bpftrace", "-B", "line", "-e", SCRIPT.replace("UID", str(uid))]
    tracer = Tracer(output)
    with tracefs(), running(command, output, lambda _: tracer.ready(), signal.SIGINT):
        yield tracer
