"""Anchors: places outside, where a checkpoint is put so that nobody who has this machine can
take it back. A trail of which no checkpoint is anywhere else is called unanchored.
"""

import asyncio
import os
from pathlib import Path
from typing import Protocol

from collector.config import Trail
from collector.errors import ProofError

_LONGEST_RECEIPT = 4096


class Anchor(Protocol):
    """One place outside."""

    @property
    def name(self) -> str:
        """What the trail calls it."""

    async def publish(self, line: str) -> str:
        """Put a checkpoint there, and return its receipt, which may be ""; raise ProofError."""


class FileAnchor:
    """A file elsewhere, such as on a share that this machine can append to and not change."""

    def __init__(self, path: Path) -> None:
        self.name = f"file:{path}"
        self._path = path

    async def publish(self, line: str) -> str:
        """Append the line; the receipt is the length of the file with it."""
        try:
            return str(await asyncio.to_thread(append, self._path, line))
        except OSError as error:
            raise ProofError(f"{self.name}: {error}") from error


class CommandAnchor:
    """A command that gets the line on its standard input; what it prints is the receipt."""

    def __init__(self, words: tuple[str, ...], *, timeout_s: float) -> None:
        self.name = f"command:{words[0]}"
        self._words = words
        self._timeout_s = timeout_s

    async def publish(self, line: str) -> str:
        """Run it once, in an environment without the collector's own."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._words,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={"PATH": os.environ.get("PATH", os.defpath)},
            )
        except OSError as error:
            raise ProofError(f"{self.name}: {error}") from error
        try:
            async with asyncio.timeout(self._timeout_s):
                said, errors = await process.communicate(f"{line}\n".encode())
        except TimeoutError as error:
            raise ProofError(f"{self.name}: no answer in {self._timeout_s:g} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            words = errors.decode(errors="replace").strip()[-300:]
            raise ProofError(f"{self.name}: exit status {process.returncode}: {words}")
        return said.decode(errors="replace").strip()[:_LONGEST_RECEIPT]


def anchors_of(settings: Trail) -> tuple[Anchor, ...]:
    """Return the anchors that are configured."""
    found: list[Anchor] = []
    if settings.anchor_file:
        found.append(FileAnchor(Path(settings.anchor_file)))
    if settings.anchor_command:
        found.append(CommandAnchor(settings.anchor_command, timeout_s=settings.anchor_timeout_s))
    return tuple(found)


def append(path: Path, line: str) -> int:
    """Append a line to a file, durably; return the length of the file then; raise OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        file.write(f"{line}\n".encode())
        file.flush()
        os.fsync(file.fileno())
        return file.tell()
