"""Channels in a process that dies by SIGKILL between the far side's yes and our record of it.

Run as `python -m tests.support.mortal_channels DIRECTORY`: it shows the requests that wait in the
trail there to webhook:siem, whose files are there too. The hook is put in here; the product has
none.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from collector.channels.http import Http
from collector.channels.store import Cards
from collector.channels.webhook import Webhook
from tests.support.desk import desk


async def _die(*_: Any, **__: Any) -> None:
    print("dying", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


async def _main(directory: Path) -> None:
    Cards.shows = _die  # type: ignore[method-assign]
    async with desk(directory) as centre:
        await centre.restart()
        channel = Webhook(directory, Http(timeout_s=10))
        async with centre.showing([channel], ["webhook:siem"]):
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
