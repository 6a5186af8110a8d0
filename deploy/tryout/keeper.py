"""Owns everything that a run makes, and undoes it when the terminal's side ends, however it ends.

A process of its own, in a session of its own: no Ctrl-C and no closed terminal reaches it. What
descends from it comes back to it when orphaned, so what it ends is by construction its own.
"""

import asyncio
import contextlib
import ctypes
import json
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from collector.errors import CollectorError
from deploy.bootstrap import bpffs
from deploy.bootstrap.errors import SetupError
from deploy.tryout import leftovers, parts, places, processes, record, user
from deploy.tryout.errors import PartError, TryoutError
from deploy.tryout.service import Plan, Service

log = logging.getLogger(__name__)

_PR_SET_CHILD_SUBREAPER = 36
_NO_LOGIN = str(2**32 - 1)


class Keeper:
    """Sets up, runs tasks of the worker, undoes. Speaks lines of JSON with the terminal's side."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._record = record.Record(boot=record.boot_id())
        self._undo: list[tuple[str, Callable[[], Awaitable[None]]]] = []
        self._worker: asyncio.subprocess.Process | None = None
        self._worker_reader: asyncio.Task[None] | None = None
        self._parts: list[Service] = []
        self._keep_logs = False
        self._trouble: list[str] = []

    async def run(self) -> None:
        """Work until the other side says stop or is gone; then undo everything."""
        reader, _ = await asyncio.open_connection(sock=self._control.dup())
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        listening = asyncio.create_task(self._listen(reader, stop))
        setting_up = asyncio.create_task(self._set_up())
        await stop.wait()
        setting_up.cancel()
        await asyncio.gather(setting_up, return_exceptions=True)
        listening.cancel()
        await self._tear_down()

    async def _listen(self, reader: asyncio.StreamReader, stop: asyncio.Event) -> None:
        try:
            async for line in reader:
                order = json.loads(line)
                if order["do"] == "task" and self._worker is not None and self._worker.stdin:
                    self._worker.stdin.write(f"{order['task']}\n".encode())
                elif order["do"] == "stop":
                    self._keep_logs = bool(order.get("keep_logs"))
                    break
        except ConnectionError:
            pass  # the other side was killed, which is an end like any other
        finally:
            stop.set()

    def _say(self, event: str, **fields: object) -> None:
        with contextlib.suppress(OSError):
            self._control.sendall(json.dumps({"event": event, **fields}).encode() + b"\n")

    def _fail(self, message: str) -> None:
        self._say("failed", message=message)

    @contextmanager
    def _step(self, title: str) -> Iterator[None]:
        began = time.monotonic()
        self._say("step", state="start", title=title, seconds=0.0)
        yield
        self._say("step", state="done", title=title, seconds=time.monotonic() - began)

    async def _set_up(self) -> None:
        try:
            api, token = await self._start_everything()
        except (TryoutError, SetupError, CollectorError, OSError) as error:
            self._fail(str(error))
            return
        except Exception as error:
            log.exception("set-up")
            self._fail(f"the set-up itself is broken: {type(error).__name__}: {error}")
            return
        self._say("ready", api=api, token=token)

    async def _start_everything(self) -> tuple[str, str]:
        places.LOGS.mkdir()
        self._record.save()
        with self._step("make the user of the demonstration"):
            self._mount()
            self._later("remove the user of the demonstration", self._remove_user)
            account = user.make()
        with self._step("make keys and rules"):
            outside = parts.Outside(lambda count: self._say("received", bytes=count))
            self._later("close the listener", _async(outside.stop))
            port = await outside.start()
            parts.write_files(outside_port=port)
            parts.init_collector()
            token = parts.make_token()
        with self._step("start nats-server"):
            await self._start(parts.NATS)
        with self._step("enrol this host"):
            await asyncio.to_thread(parts.enrol_host)
        # The agent is undone before the collector, which is to hear how its holds have ended.
        api, _ = await asyncio.gather(self._start_collector(), self._start_agent())
        await self._start_worker(account.pw_uid, account.pw_gid, port)
        return api, token

    async def _start_collector(self) -> str:
        with self._step("start the collector"):
            return await self._start(parts.COLLECTOR)

    async def _start_agent(self) -> None:
        with self._step("start the agent, which loads its BPF programs"):
            self._later("unpin what is left", self._unpin)
            await self._start(parts.AGENT)

    def _mount(self) -> None:
        # Written down first: a mount that nobody remembers stays for ever.
        self._record.mounted = not bpffs.is_mounted(Path("/proc/self/mounts").read_text())
        self._record.save()
        if self._record.mounted:
            self._later("unmount the BPF file system", _async(bpffs.unmount))
            bpffs.mount()

    async def _start(self, plan: Plan) -> str:
        service = Service(plan, places.LOGS, self._fail)
        self._parts.append(service)

        async def stop() -> None:
            if not await service.stop():
                self._trouble.append(f"{plan.name} did not end when asked and was killed")

        self._later(f"end {plan.name}", stop)
        found = await service.start(self._record.add_process)
        return found.group(1) if found.groups() else ""

    async def _start_worker(self, uid: int, gid: int, port: int) -> None:
        self._later("end the worker", self._end_worker)
        self._worker = await asyncio.create_subprocess_exec(
            "setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--reset-env",
            "--pdeathsig=KILL", "--",
            "/usr/bin/python3", str(places.USER_HOME / "worker.py"), f"{places.OUTSIDE} {port}",
            cwd=places.USER_HOME,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1 << 20,
            start_new_session=True,
        )  # fmt: skip
        self._record.add_process("worker", self._worker.pid)
        self._worker_reader = asyncio.create_task(self._read_worker(self._worker))

    async def _read_worker(self, worker: asyncio.subprocess.Process) -> None:
        assert worker.stdout is not None
        log = places.LOGS / "worker.log"
        async for line in worker.stdout:
            with log.open("ab") as file:
                file.write(line)
            try:
                fact = json.loads(line)
            except ValueError:
                continue  # words of the interpreter; they are in the log
            self._say("worker", **fact)
        code = await worker.wait()
        self._fail(f"the AI worker itself ended with exit code {code}; see worker.log")

    async def _end_worker(self) -> None:
        """Kill the worker and its children first: none of it may outlive the watch over it."""
        if self._worker_reader is not None:
            self._worker_reader.cancel()
        if self._worker is not None:
            with contextlib.suppress(ProcessLookupError):
                self._worker.kill()
            await self._worker.wait()
        account = user.find()
        if account is not None:
            processes.kill_all(
                lambda: [
                    seen
                    for seen in processes.descendants(os.getpid())
                    if seen.uid == account.pw_uid
                ]
            )

    async def _unpin(self) -> None:
        """Take away what the agent could not, if it was cut off while it loaded."""
        # Its loader outlives it, has come back to this process, and would go on to pin.
        processes.kill_all(self._orphans)
        leftovers.unpin()

    def _orphans(self) -> list[processes.Seen]:
        """Return what descends from this process, but for the parts that it still runs."""
        ours = {part.pid for part in self._parts}
        below = [s for s in processes.descendants(os.getpid()) if s.parent == os.getpid()]
        return [seen for seen in below if seen.pid not in ours]

    async def _remove_user(self) -> None:
        user.remove()

    def _later(self, title: str, undo: Callable[[], Awaitable[None]]) -> None:
        """Remember how to undo what is about to be done; undoing what was not done is harmless."""
        self._undo.append((title, undo))

    async def _tear_down(self) -> None:
        while self._undo:
            title, undo = self._undo.pop()
            try:
                await undo()
            except Exception as error:  # noqa: BLE001  (each step is tried, come what may)
                self._trouble.append(f"{title}: {error}")
        processes.kill_all(lambda: processes.descendants(os.getpid()))
        logs = self._kept_logs() if self._keep_logs else ""
        if not self._trouble:
            record.leave()
        self._say("gone", trouble=self._trouble, logs=logs)

    def _kept_logs(self) -> str:
        kept = Path(tempfile.mkdtemp(prefix=places.KEPT_LOGS_PREFIX, dir=places.KEPT_LOGS))
        shutil.copytree(places.LOGS, kept, dirs_exist_ok=True)
        return str(kept)


def _async(function: Callable[[], object]) -> Callable[[], Awaitable[None]]:
    async def call() -> None:
        function()

    return call


def _adopt_orphans() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise PartError(f"prctl: {os.strerror(ctypes.get_errno())}")


def _forget_login() -> None:
    """Run like a service: what is started here is nobody's login session."""
    with contextlib.suppress(OSError):  # an audit policy may forbid it; then the session shows
        Path("/proc/self/loginuid").write_text(_NO_LOGIN, encoding="ascii")


def main() -> None:
    """Keep one run, controlled through the socket whose number is the only argument."""
    control = socket.socket(fileno=int(sys.argv[1]))
    _adopt_orphans()
    _forget_login()
    asyncio.run(Keeper(control).run())


if __name__ == "__main__":
    main()
