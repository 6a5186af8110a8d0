"""The socket that watched processes may reach: one line of JSON in, one line out.

Whoever connects speaks for the session that its own process is of, and for no other. Connections,
bytes, time and memory are bounded, so that talking to it can keep the agent from nothing else.
"""

import asyncio
import json
import logging
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agent.errors import AgentError, WhyError
from agent.why.claims import Claims
from agent.why.denials import Denials
from agent.why.peer import session_of

log = logging.getLogger("holdfast.agent.why")

SOCKET, DENIALS = "agent.sock", "denials"
_LONGEST = 4096
_READ = 16 * _LONGEST
_ANSWER_S = 2.0
_AT_ONCE = 32
_BACKLOG = 32
# After so many connections others wait for a moment, in the kernel.
_IN_A_ROW = 50
_PAUSE_S = 0.1


def prepare(directory: Path) -> Path:
    """Make the directory that everybody may look into, and the one of denials; return that."""
    denials = directory / DENIALS
    try:
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o755)
        denials.mkdir(exist_ok=True)
        denials.chmod(0o711)
    except OSError as error:
        raise AgentError(f"{directory}: cannot be made: {error.strerror}; run as root") from error
    return denials


class WhyServer:
    """Serves `why` and `last` for the life of the agent."""

    def __init__(
        self,
        directory: Path,
        claims: Claims,
        denials: Denials,
        *,
        find: Callable[[int], str | None],
        now_ns: Callable[[], int],
    ) -> None:
        """`find` gives the session of a pid, None for one that is not watched."""
        self._path = directory / SOCKET
        self._claims = claims
        self._denials = denials
        self._find = find
        self._now_ns = now_ns
        self._listener: socket.socket | None = None
        self._in_a_row = 0
        self._timer: asyncio.TimerHandle | None = None
        self._serving: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Listen; raise AgentError if the socket cannot be made."""
        try:
            self._path.unlink(missing_ok=True)
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.setblocking(False)
            listener.bind(str(self._path))
            self._path.chmod(0o666)
            listener.listen(_BACKLOG)
        except OSError as error:
            raise AgentError(f"{self._path}: no socket: {error.strerror}") from error
        self._listener = listener
        asyncio.get_running_loop().add_reader(listener.fileno(), self._accept)

    async def close(self) -> None:
        """Stop listening, and cut off who is being served."""
        if self._listener is None:
            return
        asyncio.get_running_loop().remove_reader(self._listener.fileno())
        if self._timer is not None:
            self._timer.cancel()
        self._listener.close()
        self._listener = None
        self._path.unlink(missing_ok=True)
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _accept(self) -> None:
        assert self._listener is not None
        if len(self._serving) >= _AT_ONCE or self._in_a_row >= _IN_A_ROW:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._listener.fileno())
            self._timer = loop.call_later(_PAUSE_S, self._go_on)
            return
        try:
            peer, _ = self._listener.accept()
        except OSError:
            return
        self._in_a_row += 1
        if self._in_a_row == 1:
            asyncio.get_running_loop().call_later(_PAUSE_S, self._breathe)
        peer.setblocking(False)
        task = asyncio.create_task(self._serve(peer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    def _breathe(self) -> None:
        self._in_a_row = 0

    def _go_on(self) -> None:
        self._timer = None
        if self._listener is not None:
            asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept)

    async def _serve(self, peer: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with peer:
            try:
                async with asyncio.timeout(_ANSWER_S):
                    line = await _line(peer)
                    answer = json.dumps(self._answer(line, peer)).encode() + b"\n"
                    await loop.sock_sendall(peer, answer)
            except (TimeoutError, OSError):
                pass  # whoever it was does not listen
            except Exception:  # top of the loop over connections
                log.exception("a question could not be answered")

    def _answer(self, line: bytes, peer: socket.socket) -> Mapping[str, Any]:
        try:
            session = session_of(peer, self._find)
            asked = _asked(line)
            match asked["do"]:
                case "why":
                    text, name = asked.get("text"), asked.get("session", "")
                    self._claims.state(session, text, name, self._now_ns())
                    return {"ok": True, "session": session}
                case "last":
                    return {"ok": True, "session": session, "denial": self._denials.last(session)}
                case "news":
                    return {"ok": True, "session": session, "denial": self._denials.news(session)}
                case _:
                    raise WhyError("known are why, last and news")
        except WhyError as error:
            return {"ok": False, "error": str(error)}


async def _line(peer: socket.socket) -> bytes:
    loop, found = asyncio.get_running_loop(), b""
    # What is too long is read on for a while, or whoever sends it would not hear of it.
    while b"\n" not in found and len(found) < _READ:
        piece = await loop.sock_recv(peer, _READ - len(found))
        if not piece:
            break
        found += piece
    return found


def _asked(line: bytes) -> dict[str, Any]:
    try:
        if len(line) > _LONGEST:
            raise ValueError("it is too long")
        asked = json.loads(line)
        if not isinstance(asked, dict) or "do" not in asked:
            raise ValueError("it asks nothing")
    except (ValueError, RecursionError) as error:
        raise WhyError(
            f"not a question: send one line of JSON of at most {_LONGEST} bytes"
        ) from error
    return asked
