"""The terminal's side of the keeper: starts it, reads what it says, and sees its work undone."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from typing import IO

from deploy.bootstrap.commands import uninterrupted
from deploy.bootstrap.progress import Progress
from deploy.tryout import leftovers
from deploy.tryout.board import Board, Facts
from deploy.tryout.places import CHECKOUT, COMMAND, ROOM

_SET_UP_S = 180.0
_UNDO_S = 120.0


@dataclass(frozen=True, slots=True)
class Access:
    """How the person at the terminal reaches the collector."""

    api: str
    token: str


@dataclass(frozen=True, slots=True)
class Undone:
    """How the undoing went; `notes` are lines for the person, usually none."""

    notes: tuple[str, ...]
    clean: bool


class Keeper:
    """The keeper as seen from the terminal. `lock` is the descriptor that holds the room."""

    def __init__(self, board: Board, progress: Progress, lock: int) -> None:
        self._board = board
        self._progress = progress
        self._log: IO[str] = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "deploy.tryout.keeper", str(theirs.fileno())],
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                pass_fds=(theirs.fileno(), lock),
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_until_ready(self) -> Access:
        """Return how to reach the collector, once everything runs."""

        def ready() -> Facts | None:
            return next((e for e in self._board.events if e["event"] == "ready"), None)

        event = self._board.wait(ready, "the parts of Holdfast to start", _SET_UP_S)
        return Access(api=event["api"], token=event["token"])

    def give_task(self, task: str) -> None:
        """Let the AI worker begin one of its tasks."""
        self._send(do="task", task=task)

    def stop(self, *, keep_logs: bool) -> Undone:
        """Have everything undone; return what the person should know of it.

        Signals wait outside until it is done, however often somebody presses Ctrl-C.
        """
        with uninterrupted():
            self._send(do="stop", keep_logs=keep_logs)
            try:
                self._process.wait(_UNDO_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._reader.join()
            gone = next((e for e in self._board.events if e["event"] == "gone"), None)
            undone = self._after(gone)
            self._socket.close()
            self._log.close()
        return undone

    def _after(self, gone: Facts | None) -> Undone:
        if gone is None:
            leftovers.clean()
            ROOM.rmdir()
            words = f"the keeper ended early; what it left was removed\n{self._words()}"
            return Undone((words.rstrip(),), clean=False)
        notes = []
        if gone["logs"]:
            notes.append(f"the logs are in {gone['logs']}")
        if gone["trouble"]:
            notes += [f"could not be undone: {trouble}" for trouble in gone["trouble"]]
            notes.append(f"remove what is left with: sudo {COMMAND} --clean")
        return Undone(tuple(notes), clean=not gone["trouble"])

    def _words(self) -> str:
        self._log.seek(0)
        return "".join(f"    {line}" for line in self._log.readlines()[-15:])

    def _send(self, **order: object) -> None:
        try:
            self._socket.sendall(json.dumps(order).encode() + b"\n")
        except OSError as error:
            # It is gone, which the reader has noticed too.
            self._board.fail(f"the keeper of this run is gone ({os.strerror(error.errno or 0)})")

    def _read(self) -> None:
        with self._socket.makefile("rb") as lines:
            for line in lines:
                event = json.loads(line)
                if event["event"] == "step" and event["state"] == "done":
                    self._progress.done(event["title"], event["seconds"])
                elif event["event"] == "step":
                    self._progress.transient(f"  … {event['title']}")
                self._board.add_event(event)
        if not any(event["event"] == "gone" for event in self._board.events):
            self._board.fail("the keeper of this run has ended; everything it started ends with it")
