"""Draws charts as SVG, by Vega-Lite in a process of its own.

Its engine takes some 80 MB, so it starts with the first chart and ends when none was asked for in a
while; and whatever it may come to do, the collector goes on.
"""

import asyncio
import contextlib
import json
import logging
import re
import sys
from pathlib import Path

from markupsafe import Markup

from collector.errors import ReportError
from collector.report.charts import Chart

log = logging.getLogger(__name__)

_PROGRAM = Path(__file__).with_name("drawing.py")
_IDLE_S = 120.0
_LONGEST_S = 60.0
_LONGEST_ANSWER = 16 << 20


class Painter:
    """Draws charts, one at a time."""

    def __init__(self, *, idle_s: float = _IDLE_S, longest_s: float = _LONGEST_S) -> None:
        self._idle_s = idle_s
        self._longest_s = longest_s
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._retiring: asyncio.Task[None] | None = None

    async def draw(self, chart: Chart) -> Markup:
        """Return the chart as an `svg` element; empty if it has nothing to show or cannot be drawn.

        The table beside it has the same, so nothing is lost with a picture but the picture.
        """
        if not chart.rows:
            return Markup()
        try:
            drawn = await self._drawn(chart)
        except ReportError as error:
            log.warning("%s", error)
            return Markup()
        # Several charts stand in one page, and what they refer to by name must stay their own.
        drawn = re.sub(r'(id="|url\(#)(?=\w)', rf"\g<1>{chart.name}-", drawn)
        # Text in it is escaped where it was drawn; all else is Vega-Lite's own.
        return Markup(drawn)  # noqa: S704

    async def _drawn(self, chart: Chart) -> str:
        line = json.dumps(chart.specification()) + "\n"
        async with self._turn:
            self._wait_on()
            try:
                answer = await asyncio.wait_for(self._answer(line.encode()), self._longest_s)
            except (TimeoutError, ValueError, OSError) as error:
                await self._end()
                reason = str(error) or f"nothing came within {self._longest_s:g} s"
                raise ReportError(f"chart {chart.name} cannot be drawn: {reason}") from error
            except BaseException:
                # Who asked has gone: its answer must not be taken for the next one's.
                await asyncio.shield(self._end())
                raise
            self._timer = asyncio.get_running_loop().call_later(self._idle_s, self._retire)
        if "error" in answer:
            raise ReportError(f"chart {chart.name} cannot be drawn: {answer['error']}")
        return answer["svg"]

    async def close(self) -> None:
        """End the process that draws; the next chart starts another."""
        self._wait_on()
        async with self._turn:
            await self._end()

    def _wait_on(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _retire(self) -> None:
        self._retiring = asyncio.create_task(self.close())

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        # Reads what is left, and so closes both pipes.
        await process.communicate()

    async def _answer(self, line: bytes) -> dict[str, str]:
        process = self._process
        if process is None or process.returncode is not None:
            await self._end()
            self._process = process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                str(_PROGRAM),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_LONGEST_ANSWER,
                env={"LANG": "C.UTF-8"},
                close_fds=True,
            )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(line)
        await process.stdin.drain()
        said = await process.stdout.readline()
        if not said.endswith(b"\n"):
            raise ValueError("the process that draws has ended")
        answer = json.loads(said)
        assert isinstance(answer, dict)
        return answer
