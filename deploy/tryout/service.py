"""One part of Holdfast as a child process: started, known to be ready, watched, ended."""

import asyncio
import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.tryout.errors import PartError

READY_S = 60.0
END_S = 30.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How a part is started: `ready` is found in the line that says it is ready."""

    name: str
    argv: tuple[str, ...]
    ready: re.Pattern[str]


class Service:
    """A part that runs. Its output goes to one log file."""

    def __init__(self, plan: Plan, logs: Path, on_end: Callable[[str], None]) -> None:
        self.name = plan.name
        self.log = logs / f"{plan.name}.log"
        self._plan = plan
        self._on_end = on_end
        self._process: asyncio.subprocess.Process | None = None
        self._pump: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[re.Match[str]] = asyncio.get_running_loop().create_future()
        self._ending = False

    @property
    def pid(self) -> int | None:
        """Its pid while it runs."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process is not None else None

    async def start(self, on_start: Callable[[str, int], None]) -> re.Match[str]:
        """Start it and wait for its line; raise PartError with its last words otherwise."""
        # If the keeper is killed outright, the kernel still asks the part to end.
        self._process = await asyncio.create_subprocess_exec(
            "setpriv", "--pdeathsig", "TERM", "--", *self._plan.argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1 << 20,
        )  # fmt: skip
        on_start(self.name, self._process.pid)
        self._pump = asyncio.create_task(self._write_log(self._process))
        try:
            return await asyncio.wait_for(asyncio.shield(self._ready), READY_S)
        except TimeoutError as error:
            raise PartError(
                f"{self.name} was not ready after {READY_S:.0f} s{last_words(self.log)}"
            ) from error

    async def stop(self) -> bool:
        """Ask it to end and wait; kill it if it does not. Return whether it ended when asked."""
        if self._process is None:
            return True
        self._ending = True
        asked = True
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), END_S)
            except TimeoutError:
                asked = False
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
                await self._process.wait()
        if self._pump is not None:
            await self._pump
        return asked

    async def _write_log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        with self.log.open("ab", buffering=0) as log:
            async for line in process.stdout:
                log.write(line)
                found = self._plan.ready.search(line.decode(errors="replace"))
                if found and not self._ready.done():
                    self._ready.set_result(found)
        code = await process.wait()
        if self._ending:
            return
        words = f"{self.name} ended with exit code {code}{last_words(self.log)}"
        if not self._ready.done():
            self._ready.set_exception(PartError(words))
        else:
            self._on_end(words)


def last_words(log: Path, lines: int = 8) -> str:
    """Return the end of a log as text to be appended to a message, empty if it says nothing."""
    try:
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
    except OSError:
        return ""
    return "; it last said:\n" + "\n".join(f"    {line}" for line in tail) if tail else ""
