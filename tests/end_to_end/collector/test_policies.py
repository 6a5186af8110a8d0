"""A policy that asks several people, through the API, NATS, the trail and a restart."""

import asyncio
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end.collector.conftest import WAIT_S, follow
from tests.support.centre import Centre, centre
from tests.support.wire_host import WireHost, exec_act, rule, state, wire_host
from wire.messages import Answer, Ground, HoldOpened, HoldStateName

pytestmark = pytest.mark.nats

GLASS_S = 40
POLICY = """\
policies:
  - id: production
    when: {labels: {env: production}}
    approve: [{group: dba}, {group: security}]
    escalate: [{after: 1s, groups: [leads]}]
    break_glass: [duty]
  - id: silence
    when: {rules: [test.silence]}
    deadline: 10s
    approve: [{group: dba}]
  - id: nobody
    when: {rules: [test.nobody]}
    approve: [{group: ghosts}]
    escalate: [{after: 1h, groups: [leads]}]
  - id: late
    when: {rules: [test.late]}
    approve: [{group: dba}]
    escalate: [{after: 1h, groups: [leads]}]
  - id: strict
    when: {rules: [test.strict]}
    break_glass: [duty]
    unknown_requester: refuse
  - id: rest
    reason: waived
"""


@dataclass
class Site:
    """A running centre under the policy, a host in production, and tokens by name."""

    centre: Centre
    bundles: dict[str, Path]
    tokens: dict[str, str]

    def client(self, who: str) -> httpx.AsyncClient:
        """Return a client of the API for one of the people."""
        return httpx.AsyncClient(
            base_url=f"{self.centre.api_url}/api/v1",
            headers=Centre.auth(self.tokens[who]),
            timeout=WAIT_S,
        )

    async def say(
        self,
        who: str,
        hold: HoldOpened,
        answer: str = "approve",
        *,
        reason: str = "checked",
        way: str = "decision",
    ) -> httpx.Response:
        """Answer a request as one of the people."""
        body = {"answer": answer, "reason": reason} if way == "decision" else {"reason": reason}
        async with self.client(who) as client:
            return await client.post(f"/requests/{hold.hold}/{way}", json=body)

    async def open(self, host: WireHost, rule_id: str = "test.plain", **given: Any) -> HoldOpened:
        """Open a hold and wait until the centre shows it."""
        async with self.client("vera") as client, follow(client) as stream:
            await stream.ready()
            hold = await host.open(rule_facts=rule(id=rule_id), **given)
            await stream.until(hold.hold, state="open")
        return hold

    async def get(self, hold: HoldOpened) -> dict[str, Any]:
        """Return a request as it stands."""
        async with self.client("vera") as client:
            found: dict[str, Any] = (await client.get(f"/requests/{hold.hold}")).json()
        return found

    async def ask(self, sql: str, hold: HoldOpened) -> list[list[Any]]:
        """Return the rows of a SELECT about one request, for which the ? in it stands."""
        sql = sql.replace("?", f"'{hold.hold}'")
        async with self.client("vera") as client:
            answer = await client.post("/trail/query", json={"sql": sql})
        assert answer.status_code == 200, answer.text
        rows: list[list[Any]] = answer.json()["rows"]
        return rows


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Give a centre under the policy that this module's tests share."""
    with centre(tmp_path_factory.mktemp("policies"), start=False) as made:
        policy = made.state / "policy.yaml"
        policy.write_text(POLICY, encoding="utf-8")
        with made.config.open("a", encoding="utf-8") as file:
            file.write(f'\n[approvals]\npolicy_file = "policy.yaml"\nbreak_glass_s = {GLASS_S}\n')
        made.start_nats()
        made.start_collector()
        people = {
            "dana": ("dba",),
            "sam": ("security",),
            "both": ("dba", "security"),
            "lea": ("leads",),
            "dot": ("duty",),
            "rob": (),
        }
        tokens = {
            name: made.token(f"{name}@example.com", "reviewer", groups=groups)
            for name, groups in people.items()
        }
        tokens["vera"] = made.token("vera@example.com", "viewer")
        bundles = {
            "db-1": made.enroll("db-1", "env=production"),
            "web-1": made.enroll("web-1", "env=test"),
        }
        yield Site(made, bundles, tokens)


