"""From a hold on a host to the verdict for it, through the API, NATS and the trail."""

import asyncio
from dataclasses import replace

import pytest

from tests.end_to_end.collector.conftest import People, follow
from tests.support.wire_host import WireHost, connect_as, exec_act, rule, state
from wire import subjects
from wire.codec import encode
from wire.ids import RequestId
from wire.messages import Answer, Decision, Ground, HoldOpened, HoldStateName

pytestmark = pytest.mark.nats


async def _open(people: People, host: WireHost, **options: object) -> HoldOpened:
    """Open a hold and wait until the centre shows it."""
    async with people.client(people.viewer) as client, follow(client) as stream:
        await stream.ready()
        hold = await host.open(**options)
        await stream.until(hold.hold, state="open")
    return hold


async def test_an_approval_becomes_a_signed_verdict_and_the_host_confirms_it(
    people: People,
) -> None:
    """Who approved, when and why reaches the host, and what the host did reaches the trail."""
    async with (
        people.host() as host,
        people.client(people.reviewer) as client,
        follow(client) as stream,
    ):
        await stream.ready()
        hold = await host.open(act=exec_act("psql", "-c", "copy t to stdout"))
        shown = await stream.until(hold.hold, state="open")
        assert shown["card"]["digest"] == hold.digest
        assert shown["may_decide"] == {"allowed": True, "why": "", "approved": False}
        answer = await client.post(
            f"/requests/{hold.hold[:12]}/decision",
            json={
                "answer": "approve",
                "reason": "nightly export",
                "digest": hold.digest,
                "via": "cli",
            },
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["state"] == "approved"
        assert answer.json()["outcome"] is None, "green only when the host confirms"
        verdict = await host.verdict()
        assert (verdict.hold, verdict.host, verdict.digest) == (hold.hold, host.id, hold.digest)
        assert (verdict.answer, verdict.ground) == (Answer.APPROVE, Ground.DECISION)
        assert (verdict.by, verdict.via) == ("ann@example.com", "cli")
        assert verdict.reason == "nightly export"
        assert verdict.boot_id == hold.boot_id
        assert verdict.expires_boot_ns == hold.deadline_boot_ns
        await host.obey(hold, verdict)
        done = await stream.until(hold.hold, outcome="released")
        assert (done["state"], done["ground"]) == ("approved", "decision")
    rows = await people.ask(
        "SELECT who, what, host, reason, ground, guarantee, host_confirmed FROM who_allowed"
        " WHERE request = ?",
        hold.hold,
    )
    assert rows == [
        [
            "ann@example.com",
            "psql -c copy t to stdout",
            "web-1",
            "nightly export",
            "decision",
            "held",
            "released",
        ]
    ]


async def test_a_denial_reaches_the_host_and_the_trail(people: People) -> None:
    """Name, time and reason of a no are kept like those of a yes."""
    async with people.host() as host, people.client(people.admin) as client:
        hold = await _open(people, host)
        answer = await client.post(
            f"/requests/{hold.hold}/decision", json={"answer": "deny", "reason": "not today"}
        )
        assert answer.json()["state"] == "denied"
        verdict = await host.verdict()
        assert verdict.answer is Answer.DENY
    rows = await people.ask(
        'SELECT "by", reason, answer FROM decisions WHERE request = ?', hold.hold
    )
    assert rows == [["root@example.com", "not today", "deny"]]


async def test_fifty_answers_at_once_give_one_decision_and_the_rest_are_told_whose(
    people: People,
) -> None:
    """One compare-and-set decides; every other answer is told who won, when and why."""
    async with people.host() as host, people.client(people.reviewer) as client:
        hold = await _open(people, host)

        async def answer(number: int) -> tuple[int, dict[str, object]]:
            got = await client.post(
                f"/requests/{hold.hold}/decision",
                json={
                    "answer": "approve" if number % 2 else "deny",
                    "reason": f"reason {number}",
                },
            )
            return got.status_code, got.json()

        answers = await asyncio.gather(*(answer(number) for number in range(50)))
        won = [body for status, body in answers if status == 200]
        lost = [body["error"] for status, body in answers if status == 409]
        assert (len(won), len(lost)) == (1, 49)
        decision = won[0]["decision"]
        assert isinstance(decision, dict)
        for error in lost:
            assert isinstance(error, dict)
            assert error["code"] == "already_decided"
            assert error["decided_by"] == "ann@example.com"
            assert error["answer"] == decision["answer"]
            assert error["reason"] == decision["reason"]
            assert error["decided_ns"] == decision["time_ns"]
        verdict = await host.verdict()
        assert (verdict.hold, verdict.reason) == (hold.hold, decision["reason"])
        info = await host.client.jetstream().consumer_info(
            subjects.VERDICTS, subjects.verdict_consumer(host.id)
        )
        assert info.num_pending == 0, "there is one verdict and no second one behind it"


async def test_several_answers_at_once_each_have_their_own_result(people: People) -> None:
    """A refusal keeps no other from its answer, and says what its own route would have said."""
    async with people.host() as host, people.client(people.reviewer) as client:
        good = await _open(people, host)
        own = await _open(people, host, owner="ann@example.com")
        answers = [
            {"request": one, "answer": "approve", "reason": "r"}
            for one in (own.hold, "f" * 32, good.hold, good.hold)
        ]
        got = await client.post("/requests/decisions", json={"answers": answers})
        assert got.status_code == 200, got.text
        results = got.json()["results"]
        assert [one["status"] for one in results] == [403, 404, 200, 409]
        codes = [one["error"] and one["error"]["code"] for one in results]
        assert codes == ["own_request", "unknown_request", None, "already_decided"]
        assert results[2]["result"]["state"] == "approved"
        assert (await host.verdict()).hold == good.hold
        many = await client.post("/requests/decisions", json={"answers": answers * 30})
        assert many.status_code == 422
        figures = (await client.get("/figures")).json()
        assert "ann@example.com" in [one["who"] for one in figures["reviewers"]]
        assert "net.upload" in [one["rule"] for one in figures["rules"]]


async def test_identical_holds_are_one_request_and_each_has_its_own_verdict(people: People) -> None:
    """One answer, one vote, and for each hold that waits a decision and a verdict of its own."""
    async with (
        people.host() as host,
        people.client(people.reviewer) as client,
        follow(client) as stream,
    ):
        await stream.ready()
        acts = [exec_act("make", "deploy", session="77-1", inode=5) for _ in range(4)]
        first, second, third, gone = [await host.open(act=act) for act in acts]
        shown = await stream.until(first.hold, count=4)
        assert shown["card"]["title"].endswith("(4 identical)")
        await host.say(state(gone, 1, HoldStateName.CANCELLED))
        await stream.until(first.hold, count=4)
        listed = (await client.get("/requests", params={"subject": "ai-worker"})).json()["requests"]
        mine = [one for one in listed if one["act"]["session"] == "77-1"]
        assert [one["request"] for one in mine] == [first.hold]
        answer = await client.post(
            f"/requests/{third.hold}/decision",
            json={"answer": "approve", "reason": "agreed", "digest": third.digest},
        )
        assert answer.status_code == 200, answer.text
        assert (answer.json()["request"], answer.json()["state"]) == (first.hold, "approved")
        holds = {hold.hold: hold for hold in (first, second, third)}
        for _ in range(3):
            verdict = await host.verdict()
            hold = holds.pop(verdict.hold)
            assert (verdict.digest, verdict.by) == (hold.digest, "ann@example.com")
            await host.obey(hold, verdict)
        done = await stream.until(first.hold, outcome="released")
        ends = {one["hold"]: (one["state"], one["outcome"]) for one in done["holds"]}
        assert ends == {
            first.hold: ("approved", "released"),
            second.hold: ("approved", "released"),
            third.hold: ("approved", "released"),
            gone.hold: ("cancelled", None),
        }
    rows = await people.ask(
        "SELECT len(also) FROM votes WHERE request = ?"
        " UNION ALL SELECT count(*) FROM who_allowed WHERE what = 'make deploy'"
        " UNION ALL SELECT count(*) FROM releases WHERE explained AND what = 'make deploy'",
        first.hold,
    )
    assert rows == [[2], [3], [3]]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"owner": "Ann@Example.com"}, "answers for the subject"),
        ({"act": exec_act(login_user="ANN")}, "login user"),
        ({"act": exec_act(login_user="ann-unix")}, "login user"),
        ({"act": exec_act(login_user="ann@example.com")}, "login user"),
    ],
    ids=["owner", "local part", "mapped login", "whole name"],
)
async def test_nobody_decides_their_own_request(
    people: People, options: dict[str, object], why: str
) -> None:
    """The owner of the subject and the person who launched the session are requesters."""
    async with people.host() as host, people.client(people.reviewer) as client:
        hold = await _open(people, host, **options)
        shown = (await client.get(f"/requests/{hold.hold}")).json()
        assert shown["may_decide"]["allowed"] is False
        assert why in shown["may_decide"]["why"]
        answer = await client.post(
            f"/requests/{hold.hold}/decision", json={"answer": "approve", "reason": "mine"}
        )
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "own_request"
        assert (await client.get(f"/requests/{hold.hold}")).json()["state"] == "open"


