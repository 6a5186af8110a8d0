"""Runs inside a VM: takes commands over a virtio port, gives back what they write and how they end.

Both ways go lines of JSON; one with a "size" is followed by that many bytes. Asked for are "hello",
"put" (a tar.gz to unpack), "get" (paths, as a tar.gz) and "run"; the answers are "ready", "done",
"files", "output" (stream 1, 2, or 3 for reports) and "exit".
"""

import contextlib
import io
import json
import os
import platform
import select
import signal
import socket
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any

_PORTS = Path("/sys/class/virtio-ports")
_NAME = "holdfast"
_CHUNK = 1 << 16


class GoneError(Exception):
    """The other side has closed the port."""


class Port:
    """The virtio port: the far end may go and come again."""

    def __init__(self) -> None:
        self.descriptor = os.open(f"/dev/{self._device()}", os.O_RDWR)
        self._held = b""

    @staticmethod
    def _device() -> str:
        while True:
            for port in _PORTS.glob("*"):
                if (port / "name").read_text().strip() == _NAME:
                    return port.name
            time.sleep(0.05)  # the driver has not looked at the device yet

    def line(self) -> dict[str, Any]:
        """Return the next request."""
        while b"\n" not in self._held:
            self._held += self._some()
        line, _, self._held = self._held.partition(b"\n")
        asked: dict[str, Any] = json.loads(line)
        return asked

    def take(self, size: int) -> bytes:
        """Return exactly `size` bytes that follow a line."""
        pieces = [self._held]
        there = len(self._held)
        while there < size:
            pieces.append(self._some())
            there += len(pieces[-1])
        whole = b"".join(pieces)
        self._held = whole[size:]
        return whole[:size]

    def give(self, content: bytes = b"", **line: object) -> None:
        """Send one line, and the bytes that belong to it."""
        if content:
            line["size"] = len(content)
        rest = memoryview(json.dumps(line).encode() + b"\n" + content)
        while rest:
            try:
                rest = rest[os.write(self.descriptor, rest) :]
            except OSError as error:
                raise GoneError from error

    def forget(self) -> None:
        """Drop what the far end sent before it went."""
        self._held = b""
        time.sleep(0.05)  # the port reports the far end's absence, not its return

    def _some(self) -> bytes:
        piece = os.read(self.descriptor, _CHUNK)
        if not piece:
            raise GoneError
        return piece


def main() -> None:
    connect_once()
    port = Port()
    while True:
        try:
            serve(port, port.line())
        except GoneError:
            port.forget()


def connect_once() -> None:
    """Have the kernel do now what it does at the first connection of all.

    It draws its secrets then, and changes its own code so that it does not draw them again. In
    software emulation another processor may still run into what that change has put there for a
    moment, and the kernel panics. Nothing else runs yet, and a port where nobody listens answers
    without that code.
    """
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with contextlib.suppress(OSError), socket.socket(family) as one:
            one.connect((address, 1))
    time.sleep(0.3)  # it changes its code a moment later, and says nothing of it


def serve(port: Port, asked: dict[str, Any]) -> None:
    if asked["do"] == "hello":
        port.give(say="ready", to=asked["token"], kernel=platform.release())
    elif asked["do"] == "put":
        content = port.take(asked["size"])
        subprocess.run(["tar", "-xz", "-C", asked["to"]], input=content, check=True)
        port.give(say="done")
    elif asked["do"] == "get":
        port.give(_packed(asked["paths"]), say="files")
    elif asked["do"] == "run":
        port.give(say="exit", code=run(port, asked))


def _packed(paths: list[str]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz", compresslevel=1) as tar:
        for path in paths:
            with contextlib.suppress(OSError):
                tar.add(path)
    return content.getvalue()


def run(port: Port, asked: dict[str, Any]) -> int:
    """Run one command; return its exit code as a shell counts. What it leaves running stays."""
    reports, to_reports = os.pipe()
    environment = {
        **os.environ,
        **asked.get("environment", {}),
        "HOLDFAST_VM_REPORTS": str(to_reports),
    }
    try:
        process = subprocess.Popen(
            asked["argv"],
            cwd=asked.get("cwd", "/"),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(to_reports,),
            start_new_session=True,
        )
    finally:
        os.close(to_reports)
    assert process.stdout is not None
    assert process.stderr is not None
    streams = {process.stdout.fileno(): 1, process.stderr.fileno(): 2, reports: 3}
    ended = os.pidfd_open(process.pid)
    try:
        _pass_on(port, streams, ended)
    except GoneError:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    finally:
        code = process.wait()
        for descriptor in (ended, reports):
            os.close(descriptor)
        process.stdout.close()
        process.stderr.close()
    return code if code >= 0 else 128 - code


def _pass_on(port: Port, streams: dict[int, int], ended: int) -> None:
    """Send on what is written until the command has ended; its children may keep the pipes."""
    poll = select.poll()
    for descriptor in (*streams, ended):
        poll.register(descriptor, select.POLLIN)
    # During a command nobody asks for anything, but one who has come after the other has gone.
    poll.register(port.descriptor, select.POLLIN)
    over = False
    while True:
        ready = dict(poll.poll(0 if over else None))
        if port.descriptor in ready:
            raise GoneError
        over = over or ended in ready
        written = [descriptor for descriptor in ready if descriptor in streams]
        for descriptor in written:
            piece = os.read(descriptor, _CHUNK)
            if piece:
                port.give(piece, say="output", stream=streams[descriptor])
            else:
                poll.unregister(descriptor)
        if over and not written:
            return


if __name__ == "__main__":
    main()
