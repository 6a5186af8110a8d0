"""What time does to open requests: by the policies in force at that moment."""

import asyncio
from dataclasses import dataclass, field

import pytest

from collector.approvals.record import RequestState
from collector.identity.people import Caller, Role
from collector.policy.model import Policy, PolicySet, Quota, Silence, Step
from tests.support.model_site import NAMES, KilledError, ModelCollector, Streams
from tests.unit.collector.samples import NOON_NS, make_opened
from wire import subjects
from wire.codec import encode
from wire.ids import RequestId
from wire.messages import Answer, Ground
from wire.signing import Signer, Verifier

SECOND = 10**9
ANN = Caller("ann", Role.REVIEWER, (), "t", groups=("dba",))
BOB = Caller("bob", Role.REVIEWER, (), "t", groups=("dba",))
OPENED = make_opened()
REQUEST = RequestId(OPENED.hold)


@dataclass
class Centre:
    """One collector with one open request, and a clock that the test moves."""

    now: int = NOON_NS
    streams: Streams = field(default_factory=Streams)

    async def begin(self, *policies: Policy) -> ModelCollector:
        """Start under these policies."""
        key = Signer.generate()
        verifier = Verifier(frozenset({key.key_id}))
        made = ModelCollector(self.streams, key, verifier, lambda: self.now, [ANN, BOB])
        await made.start()
        made.put_in_force(PolicySet(policies))
        subject = subjects.hold(OPENED.host, OPENED.hold)
        self.streams.put(subjects.HOLDS, subject, encode(OPENED), {})
        await catch_up(self, made)
        return made


async def catch_up(centre: Centre, collector: ModelCollector) -> None:
    """Take in all that is there."""
    for name in NAMES:
        while collector.next[name] < len(centre.streams.messages[name]):
            await collector.take(name, collector.next[name])


def _state(collector: ModelCollector) -> RequestState:
    record = collector.book.register.get(REQUEST)
    assert record is not None
    return record.state


async def test_silence_is_expiry_at_the_deadline_and_not_before() -> None:
    """By the centre's clock; with `keep` it is never."""
    centre = Centre()
    collector = await centre.begin(Policy(id="p", deadline_s=60))
    centre.now += 59 * SECOND
    await collector.let_time_act()
    assert not centre.streams.decisions()
    collector.put_in_force(PolicySet((Policy(id="p", deadline_s=10, silence=Silence.KEEP),)))
    await collector.let_time_act()
    assert not centre.streams.decisions()
    collector.put_in_force(PolicySet((Policy(id="p", deadline_s=59),)))
    await collector.let_time_act()
    await catch_up(centre, collector)
    assert _state(collector) is RequestState.EXPIRED
    assert centre.streams.decisions()[REQUEST].ground is Ground.TIMEOUT_POLICY


async def test_votes_that_were_enough_before_the_deadline_are_not_silence() -> None:
    """Their collector was killed before it could decide."""
    centre = Centre()
    two = Policy(id="p", approve=(Quota(votes=2),), deadline_s=60)
    collector = await centre.begin(two)
    record = collector.book.register.get(REQUEST)
    assert record is not None
    for who in (ANN, BOB):
        collector.publisher.faults = ["", "killed before"]
        try:
            await collector.decider.decide(
                who, record, answer=Answer.APPROVE, reason="so", digest=None, via="cli"
            )
        except KilledError:
            await collector.start()
            await catch_up(centre, collector)
        centre.now += SECOND
    centre.now += 61 * SECOND
    assert not centre.streams.decisions()
    await collector.let_time_act()
    decision = centre.streams.decisions()[REQUEST]
    assert (decision.answer, decision.by) == (Answer.APPROVE, "ann, bob")


async def test_a_policy_that_asks_for_fewer_decides_with_the_votes_that_there_are() -> None:
    """At once, as a restart would."""
    centre = Centre()
    collector = await centre.begin(Policy(id="p", approve=(Quota(group="dba", votes=2),)))
    record = collector.book.register.get(REQUEST)
    assert record is not None
    await collector.decider.decide(
        ANN, record, answer=Answer.APPROVE, reason="so", digest=None, via="cli"
    )
    await collector.see_to_votes()
    assert not centre.streams.decisions()
    collector.put_in_force(PolicySet((Policy(id="q", approve=(Quota(group="dba"),)),)))
    await collector.see_to_votes()
    decision = centre.streams.decisions()[REQUEST]
    assert (decision.answer, decision.policy) == (Answer.APPROVE, "q")


@pytest.mark.parametrize("group", ["dba", "ghosts"])
async def test_a_running_wait_hears_of_another_policy(group: str) -> None:
    """It waited for an hour, and the new deadline has passed already."""
    centre = Centre()
    escalate = (Step(after_s=3600, groups=("leads",)),)
    quota = (Quota(group=group),)
    collector = await centre.begin(Policy(id="p", approve=quota, escalate=escalate))
    running = asyncio.create_task(collector.waiting.run())
    await asyncio.sleep(0)
    centre.now += 60 * SECOND
    collector.put_in_force(PolicySet((Policy(id="p", approve=quota, deadline_s=30),)))
    collector.waiting.reconsider()
    async with asyncio.timeout(10):
        await centre.streams.decided.wait()
    running.cancel()
    assert centre.streams.decisions()[REQUEST].time_ns == NOON_NS + 30 * SECOND
