"""Whatever happens in whatever order, every card ends up showing how its request stands."""

import asyncio
import os
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from collector.approvals.record import Record
from collector.channels import backlog
from collector.channels.interface import Notice, Posted
from collector.channels.notices import version_of
from collector.errors import ChannelBusyError, ChannelError
from tests.support.desk import Desk, desk
from tests.support.receiver import WAIT_S
from tests.unit.collector.samples import make_decision, make_opened, make_state
from wire.ids import HoldId, RequestId, request_of
from wire.messages import Answer, Ground, HoldStateName

S = HoldStateName
PLACES = ["wall:north", "wall:south"]
_SEED = int(os.environ.get("HOLDFAST_TEST_SEED", "0"))
_RUNS = 8 * int(os.environ.get("HOLDFAST_TEST_EXAMPLES", "1"))


@dataclass
class Wall:
    """Where cards hang: it outlives the collector, fails at random, and knows of lost answers."""

    dice: random.Random
    cards: dict[str, Notice] = field(default_factory=dict)  # by reference
    accepted: "Counter[tuple[RequestId, str]]" = field(default_factory=Counter)
    lost: "Counter[tuple[RequestId, str]]" = field(default_factory=Counter)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    calm: bool = False
    name: str = "wall"

    async def post(self, notice: Notice) -> Posted:
        """Hang up a card."""
        self._trouble()
        reference = f"{notice.to} {len(self.cards)}"
        self.accepted[notice.request, notice.to] += 1
        return self._hang(reference, notice)

    async def update(self, posted: Posted, notice: Notice) -> Posted:
        """Change one that hangs there."""
        self._trouble()
        assert self.cards[posted.reference].nonce == notice.nonce
        assert self.cards[posted.reference].version < notice.version
        return self._hang(posted.reference, notice)

    async def run(self) -> None:
        """Nothing comes in."""

    def newest(self, request: RequestId, to: str) -> Notice | None:
        """Return what the last card of a request in one place shows."""
        found = [one for one in self.cards.values() if (one.request, one.to) == (request, to)]
        return max(found, key=lambda one: one.version, default=None)

    def _trouble(self) -> None:
        if not self.calm and self.dice.random() < 0.3:
            raise self.dice.choice(
                [ChannelBusyError("500"), ChannelBusyError("429", retry_after_s=0.0)]
            )
        if not self.calm and self.dice.random() < 0.03:
            raise ChannelError("refused")

    def _hang(self, reference: str, notice: Notice) -> Posted:
        first = reference not in self.cards
        self.cards[reference] = notice
        self.changed.set()
        if first and not self.calm and self.dice.random() < 0.1:
            self.lost[notice.request, notice.to] += 1
            raise ChannelBusyError("no answer", unsure=True)
        return Posted(reference)


@pytest.mark.parametrize("seed", range(_SEED, _SEED + _RUNS))
async def test_every_card_ends_up_showing_how_its_request_stands(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through failures, refusals, lost answers and restarts; doubled only by a lost answer."""
    print(f"seed {seed}")
    monkeypatch.setattr(backlog, "_FIRST_S", 0.001)
    monkeypatch.setattr(backlog, "_LONGEST_S", 0.01)
    dice = random.Random(seed)
    wall = Wall(dice)
    async with desk(tmp_path) as centre:
        standing: dict[RequestId, Record] = {}
        for _ in range(4):
            async with centre.showing([wall], PLACES):
                await _live(centre, standing, dice)
            await _live(centre, standing, dice)
            await centre.restart()
        wall.calm = True
        async with centre.showing([wall], PLACES):
            await _settled(wall, standing)
    for key, times in wall.accepted.items():
        assert times <= 1 + wall.lost[key], key


async def _live(centre: Desk, standing: dict[RequestId, Record], dice: random.Random) -> None:
    """Let a few things happen to requests, some of them at once."""
    for _ in range(dice.randrange(8)):
        waiting = [one for one in standing.values() if not one.finished]
        if not waiting or dice.random() < 0.4:
            opened = make_opened(hold=HoldId(f"{len(standing):032x}"))
            standing[request_of(opened.hold)] = await centre.tell(opened)
            continue
        record = dice.choice(waiting)
        if record.decision is None and dice.random() < 0.6:
            said = replace(make_decision(dice.choice(list(Answer))), request=record.id)
            standing[record.id] = await centre.tell(said)
            continue
        sequence, hold = len(record.states) + 1, record.hold
        next_state = dice.choice([S.CANCELLED, S.EXPIRED] if sequence == 1 else [S.KILLED])
        state = make_state(next_state, sequence, hold=hold, ground=Ground.TIMEOUT_POLICY)
        standing[record.id] = await centre.tell(state)
        if dice.random() < 0.5:
            await asyncio.sleep(0)


async def _settled(wall: Wall, standing: dict[RequestId, Record]) -> None:
    """Wait until everything is shown that must be; fail if it never is."""

    def missing() -> list[tuple[RequestId, str]]:
        found = []
        for record in standing.values():
            for place in PLACES:
                to = place.partition(":")[2]
                shown = wall.newest(record.id, to)
                if shown is None and record.finished:
                    continue  # it was over before it could be shown
                if shown is None or shown.version != version_of(record):
                    found.append((record.id, to))
        return found

    async with asyncio.timeout(WAIT_S):
        while missing():
            wall.changed.clear()
            await wall.changed.wait()
    finished = {record.id for record in standing.values() if record.finished}
    assert not any(
        notice.buttons
        for notice in wall.cards.values()
        if notice.request in finished and wall.newest(notice.request, notice.to) is notice
    )
