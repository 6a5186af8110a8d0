"""The real collector, in a process that dies by SIGKILL at a step of one of its exports.

Run as `python -m tests.support.mortal_export POINT CONFIG`. It says "dying" before it dies. The
hooks are put in here; the product has none.
"""

import os
import signal
import sys
from typing import Any

from collector.__main__ import main
from collector.export.position import Positions
from collector.export.sinks import SyslogSink, WebhookSink

NAMES = ("hook", "log")  # of a webhook and of syslog
# What is behind one step is before the next.
POINTS = tuple(
    f"{when} of {name}"
    for name in NAMES
    for when in ("before the plan", "before the send", "before the done", "after the done")
)


def _die_at(point: str) -> None:
    def check(here: str) -> None:
        if here == point:
            print("dying", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

    for step in ("plan", "done"):
        setattr(Positions, step, _around(getattr(Positions, step), step, check))
    for sink in (WebhookSink, SyslogSink):
        setattr(sink, "send", _around_send(sink.send, check))  # noqa: B010 - mypy forbids the other


def _around(method: Any, step: str, check: Any) -> Any:
    def around(self: Positions, name: str, *arguments: Any, **options: Any) -> Any:
        check(f"before the {step} of {name}")
        done = method(self, name, *arguments, **options)
        check(f"after the {step} of {name}")
        return done

    return around


def _around_send(method: Any, check: Any) -> Any:
    async def around(self: Any, *arguments: Any) -> None:
        check(f"before the send of {self._settings.name}")
        await method(self, *arguments)
        check(f"after the send of {self._settings.name}")

    return around


if __name__ == "__main__":
    _, chosen, config = sys.argv
    assert chosen in POINTS, chosen
    _die_at(chosen)
    sys.argv = ["holdfast-collector", "run", "--config", config]
    main()
