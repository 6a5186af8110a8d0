"""What can hang on a host, how it is made to hang and to go on, and what shows that it does."""

import subprocess
from dataclasses import dataclass

from tests.vm.soak.others import ACTS, LOGIN
from tests.vm.soak.site import AGENT, API, COLLECTOR, DISK, NATS, NATS_PORT, run

Command = tuple[str, ...]
# Each ends once what it asks answers, and waits for that as long as it takes.
_OVER_TCP = """
import socket
with socket.create_connection(("{host}", {port})) as asked:
    asked.sendall({question!r})
    assert asked.recv(1)
"""
_OVER_UNIX = """
import socket
with socket.socket(socket.AF_UNIX) as asked:
    asked.connect({path!r})
    asked.sendall({question!r})
    assert asked.recv(1)
"""
_WRITES = f"""
with open("{DISK}/written", "w") as file:
    file.write("text")
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hang:
    """One thing that hangs. `spared` are the acts that have nothing to do with it.

    `asks` is Python code that needs it: whoever runs that waits for as long as it hangs.
    """

    name: str
    begin: Command
    end: Command
    asks: str
    spared: tuple[str, ...] = ACTS

    def start(self) -> "subprocess.Popen[bytes]":
        """Make it hang; return somebody who waits for it."""
        run(*self.begin)
        return self.ask()

    def ask(self) -> "subprocess.Popen[bytes]":
        """Return somebody who waits for it, and ends well once it answers."""
        return subprocess.Popen(["/usr/bin/python3", "-I", "-S", "-c", self.asks])

    def stop(self) -> None:
        """Let it go on."""
        run(*self.end)


def _stopped(unit: str, name: str, asks: str, spared: tuple[str, ...] = ACTS) -> Hang:
    """Return the hang of all processes of a unit."""
    kill = ("systemctl", "kill", "--kill-whom=all")
    return Hang(
        name=name,
        begin=(*kill, "--signal=SIGSTOP", unit),
        end=(*kill, "--signal=SIGCONT", unit),
        asks=asks,
        spared=spared,
    )


def _answers(port: int, question: bytes = b"", host: str = "127.0.0.1") -> str:
    return _OVER_TCP.format(host=host, port=port, question=question)


HANGS = (
    _stopped(
        COLLECTOR,
        "collector",
        _answers(int(API.rpartition(":")[2]), b"GET / HTTP/1.0\r\n\r\n"),
    ),
    _stopped(NATS, "NATS", _answers(NATS_PORT)),
    _stopped(
        AGENT,
        "agent",
        _OVER_UNIX.format(path="/run/holdfast-agent/agent.sock", question=b'{"do": "status"}\n'),
    ),
    # Frozen and not stopped: it does not notice, and takes up its watchdog where it was.
    Hang(
        name="journald",
        begin=("systemctl", "freeze", "systemd-journald.service"),
        end=("systemctl", "thaw", "systemd-journald.service"),
        asks=_OVER_UNIX.format(
            path="/run/systemd/journal/io.systemd.journal",
            question=b'{"method": "io.systemd.Journal.Synchronize"}\0',
        ),
    ),
    _stopped("ssh.service", "sshd", _answers(22), tuple(act for act in ACTS if act != LOGIN)),
    Hang(
        name="disk",
        begin=("fsfreeze", "--freeze", str(DISK)),
        end=("fsfreeze", "--unfreeze", str(DISK)),
        asks=_WRITES,
    ),
)
