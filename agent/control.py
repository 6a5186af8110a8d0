"""The control socket: root on this host asks the running agent. One JSON line each way."""

import asyncio
import json
import logging
import os
import pwd
import socket
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agent import procfs
from agent.errors import AgentError, NotRunningError

log = logging.getLogger("holdfast.agent.control")

_LONGEST = 65_536
_ANSWER_S = 30.0
Handler = Callable[[Mapping[str, Any], str], Mapping[str, Any]]


class ControlServer:
    """Serves requests by name; a handler gets the request and who asks, and returns the answer.

    A process that `is_watched` (by pid) is refused, whatever its user.
    """

    def __init__(
        self, path: Path, handlers: Mapping[str, Handler], *, is_watched: Callable[[int], bool]
    ) -> None:
        self._path = path
        self._handlers = handlers
        self._is_watched = is_watched
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen; raise AgentError if the socket cannot be made."""
        try:
            self._path.unlink(missing_ok=True)  # of a run that was killed; the lock says so
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            # The mode of the socket itself, before anyone can connect to it.
            os.fchmod(listener.fileno(), 0o600)
            listener.bind(str(self._path))
            self._path.chmod(0o600)
            self._server = await asyncio.start_unix_server(
                self._serve, sock=listener, limit=_LONGEST
            )
        except OSError as error:
            raise AgentError(f"{self._path}: no control socket: {error.strerror}") from error

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            try:
                line = await asyncio.wait_for(reader.readline(), _ANSWER_S)
            except ValueError:  # of a line that does not end
                line = b""
            answer = self._answer(line, writer.get_extra_info("socket"))
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except (TimeoutError, OSError, ValueError) as error:
            log.warning("control: %r", error)
        finally:
            writer.close()

    def _answer(self, line: bytes, peer: socket.socket) -> Mapping[str, Any]:
        raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid, uid, _ = struct.unpack("3i", raw)
        if uid not in {0, os.geteuid()}:
            return _no(f"uid {uid} may not control the agent; ask as root")
        if self._is_watched(pid):
            log.warning("control: refused to process %d, which is watched", pid)
            return _no(
                f"process {pid} is watched by this agent, or comes from one that is, and may not "
                "control it; ask as root from a login of your own"
            )
        try:
            request = json.loads(line)
            handler = self._handlers[request["do"]]
            # Half a surrogate pair is no text: neither the journal nor a message could hold it.
            json.dumps(request, ensure_ascii=False).encode()
        except (ValueError, KeyError, TypeError, RecursionError):
            return _no(
                f"not a request; one is a line of at most {_LONGEST} bytes of JSON, and known are "
                f"{', '.join(self._handlers)}"
            )
        try:
            return {"ok": True, **handler(request, _name(pid, uid))}
        except AgentError as error:
            return _no(str(error))
        except Exception:  # top of the loop over requests
            log.exception("control: %s", request["do"])
            return _no("the agent failed; its log says how")


def ask(path: Path, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the running agent's answer; raise NotRunningError if none runs, AgentError on no."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            peer.settimeout(_ANSWER_S)
            peer.connect(str(path))
            peer.sendall(json.dumps(request).encode() + b"\n")
            with peer.makefile("rb") as answers:
                answer = json.loads(answers.readline())
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NotRunningError(f"{path}: no agent runs here") from error
    except PermissionError as error:
        raise AgentError(f"{path}: only root may ask the agent; use sudo") from error
    except (OSError, ValueError, RecursionError) as error:
        raise AgentError(f"{path}: the agent does not answer: {error}; see its log") from error
    if not isinstance(answer, dict):
        raise AgentError(f"{path}: what answers is no agent; see which process has the socket")
    if not answer.get("ok"):
        raise AgentError(str(answer.get("error", "the agent refused")))
    return answer


def who_asks() -> str:
    """Return the name to record for what this very process does."""
    return _name(os.getpid(), os.geteuid())


def _name(pid: int, uid: int) -> str:
    """Return who is behind a process: the one who logged in, if anyone did, and its user."""
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    login = procfs.login_name(pid)
    return f"{login} as {user}" if login and login != user else user


def _no(problem: str) -> Mapping[str, Any]:
    return {"ok": False, "error": problem}
