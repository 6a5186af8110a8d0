"""One virtual machine: a stock kernel in qemu that takes files and commands."""

import json
import os
import select
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.vm.image import Root, Stock
from tests.vm.kernels import Hooks, security_modules
from tests.vm.start import initramfs

Output = Callable[[int, bytes], None]
_BOOT_S = 120
# In the VM: where what must outlive it is written.
LOGS = "/var/log/holdfast-tests"
_SOCKET = "commands"


class MachineError(Exception):
    """The VM has ended, hangs or refused something; the text says where its console is."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How a VM is to be: which way into the kernel, whether systemd runs, its memory in MiB."""

    hooks: Hooks = Hooks.LSM
    systemd: bool = False
    memory: int = 2048


class Machine:
    """A booted VM; `place` is a directory of its own, with its console in `console.log`."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.console = place / "console.log"
        self.logs = place / "logs.ext4"
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._held = b""

    def boot(self, root: Root, stock: Stock, shape: Shape, *, outlive: bool = False) -> str:
        """Start it; return the release of its kernel once it takes commands.

        One that is to `outlive` this process is found again by another Machine of its place.
        """
        self.place.mkdir(parents=True, exist_ok=True)
        _empty_disk(self.logs)
        argv = _qemu(root, stock, shape, self.place, initramfs(stock, self.place))
        with (self.place / "qemu.log").open("wb") as log:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "TMPDIR": str(self.place)},
                start_new_session=outlive,
            )
        (self.place / "pid").write_text(f"{self._process.pid}\n", encoding="ascii")
        return self.connect()

    def connect(self) -> str:
        """Reach the VM's program that takes commands; return the release of its kernel.

        What it was doing for whoever was there before is ended.
        """
        self._disconnect()
        until = time.monotonic() + _BOOT_S
        while self._socket is None:
            self._check_running()
            one = socket.socket(socket.AF_UNIX)
            try:
                one.connect(self._address())
                self._socket = one
            except OSError:
                one.close()
                if time.monotonic() > until:
                    raise self._error("qemu does not start") from None
                time.sleep(0.02)  # qemu makes the socket in its own time
        token = os.urandom(8).hex()
        self._give({"do": "hello", "token": token})
        # Before the answer there may come the rest of what was said to another.
        answer = json.dumps({"say": "ready", "to": token})[:-1].encode()
        while (found := self._held.find(answer)) < 0:
            self._more(until)
        self._held = self._held[found:]
        return str(self._answer("ready", until)["kernel"])

    def put(self, archive: bytes, directory: str) -> None:
        """Unpack a tar.gz in a directory of the VM."""
        self._give({"do": "put", "to": directory}, archive)
        self._answer("done", time.monotonic() + _BOOT_S)

    def get(self, paths: Sequence[str]) -> bytes:
        """Return these paths of the VM as a tar.gz; what is not there is left out."""
        self._give({"do": "get", "paths": list(paths)})
        size = self._answer("files", time.monotonic() + _BOOT_S)["size"]
        return self._take(size, time.monotonic() + _BOOT_S)

    def run(
        self,
        argv: Sequence[str],
        *,
        output: Output,
        seconds: float,
        silence: float | None = None,
        cwd: str = "/",
        environment: Mapping[str, str] | None = None,
    ) -> int:
        """Run a command as root; return its exit code. `output` gets stream (1, 2, 3) and bytes.

        It may take `seconds` altogether, and say nothing for `silence` seconds.
        """
        until = time.monotonic() + seconds
        asked = {"argv": list(argv), "cwd": cwd, "environment": dict(environment or {})}
        self._give({"do": "run", **asked})
        while True:
            line = self._line(until if silence is None else min(until, time.monotonic() + silence))
            if line["say"] == "output":
                output(line["stream"], self._take(line["size"], until))
            elif line["say"] == "exit":
                return int(line["code"])
            else:
                raise self._error(f"said {line}")

    def end(self) -> None:
        """Switch it off as by pulling the plug, and drop what it wrote to its disks."""
        self._disconnect()
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._held = b""

    def _address(self) -> str:
        # A socket's path has room for 107 bytes only; by the descriptor it always fits.
        return str(self.place / _SOCKET)

    def _give(self, line: dict[str, Any], content: bytes = b"") -> None:
        assert self._socket is not None
        if content:
            line["size"] = len(content)
        try:
            self._socket.sendall(json.dumps(line).encode() + b"\n" + content)
        except OSError as error:
            raise self._error("has ended") from error

    def _answer(self, expected: str, until: float) -> dict[str, Any]:
        line = self._line(until)
        if line["say"] != expected:
            raise self._error(f"said {line} and not {expected}")
        return line

    def _line(self, until: float) -> dict[str, Any]:
        while b"\n" not in self._held:
            self._more(until)
        line, _, self._held = self._held.partition(b"\n")
        said: dict[str, Any] = json.loads(line)
        return said

    def _take(self, size: int, until: float) -> bytes:
        while len(self._held) < size:
            self._more(until)
        taken, self._held = self._held[:size], self._held[size:]
        return taken

    def _more(self, until: float) -> None:
        assert self._socket is not None
        readable, _, _ = select.select([self._socket], [], [], max(0, until - time.monotonic()))
        if not readable:
            raise self._error("has not answered in time")
        piece = self._socket.recv(1 << 16)
        if not piece:
            raise self._error("has ended")
        self._held += piece

    def _check_running(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            raise self._error(f"qemu ended with exit code {self._process.returncode}")

    def _error(self, what: str) -> MachineError:
        last = [f"    {line}" for line in _tail(self.place / "qemu.log") + _tail(self.console)]
        return MachineError("\n".join([f"the VM: {what}; its console is {self.console}:", *last]))


def _qemu(root: Root, stock: Stock, shape: Shape, place: Path, start: Path) -> list[str]:
    modules = security_modules(stock.config, shape.hooks)
    words = ["console=ttyS0", "panic=-1", "quiet", f"lsm={modules}", "net.ifnames=0"]
    if shape.systemd:
        words.append("holdfast.systemd")
    drive = "if=virtio,format=raw"
    return [
        shutil.which("qemu-system-x86_64") or "qemu-system-x86_64",
        *("-accel", "tcg,thread=multi", "-cpu", stock.kernel.cpu, "-smp", "2"),
        *("-m", str(shape.memory), "-nodefaults", "-no-user-config", "-display", "none"),
        *("-no-reboot", "-serial", f"file:{place}/console.log"),
        *("-kernel", str(stock.image), "-initrd", str(start), "-append", " ".join(words)),
        *("-drive", f"file={root.disk},{drive},snapshot=on,cache=unsafe"),
        *("-drive", f"file={stock.modules},{drive},readonly=on"),
        *("-drive", f"file={place}/logs.ext4,{drive},cache=writeback"),
        *("-device", "virtio-serial-pci"),
        *("-chardev", f"socket,id=commands,path={place}/{_SOCKET},server=on,wait=off"),
        *("-device", "virtserialport,chardev=commands,name=holdfast"),
    ]


def _empty_disk(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(64 << 20)
    # Without a journal all is in its place at once, for a reader who does not replay one.
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", str(path)], check=True)


def _tail(path: Path, lines: int = 15) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
    except OSError:
        return []