async def test_two_groups_must_agree_and_the_decision_names_both(site: Site) -> None:
    """The first approval leaves it open and says who is missing; the second decides."""
    async with wire_host(site.bundles["db-1"]) as host:
        hold = await site.open(host)
        first = await site.say("dana", hold, reason="the weekly copy")
        assert first.status_code == 200, first.text
        assert (first.json()["state"], first.json()["decision"]) == ("open", None)
        assert first.json()["policy"]["missing"] == "1 of security"
        assert [vote["by"] for vote in first.json()["votes"]] == ["dana@example.com"]
        again = await site.say("dana", hold)
        assert again.json()["error"]["code"] == "already_voted"
        assert "1 of security must still approve" in again.json()["error"]["remedy"]
        other = await site.say("rob", hold)
        assert other.json()["error"]["code"] == "not_approver"
        second = await site.say("sam", hold)
        assert second.json()["state"] == "approved", second.text
        verdict = await host.verdict()
        assert (verdict.by, verdict.ground) == (
            "dana@example.com, sam@example.com",
            Ground.DECISION,
        )
        assert verdict.reason == "the weekly copy; checked"
        await host.obey(hold, verdict)
    votes = await site.ask(
        'SELECT "by", groups, policy, counts_for FROM votes WHERE request = ? ORDER BY time_ns',
        hold,
    )
    assert votes == [
        ["dana@example.com", ["dba"], "production", ["dba"]],
        ["sam@example.com", ["security"], "production", ["security"]],
    ]


async def test_one_person_of_both_groups_is_one_vote(site: Site) -> None:
    """And a second person completes it, taking the place that is left."""
    async with wire_host(site.bundles["db-1"]) as host:
        hold = await site.open(host)
        assert (await site.say("both", hold)).json()["state"] == "open"
        assert (await site.say("dana", hold)).json()["state"] == "approved"
        await host.obey(hold, await host.verdict())


async def test_a_denial_after_an_approval_ends_it(site: Site) -> None:
    """Whoever is asked may end it."""
    async with wire_host(site.bundles["db-1"]) as host:
        hold = await site.open(host)
        assert (await site.say("dana", hold)).json()["state"] == "open"
        assert (await site.say("sam", hold, "deny")).json()["state"] == "denied"
        verdict = await host.verdict()
        assert (verdict.answer, verdict.by) == (Answer.DENY, "sam@example.com")
        await host.obey(hold, verdict)


async def test_many_votes_at_the_same_moment_are_one_decision(site: Site) -> None:
    """Each vote is stored; whichever completes it decides, once."""
    async with wire_host(site.bundles["db-1"]) as host:
        hold = await site.open(host)
        answers = await asyncio.gather(*(site.say(who, hold) for who in ("dana", "sam", "both")))
        assert "approved" in {one.json().get("state") for one in answers}
        verdict = await host.verdict()
        assert verdict.answer is Answer.APPROVE
        await host.obey(hold, verdict)
    rows = await site.ask("SELECT len(votes) FROM decisions WHERE request = ?", hold)
    assert rows == [[2]]


async def test_a_vote_outlives_the_collector(site: Site) -> None:
    """Killed between the first vote and the second, it still knows of the first."""
    async with wire_host(site.bundles["db-1"]) as host:
        hold = await site.open(host)
        assert (await site.say("dana", hold)).json()["state"] == "open"
        await asyncio.to_thread(site.centre.stop_collector, signal.SIGKILL)
        await asyncio.to_thread(site.centre.start_collector)
        assert (await site.get(hold))["policy"]["missing"] == "1 of security"
        assert (await site.say("sam", hold)).json()["state"] == "approved"
        verdict = await host.verdict()
        assert verdict.by == "dana@example.com, sam@example.com"
        await host.obey(hold, verdict)


