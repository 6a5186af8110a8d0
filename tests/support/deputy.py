"""Approves whatever a host holds, in the collector's place and with its keys.

In software emulation a collector takes seconds for an answer, and a case waits for thousands. Its
host notices no difference: it tells of each hold over NATS and obeys a signed verdict.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Self

from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from tests.support.house import House
from tests.support.inside import PATIENCE
from tests.support.wire_host import connect_as
from wire import subjects
from wire.codec import decode, encode
from wire.ids import VerdictId, new_id, request_of
from wire.messages import Answer, Ground, HoldOpened, Verdict
from wire.signing import Signer

_WAIT_S = 60 * PATIENCE


class Deputy:
    """Signs verdicts from a thread of its own, each `delay_s` after its hold came."""

    def __init__(self, home: House) -> None:
        self.delay_s = 0.0
        self.failures: list[str] = []
        self._home = home
        keys = home.centre.state / "keys"
        self._seed = (keys / "collector.nk").read_text(encoding="ascii").strip()
        text = (keys / "signing.key").read_text(encoding="ascii")
        self._signer = Signer.from_seed(text, place=str(keys / "signing.key"))
        self._approved: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._waiting: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._work(),))

    def __enter__(self) -> Self:
        self._home.centre.stop_collector()
        self._thread.start()
        try:
            self._ready.result(_WAIT_S)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        self._loop.close()

    def begin(self, delay_s: float) -> None:
        """Count anew, and think so long before each answer."""
        with self._changed:
            self.delay_s = delay_s
            self._approved.clear()
            self.failures.clear()

    def done(self) -> dict[str, int]:
        """Return how many were approved of each kind, once nobody waits for an answer."""
        with self._changed:
            assert self._changed.wait_for(lambda: not self._waiting, _WAIT_S)
            return dict(self._approved)

    async def _work(self) -> None:
        try:
            async with self._connected():
                self._ready.set_result(None)
                await self._over.wait()
        except Exception as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[None]:
        client = await connect_as(self._home.centre.nats_url, self._seed, "collector")
        try:
            self._stream = client.jetstream(timeout=10 * PATIENCE)
            await self._stream.subscribe(
                "hf.hold.*.*",
                stream=subjects.HOLDS,
                cb=self._take,
                config=ConsumerConfig(deliver_policy=DeliverPolicy.NEW, ack_policy=AckPolicy.NONE),
            )
            yield
        finally:
            await client.close()

    async def _take(self, message: Msg) -> None:
        said = decode(message.data)
        if isinstance(said, HoldOpened):
            with self._changed:
                answer = asyncio.create_task(self._answer(said))
                self._waiting.add(answer)

    async def _answer(self, opened: HoldOpened) -> None:
        failure = ""
        try:
            await asyncio.sleep(self.delay_s)
            data = encode(_approval(opened))
            subject = subjects.verdict(opened.host, opened.hold)
            headers = {"Nats-Msg-Id": new_id(), **self._signer.headers(data)}
            await self._stream.publish(subject, data, headers=headers)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            failure = repr(error)
        with self._changed:
            if failure:
                self.failures.append(failure)
            else:
                self._approved[opened.act.kind] += 1
            task = asyncio.current_task()
            assert task is not None
            self._waiting.discard(task)
            self._changed.notify_all()


def _approval(opened: HoldOpened) -> Verdict:
    return Verdict(
        verdict=VerdictId(new_id()),
        host=opened.host,
        hold=opened.hold,
        request=request_of(opened.hold),
        digest=opened.digest,
        answer=Answer.APPROVE,
        ground=Ground.DECISION,
        by="ann@example.com",
        via="api",
        reason="a test of transparency",
        boot_id=opened.boot_id,
        expires_boot_ns=opened.deadline_boot_ns,
        time_ns=time.time_ns(),
    )