async def test_a_viewer_reads_and_comments_but_does_not_decide(people: People) -> None:
    """The role is checked at the moment of the answer."""
    async with people.host() as host, people.client(people.viewer) as client:
        hold = await _open(people, host)
        answer = await client.post(
            f"/requests/{hold.hold}/decision", json={"answer": "deny", "reason": "no"}
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden_role")
        said = await client.post(f"/requests/{hold.hold}/comments", json={"text": "who is this?"})
        assert said.status_code == 201
        comments = said.json()["comments"]
        assert [(one["by"], one["text"]) for one in comments] == [
            ("vera@example.com", "who is this?")
        ]
    rows = await people.ask("SELECT text FROM comments WHERE request = ?", hold.hold)
    assert rows == [["who is this?"]]


async def test_an_answer_is_about_what_was_shown_and_says_why(people: People) -> None:
    """Another digest is refused, and so is silence where the rule asks for a reason."""
    async with people.host() as host, people.client(people.reviewer) as client:
        hold = await _open(people, host)
        url = f"/requests/{hold.hold}/decision"
        other = await client.post(
            url, json={"answer": "approve", "reason": "x", "digest": "0" * 64}
        )
        assert (other.status_code, other.json()["error"]["code"]) == (409, "digest_mismatch")
        silent = await client.post(url, json={"answer": "approve", "reason": "  "})
        assert (silent.status_code, silent.json()["error"]["code"]) == (422, "reason_required")
        waived = await _open(people, host, rule_facts=rule(reason_required=False))
        fine = await client.post(f"/requests/{waived.hold}/decision", json={"answer": "approve"})
        assert fine.status_code == 200


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (HoldStateName.EXPIRED, "expired"),
        (HoldStateName.CANCELLED, "cancelled"),
        (HoldStateName.SUPERSEDED, "superseded"),
    ],
)
async def test_a_hold_that_the_host_has_ended_takes_no_answer(
    people: People, name: HoldStateName, code: str
) -> None:
    """Each end keeps its own name, and is never merged with a refusal by a person."""
    async with people.host() as host, people.client(people.reviewer) as client:
        async with follow(client) as stream:
            await stream.ready()
            hold = await host.open()
            await host.say(state(hold, 1, name))
            await stream.until(hold.hold, state=code)
        answer = await client.post(
            f"/requests/{hold.hold}/decision", json={"answer": "approve", "reason": "late"}
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (410, code)
        listed = (await client.get("/requests", params={"state": code})).json()["requests"]
        assert hold.hold in [one["request"] for one in listed]


async def test_a_passed_deadline_is_the_hosts_to_judge(people: People) -> None:
    """By this clock it is late; the host decides, and its word that it came too late is shown."""
    async with people.host() as host, people.client(people.reviewer) as client:
        hold = await _open(people, host, deadline_s=-5)
        answer = await client.post(
            f"/requests/{hold.hold}/decision", json={"answer": "approve", "reason": "hurry"}
        )
        assert answer.status_code == 200
        verdict = await host.verdict()
        async with follow(client) as stream:
            await stream.ready()
            await host.say(state(hold, 1, HoldStateName.EXPIRED, ground=Ground.TIMEOUT_POLICY))
            await host.say(state(hold, 2, HoldStateName.KILLED, ground=Ground.TIMEOUT_POLICY))
            late = replace(
                state(hold, 3, HoldStateName.KILLED, verdict=verdict, detail="too late: ann"),
                ground=None,
            )
            await host.say(late)
            shown = await stream.until(hold.hold, outcome="killed", state="expired")
            while len(shown["states"]) < 3:
                shown = await stream.until(hold.hold)
        assert shown["ground"] == "timeout_policy", "the late answer is the ground of nothing"
        assert shown["states"][2]["detail"] == "too late: ann"
        assert shown["decision"]["by"] == "ann@example.com"
    assert await people.ask("SELECT 1 FROM who_allowed WHERE request = ?", hold.hold) == []
    rows = await people.ask("SELECT who FROM who_denied WHERE request = ?", hold.hold)
    assert rows == [["nobody (timeout_policy)"]]


async def test_what_a_host_lies_about_is_kept_apart_and_has_no_effect(people: People) -> None:
    """Another's hold, another's id, a wrong digest: each is in `rejected`, with the reason."""
    async with people.host("web-1") as web, people.host("db-1") as database:
        hold = await _open(people, database)
        other = replace(hold, host=web.id)
        forged = replace(hold, act=exec_act("true"), digest=hold.digest)
        await web.raw(subjects.hold(web.id, hold.hold), encode(other))
        await database.raw(subjects.hold(database.id, hold.hold), encode(forged))
        await web.raw(subjects.hold(web.id, hold.hold), encode(hold))
        await web.raw(
            subjects.hold(web.id, hold.hold),
            encode(replace(state(hold, 1, HoldStateName.CANCELLED), host=web.id)),
        )
        await web.raw(subjects.hold(web.id, hold.hold), b"\xc1 nonsense")
        last = await _open(people, web)
        async with people.client(people.viewer) as client:
            shown = (await client.get(f"/requests/{hold.hold}")).json()
        assert (shown["state"], shown["host"]) == ("open", database.id)
        assert shown["act"]["argv"] == list(hold.act.argv)
    pattern = f"%{hold.hold}"
    count = "SELECT count(*) FROM rejected WHERE subject LIKE ?"
    assert await people.ask_until([[5]], count, pattern) == [[5]]
    rows = await people.ask(
        "SELECT reason FROM rejected WHERE subject LIKE ? ORDER BY stream_sequence", pattern
    )
    reasons = [str(row[0]) for row in rows]
    for reason, part in zip(
        reasons,
        ["another host", "digest", "but came in as", "another host's hold", "msgpack"],
        strict=True,
    ):
        assert part in reason
    assert last.hold != hold.hold


async def test_a_signed_decision_copied_to_another_request_decides_nothing(people: People) -> None:
    """A signature is for one request and one act."""
    seed = (people.centre.state / "keys" / "collector.nk").read_text(encoding="utf-8").strip()
    thief = await connect_as(people.centre.nats_url, seed, "collector")
    try:
        async with people.host() as host, people.client(people.reviewer) as client:
            harmless, wanted = await _open(people, host), await _open(people, host)
            await client.post(
                f"/requests/{harmless.hold}/decision", json={"answer": "approve", "reason": "ok"}
            )
            js = thief.jetstream()
            signed = await js.get_last_msg(
                subjects.DECISIONS, subjects.decision(RequestId(harmless.hold))
            )
            kept = {
                key: value for key, value in (signed.headers or {}).items() if "Holdfast" in key
            }
            await js.publish(
                subjects.decision(RequestId(wanted.hold)), signed.data or b"", headers=kept
            )
            answer = await client.post(
                f"/requests/{wanted.hold}/decision", json={"answer": "deny", "reason": "no"}
            )
            assert (answer.status_code, answer.json()["error"]["code"]) == (409, "decision_forged")
            shown = (await client.get(f"/requests/{wanted.hold}")).json()
            assert (shown["state"], shown["decision"]) == ("open", None)
            verdict = await host.verdict()
            while verdict.hold != harmless.hold:
                verdict = await host.verdict()
            info = await host.client.jetstream().consumer_info(
                subjects.VERDICTS, subjects.verdict_consumer(host.id)
            )
            assert info.num_pending == 0
    finally:
        await thief.close()
    wanted_rows = [["the message says"]]
    sql = "SELECT left(reason, 16) FROM rejected WHERE subject LIKE ?"
    assert await people.ask_until(wanted_rows, sql, f"%{wanted.hold}") == wanted_rows


async def test_a_decision_that_no_collector_signed_releases_nothing(people: People) -> None:
    """Who steals the collector's NATS key can block a request, and release none."""
    seed = (people.centre.state / "keys" / "collector.nk").read_text(encoding="utf-8").strip()
    thief = await connect_as(people.centre.nats_url, seed, "collector")
    try:
        async with people.host() as host, people.client(people.reviewer) as client:
            hold = await _open(people, host)
            decision = Decision(
                request=RequestId(hold.hold),
                answer=Answer.APPROVE,
                ground=Ground.DECISION,
                by="mallory",
                via="api",
                reason="trust me",
                digest=hold.digest,
                votes=(),
                time_ns=1,
            )
            await thief.jetstream().publish(
                subjects.decision(RequestId(hold.hold)), encode(decision)
            )
            answer = await client.post(
                f"/requests/{hold.hold}/decision", json={"answer": "deny", "reason": "no"}
            )
            assert (answer.status_code, answer.json()["error"]["code"]) == (409, "decision_forged")
            shown = (await client.get(f"/requests/{hold.hold}")).json()
            assert (shown["state"], shown["decision"]) == ("open", None)
            following = await _open(people, host)
            await client.post(
                f"/requests/{following.hold}/decision", json={"answer": "deny", "reason": "no"}
            )
            verdicts = [await host.verdict()]
            while verdicts[-1].hold != following.hold:
                verdicts.append(await host.verdict())
            assert hold.hold not in [one.hold for one in verdicts]
    finally:
        await thief.close()
    rows = await people.ask("SELECT reason FROM rejected WHERE subject LIKE ?", f"%{hold.hold}")
    assert rows == [["the message is not signed"]]