async def test_a_vote_on_identical_holds_outlives_the_collector_for_each_of_them(
    site: Site,
) -> None:
    """A hold that comes after the first vote is no part of what the second one completes."""
    async with wire_host(site.bundles["db-1"]) as host:
        act = exec_act("make", session="78-1", inode=5)
        one = await site.open(host, act=act)
        async with site.client("vera") as client, follow(client) as stream:
            await stream.ready()
            two = await host.open(rule_facts=rule(id="test.plain"), act=act)
            await stream.until(one.hold, count=2)
        assert (await site.say("dana", one)).json()["count"] == 2
        await asyncio.to_thread(site.centre.stop_collector, signal.SIGKILL)
        await asyncio.to_thread(site.centre.start_collector)
        late = await site.open(host, act=act)
        assert (await site.get(late))["request"] == late.hold
        assert (await site.say("sam", one)).json()["state"] == "approved"
        holds = {hold.hold: hold for hold in (one, two)}
        for _ in range(2):
            verdict = await host.verdict()
            hold = holds.pop(verdict.hold)
            assert verdict.digest == hold.digest
            assert verdict.by == "dana@example.com, sam@example.com"
            await host.obey(hold, verdict)
        assert (await site.get(late))["votes"] == []
        assert (await site.say("dana", late, answer="deny")).json()["state"] == "denied"
        await host.obey(late, await host.verdict())


async def test_breaking_the_glass_is_named_as_that(site: Site) -> None:
    """It needs the group and a reason; ground, verdict and the trail's own view say so."""
    async with wire_host(site.bundles["db-1"]) as host:
        hold = await site.open(host)
        route = f"/requests/{hold.hold}/break-glass"
        async with site.client("dana") as client:
            refused = await client.post(route, json={"reason": "fire"})
        assert refused.json()["error"]["code"] == "not_break_glass"
        async with site.client("dot") as client:
            silent = await client.post(route, json={"reason": " "})
            assert silent.json()["error"]["code"] == "reason_required"
            done = await client.post(route, json={"reason": "fire", "digest": hold.digest})
        assert done.json()["state"] == "approved", done.text
        verdict = await host.verdict()
        assert (verdict.ground, verdict.by) == (Ground.BREAK_GLASS, "dot@example.com")
        async with site.client("vera") as client, follow(client) as stream:
            await stream.ready()
            await host.obey(hold, verdict)
            told = await stream.until(hold.hold, outcome="released")
    assert told["ground"] == "break_glass"
    rows = await site.ask(
        "SELECT who, reason, host_confirmed FROM break_glass WHERE request = ?", hold
    )
    assert rows == [["dot@example.com", "fire", "released"]]
    explained = await site.ask("SELECT explained FROM releases WHERE request = ?", hold)
    assert explained == [[True]]


async def test_a_broken_glass_has_a_short_life_also_where_the_hold_has_no_end(site: Site) -> None:
    """The host refuses it afterwards; the request and the trail say that it came too late."""
    async with wire_host(site.bundles["db-1"]) as host:
        for deadline_s, most_s in ((0, GLASS_S), (2, 2.5)):
            hold = await site.open(host, deadline_s=deadline_s)
            before = time.monotonic_ns()
            async with site.client("dot") as client:
                done = await client.post(
                    f"/requests/{hold.hold}/break-glass", json={"reason": "fire"}
                )
            assert done.json()["state"] == "approved", done.text
            verdict = await host.verdict()
            assert verdict.ground is Ground.BREAK_GLASS
            left_s = (verdict.expires_boot_ns - before) / 1e9
            assert 0 < left_s <= most_s + (time.monotonic_ns() - before) / 1e9
            if deadline_s:
                assert verdict.expires_boot_ns == hold.deadline_boot_ns
                continue
            assert left_s >= GLASS_S
            said = state(hold, 1, HoldStateName.HELD, verdict=verdict, detail="too late: dot")
            async with site.client("vera") as reader, follow(reader) as stream:
                await stream.ready()
                await host.say(replace(said, ground=None))
                told = await stream.until(hold.hold, state="approved", outcome=None)
            assert told["states"][0]["detail"] == "too late: dot"
            rows = await site.ask("SELECT host_confirmed FROM break_glass WHERE request = ?", hold)
            assert rows == [["too late, refused"]]


async def test_escalation_lets_others_stand_in(site: Site) -> None:
    """After its time people of its groups fill a place; they were refused before it."""
    async with wire_host(site.bundles["web-1"]) as host:
        hold = await site.open(host, "test.late")
        assert (await site.say("lea", hold)).json()["error"]["code"] == "not_approver"
    async with wire_host(site.bundles["db-1"]) as host:
        hold = await site.open(host)
        for _ in range(200):
            if (await site.say("lea", hold)).status_code == 200:
                break
            await asyncio.sleep(0.05)  # the second passes on the collector's clock
        assert (await site.say("dana", hold)).json()["state"] == "approved"
        await host.obey(hold, await host.verdict())


async def test_a_request_that_nobody_may_approve_says_so_and_escalates_at_once(site: Site) -> None:
    """The group of the policy has nobody; the step of an hour later counts now."""
    async with wire_host(site.bundles["web-1"]) as host:
        hold = await site.open(host, "test.nobody")
        assert (await site.get(hold))["policy"]["stuck"] == (
            "group ghosts: 1 must approve, and 0 are known who may"
        )
        assert (await site.say("lea", hold)).json()["state"] == "approved"
        await host.obey(hold, await host.verdict())


async def test_what_somebody_unknown_asks_is_marked_and_refused_where_the_policy_says(
    site: Site,
) -> None:
    """The login user may be any reviewer's, so an approval may be of one's own."""
    act = exec_act(login_user="asmith")
    async with wire_host(site.bundles["web-1"]) as host:
        marked = await site.open(host, act=act, owner="dana@example.com")
        assert (await site.get(marked))["policy"]["unknown"] == ["login user asmith"]
        assert (await site.say("rob", marked)).json()["state"] == "approved"
        await host.obey(marked, await host.verdict())
        strict = await site.open(host, "test.strict", act=act, owner="dana@example.com")
        shown = (await site.get(strict))["policy"]
        assert shown["unknown"] == ["login user asmith"]
        assert shown["stuck"].startswith("login user asmith: nobody who is known")
        for answer in (
            await site.say("rob", strict),
            await site.say("dot", strict, way="break-glass"),
        ):
            assert answer.status_code == 403, answer.text
            assert answer.json()["error"]["code"] == "unknown_requester"
        assert (await site.say("rob", strict, "deny")).json()["state"] == "denied"
        await host.obey(strict, await host.verdict())
        known = await site.open(host, "test.strict", act=exec_act(login_user="rob"))
        assert (await site.get(known))["policy"]["unknown"] == []
        assert (await site.say("rob", known)).json()["error"]["code"] == "own_request"
        assert (await site.say("dana", known)).json()["state"] == "approved"
        await host.obey(known, await host.verdict())


async def test_silence_becomes_a_denial_that_is_nobodys(site: Site) -> None:
    """At the policy's deadline, on the ground of the timeout policy; the state is expired."""
    async with wire_host(site.bundles["web-1"]) as host:
        hold = await site.open(host, "test.silence")
        verdict = await host.verdict()
        assert (verdict.answer, verdict.ground, verdict.by) == (
            Answer.DENY,
            Ground.TIMEOUT_POLICY,
            "",
        )
        assert (await site.get(hold))["state"] == "expired"
        late = await site.say("dana", hold)
        assert late.status_code == 410, late.text
        await host.say(state(hold, 1, HoldStateName.EXPIRED, verdict=verdict))
    assert await site.ask("SELECT count(*) FROM votes WHERE request = ?", hold) == [[0]]


async def test_a_policy_may_waive_the_reason(site: Site) -> None:
    """Where the rule would want one."""
    async with wire_host(site.bundles["web-1"]) as host:
        hold = await site.open(host)
        assert (await site.say("rob", hold, reason="")).json()["state"] == "approved"


async def test_a_broken_policy_is_not_taken_up(site: Site) -> None:
    """SIGHUP reads the file again: a broken one changes nothing, and a good one counts."""
    policy = site.centre.state / "policy.yaml"
    child = site.centre.collector
    assert child is not None
    policy.write_text("policies: nonsense\n", encoding="utf-8")
    child.process.send_signal(signal.SIGHUP)
    await asyncio.to_thread(child.wait_for, "stay as they are")
    async with wire_host(site.bundles["web-1"]) as host:
        hold = await site.open(host)
        assert (await site.get(hold))["policy"]["id"] == "rest"
        policy.write_text("policies:\n  - id: new\n", encoding="utf-8")
        child.process.send_signal(signal.SIGHUP)
        await asyncio.to_thread(child.wait_for, "policies read again")
        assert (await site.get(hold))["policy"]["id"] == "new"
