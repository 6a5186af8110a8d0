"""The API as a client meets it: tokens, envelopes, limits, pages, the stream, SQL."""

import asyncio
import contextlib
import json
import socket
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.tryout.board import Board
from deploy.tryout.link import Access
from deploy.tryout.reviewer import Reviewer
from tests.end_to_end.collector.conftest import People, follow, populate
from tests.support.centre import centre
from tests.support.house import Watcher
from tests.support.wire_host import exec_act, full_row, rule

pytestmark = pytest.mark.nats


def _error(answer: httpx.Response) -> dict[str, Any]:
    body = answer.json()
    assert set(body) == {"error"}, body
    error: dict[str, Any] = body["error"]
    assert error["code"] and error["message"] and error["remedy"]
    return error


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "code"),
    [
        ("GET", "/nowhere", {}, 404, "not_found"),
        ("DELETE", "/requests", {}, 405, "method_not_allowed"),
        ("GET", "/requests?limit=0", {}, 422, "validation"),
        ("GET", "/requests?limit=1001", {}, 422, "validation"),
        ("GET", "/requests?state=undecided", {}, 422, "validation"),
        ("GET", "/requests?since=yesterday", {}, 422, "validation"),
        ("GET", "/requests?since=1795537120675061841", {}, 422, "validation"),
        ("GET", "/events?until=0.0", {}, 422, "validation"),
        ("GET", "/events?after=%C2%B2-a-1", {}, 422, "validation"),
        ("POST", "/trail/query", {"content": b'{"sql": "\\ud800"}'}, 422, "validation"),
        ("POST", "/trail/query", {"content": b'{"\\ud800": 1, "sql": ""}'}, 422, "validation"),
        ("POST", "/trail/query", {"json": {"sql": "SELECT " + "[" * 200}}, 422, "bad_sql"),
        ("GET", "/trail/export?what=batches", {}, 422, "validation"),
        ("GET", "/trail/export?after=events/a/1", {}, 422, "validation"),
        ("GET", "/trail/export?format=xml", {}, 422, "validation"),
        ("GET", "/trail/export?where=1%3D1)%20LIMIT%20(1", {}, 422, "bad_sql"),
        ("GET", "/requests?after=abc", {}, 422, "validation"),
        ("GET", "/requests?after=abc&state=all", {}, 422, "validation"),
        ("GET", "/requests/abc", {}, 404, "unknown_request"),
        ("GET", "/requests/" + "0" * 32, {}, 404, "unknown_request"),
        ("GET", "/events?after=nonsense", {}, 422, "validation"),
        ("GET", "/events?kind=chroot", {}, 422, "validation"),
        ("POST", "/trail/query", {"content": b"{"}, 422, "validation"),
        ("POST", "/trail/query", {"json": {"sql": "SELECT 1", "limit": 10_001}}, 422, "validation"),
        ("POST", "/trail/query", {"json": {"sql": "SELECT 1", "more": 1}}, 422, "validation"),
        ("POST", "/trail/query", {"json": {"sql": "DROP TABLE holds"}}, 422, "bad_sql"),
        (
            "POST",
            "/requests/" + "0" * 32 + "/decision",
            {"json": {"answer": "perhaps"}},
            422,
            "validation",
        ),
        (
            "POST",
            "/requests/" + "0" * 32 + "/decision",
            {"json": {"answer": "approve", "reason": "x"}},
            404,
            "unknown_request",
        ),
        ("POST", "/trail/query", {"content": b" " * 65_537}, 413, "too_large"),
    ],
)
async def test_every_failure_is_the_envelope(
    people: People, method: str, path: str, options: dict[str, Any], status: int, code: str
) -> None:
    """Programs find one shape for each failure, people find a remedy in it."""
    async with people.client(people.admin) as client:
        answer = await client.request(method, path, **options)
    assert answer.status_code == status, answer.text
    assert _error(answer)["code"] == code


async def test_a_body_that_hides_its_length_is_cut(people: People) -> None:
    """The limit counts what comes, not what is announced."""

    async def chunks() -> Any:
        for _ in range(100):
            yield b" " * 1024

    async with people.client(people.admin) as client:
        answer = await client.post("/trail/query", content=chunks())
    assert (answer.status_code, _error(answer)["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "Bearer hft_000000000000_" + "0" * 64,
        "Bearer hft_" + "x" * 80,
        "Bearer",
        "Basic cm9vdDpyb290",
    ],
    ids=["none", "unknown", "malformed", "empty", "basic"],
)
@pytest.mark.parametrize("path", ["/whoami", "/requests", "/requests/stream", "/hosts", "/events"])
async def test_without_a_valid_token_there_is_nothing(
    people: People, header: str | None, path: str
) -> None:
    """Every route but the health check asks who is calling."""
    headers = {} if header is None else {"Authorization": header}
    async with people.client() as client:
        answer = await client.get(path, headers=headers)
    assert (answer.status_code, _error(answer)["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_revoked_token_is_refused_at_once(people: People) -> None:
    """Also while the daemon runs: it keeps no copy of tokens."""
    token = people.centre.token("temp@example.com", "admin")
    async with people.client(token) as client:
        assert (await client.get("/whoami")).json()["role"] == "admin"
        listed = people.centre.run("token", "list", "--config", str(people.centre.config))
        token_id = next(line for line in listed.splitlines() if "temp@" in line).split()[0]
        assert token_id in token
        people.centre.run("token", "revoke", token_id, "--config", str(people.centre.config))
        assert (await client.get("/whoami")).status_code == 401
    assert token.split("_")[2] not in listed


async def test_openapi_lists_every_route_with_its_failures(people: People) -> None:
    """The description is complete: each route of the contract, each with the envelope."""
    async with people.client() as client:
        described = (await client.get("/openapi.json")).json()
    routes = {
        (method.upper(), path) for path, methods in described["paths"].items() for method in methods
    }
    assert routes == {
        ("GET", "/healthz"),
        ("GET", "/api/v1/whoami"),
        ("GET", "/api/v1/requests"),
        ("GET", "/api/v1/requests/stream"),
        ("GET", "/api/v1/requests/{request_id}"),
        ("POST", "/api/v1/requests/{request_id}/decision"),
        ("POST", "/api/v1/requests/{request_id}/comments"),
        ("POST", "/api/v1/requests/{request_id}/break-glass"),
        ("POST", "/api/v1/requests/decisions"),
        ("GET", "/api/v1/sessions/{name}"),
        ("POST", "/api/v1/sessions/{name}/deny"),
        ("POST", "/api/v1/asks"),
        ("GET", "/api/v1/asks/{ask_id}"),
        ("POST", "/api/v1/asks/{ask_id}/withdraw"),
        ("GET", "/api/v1/figures"),
        ("GET", "/api/v1/grants"),
        ("POST", "/api/v1/grants/{grant_id}/revoke"),
        ("GET", "/api/v1/quarantines"),
        ("POST", "/api/v1/quarantines"),
        ("POST", "/api/v1/quarantines/{quarantine_id}/lift"),
        ("GET", "/api/v1/hosts"),
        ("GET", "/api/v1/events"),
        ("POST", "/api/v1/trail/query"),
        ("GET", "/api/v1/trail/export"),
        ("GET", "/api/v1/trail/report"),
        ("GET", "/api/v1/trail/report.html"),
        ("GET", "/api/v1/trail/evidence"),
        ("GET", "/api/v1/trail/evidence.html"),
        ("GET", "/api/v1/exports"),
        ("GET", "/api/v1/metrics"),
        ("GET", "/api/v1/auth"),
        ("POST", "/api/v1/auth/device"),
        ("POST", "/api/v1/auth/device/token"),
        ("POST", "/api/v1/auth/logout"),
        ("GET", "/api/v1/channels"),
    }
    open_to_all = {"/healthz", "/api/v1/auth", "/api/v1/auth/device", "/api/v1/auth/device/token"}
    for path, methods in described["paths"].items():
        for route in methods.values():
            assert route["tags"] and route["summary"]
            for status, answer in route["responses"].items():
                if status >= "400":
                    schema = answer["content"]["application/json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/ErrorEnvelope"}, path
            if path not in open_to_all:
                assert "401" in route["responses"], path


async def test_pages_of_requests_are_complete_and_do_not_overlap(people: People) -> None:
    """Newest first, by open and by all; `next` leads to the rest and then to nothing."""
    async with people.host() as host, people.client(people.viewer) as client:
        async with follow(client) as stream:
            await stream.ready()
            holds = [
                await host.open(rule_facts=rule(id="paging.rule"), act=exec_act("true", str(n)))
                for n in range(5)
            ]
            await stream.until(holds[-1].hold)
        for state in ("open", "all"):
            seen: list[str] = []
            after = None
            for _ in range(5):
                params = {"state": state, "rule": "paging.rule", "limit": "2"}
                if after:
                    params["after"] = after
                page = (await client.get("/requests", params=params)).json()
                seen += [one["request"] for one in page["requests"]]
                after = page["next"]
                if after is None:
                    break
            assert seen == [hold.hold for hold in reversed(holds)], state
        by_name = await client.get("/requests", params={"host": "web-1", "rule": "paging.rule"})
        assert len(by_name.json()["requests"]) == 5
        other = await client.get("/requests", params={"host": "db-1", "rule": "paging.rule"})
        assert other.json()["requests"] == []
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
        none = await client.get("/requests", params={"since": since})
        assert none.json() == {"requests": [], "next": None, "capped": []}


async def test_a_prefix_must_be_long_and_unique(people: People) -> None:
    """A short or ambiguous prefix decides nothing."""
    async with people.host() as host, people.client(people.reviewer) as client:
        async with follow(client) as stream:
            await stream.ready()
            for end in ("1", "2"):
                hold = await host.open(hold="abcdef" + "0" * 25 + end)
                await stream.until(hold.hold)
        short = await client.get("/requests/abcde")
        assert (short.status_code, _error(short)["code"]) == (404, "unknown_request")
        both = await client.post(
            "/requests/abcdef/decision", json={"answer": "approve", "reason": "x"}
        )
        assert (both.status_code, _error(both)["code"]) == (409, "ambiguous_prefix")
        assert len(_error(both)["matches"]) == 2
        one = await client.get("/requests/ABCDEF" + "0" * 25 + "1")
        assert one.json()["state"] == "open"


async def test_events_come_back_by_every_filter(people: People) -> None:
    """What the host sent is what the filters find; pages cover all of it once."""
    async with people.host("db-1") as host, people.client(people.viewer) as client:
        row = full_row() | {"session": "77-1", "path": "/etc/shadow", "address": "192.0.2.7"}
        await host.events(*[row | {"time_ns": 1_000 * n, "count": 1} for n in range(1, 8)])
        await host.events({"kind": "gap", "count": 42, "detail": "ring full", "time_ns": 9_000})
        counted = "SELECT count(*) FROM events WHERE host = ?"
        assert await people.ask_until([[8]], counted, host.id) == [[8]]
        filters = {
            "host": "db-1",
            "subject": "text",
            "session": "77-1",
            "kind": "open",
            "path": "shad",
            "address": "192.0.2.7",
            "rule": "text",
            "hold": "text",
            "since": "1970-01-01T00:00:00Z",
            "until": "1970-01-02T00:00:00",
        }
        seen = []
        params = filters | {"limit": "3"}
        while True:
            page = (await client.get("/events", params=params)).json()
            seen += [(one["number"], one["time_ns"]) for one in page["events"]]
            if page["next"] is None:
                break
            params["after"] = page["next"]
        assert seen == [(n, 1_000 * n) for n in range(7, 0, -1)]
        for name in ("subject", "session", "kind", "path", "address", "rule", "hold"):
            other = {name: "exec" if name == "kind" else "other", "host": host.id}
            assert (await client.get("/events", params=other)).json()["events"] == [], name
        hosts = {one["name"]: one for one in (await client.get("/hosts")).json()["hosts"]}
        assert hosts["db-1"]["gap_events"] == 42
        assert hosts["db-1"]["last_event_ns"] == 9_000
        assert hosts["db-1"]["mode"] is None
        gaps = await people.ask("SELECT kind, missing_events FROM gaps WHERE host = ?", host.id)
        assert gaps == [["lost on the host", 42]]


async def test_hosts_tell_what_they_are(people: People) -> None:
    """The newest record counts, under the enrolled name, with the holds that wait there."""
    async with people.host() as host, people.client(people.viewer) as client:
        counted = "SELECT count(*) FROM hosts WHERE host = ?"
        await host.record(mode="audit", started_ns=1)
        # A newer record takes the place of one that nobody has read yet.
        assert await people.ask_until([[1]], counted, host.id) == [[1]]
        await host.record(
            mode="stop", name="calls-itself-db-1", subjects=("a", "b"), without_effect=("r",)
        )
        assert await people.ask_until([[2]], counted, host.id) == [[2]]
        async with follow(client) as stream:
            await stream.ready()
            await stream.until((await host.open()).hold)
        found = {one["host"]: one for one in (await client.get("/hosts")).json()["hosts"]}
        mine = found[host.id]
        assert (mine["name"], mine["mode"], mine["subjects"]) == ("web-1", "stop", ["a", "b"])
        assert mine["open_holds"] >= 1
        assert mine["without_effect"] == ["r"]


async def test_a_host_cannot_pass_for_another_before_a_reviewer(people: People) -> None:
    """What is shown is the name under which the centre enrolled the host."""
    async with people.host() as host, people.client(people.viewer) as client:
        async with follow(client) as stream:
            await stream.ready()
            hold = await host.open(host_name="db-1")
            shown = await stream.until(hold.hold)
        assert shown["host_name"] == "web-1"
        assert "db-1" not in json.dumps(shown["card"])


async def test_the_stream_starts_with_what_is_open(people: People) -> None:
    """A client that connects anew misses nothing that still waits, and each change follows."""
    async with people.host() as host, people.client(people.reviewer) as client:
        async with follow(client) as stream:
            await stream.ready()
            hold = await host.open()
            await stream.until(hold.hold)
        async with follow(client) as stream:
            assert hold.hold in await stream.ready()
            await client.post(f"/requests/{hold.hold}/comments", json={"text": "hm"})
            commented = await stream.until(hold.hold)
            assert commented["comments"][0]["text"] == "hm"
            await client.post(
                f"/requests/{hold.hold}/decision", json={"answer": "deny", "reason": "no"}
            )
            decided = await stream.until(hold.hold, state="denied")
            assert decided["decision"]["by"] == "ann@example.com"
            assert decided["may_decide"]["allowed"] is False
        async with follow(client) as stream:
            assert hold.hold not in await stream.ready()


async def test_a_hostile_line_end_breaks_no_event_for_any_reader(people: People) -> None:
    """Characters that end lines elsewhere than in the stream stay inside the text."""
    text = "a\u2028b\u0085c\u2029d"
    async with people.host() as host, people.client(people.viewer) as client:
        async with follow(client) as stream:
            await stream.ready()
            hold = await host.open(act=exec_act("printf", text))
            assert (await stream.until(hold.hold))["act"]["argv"][-1] == text
        watcher = await asyncio.to_thread(Watcher, people.centre.api_url, people.viewer)
        seen = await asyncio.to_thread(watcher.wait, lambda one: one["request"] == hold.hold)
        watcher.close()
        assert seen["act"]["argv"][-1] == text
        board = Board()
        access = Access(api=people.centre.api_url, token=people.viewer)
        with Reviewer(access, board):
            assert board.requests[hold.hold]["act"]["argv"][-1] == text


async def test_a_client_that_does_not_read_is_cut_off_and_nobody_waits(tmp_path: Path) -> None:
    """Its queue is bounded; the others go on as if it were not there."""
    with centre(tmp_path, start=False) as running:
        text = running.config.read_text(encoding="utf-8")
        running.config.write_text(text + "stream_queue = 8\n", encoding="utf-8")
        running.start_nats()
        running.start_collector()
        people = populate(running)
        host_name, port = running.api_url.removeprefix("http://").split(":")
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect((host_name, int(port)))
            deaf.sendall(
                b"GET /api/v1/requests/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
                + people.viewer.encode()
                + b"\r\n\r\n"
            )
            async with (
                people.host() as host,
                people.client(people.viewer) as client,
                follow(client) as stream,
            ):
                await stream.ready()
                # What the kernel keeps for a deaf client is a few MB: changes of 60 kB fill it.
                hold = await host.open(act=exec_act("printf", "x" * 60_000))
                await stream.until(hold.hold)
                for number in range(150):
                    sent = await client.post(
                        f"/requests/{hold.hold}/comments", json={"text": f"remark {number}"}
                    )
                    assert sent.status_code == 201
                    shown = await stream.until(hold.hold)
                    assert len(shown["comments"]) == number + 1
            deaf.settimeout(20)
            while await asyncio.to_thread(_read, deaf):
                pass  # up to the end that the collector made; without one this times out


async def test_one_token_cannot_take_every_stream(tmp_path: Path) -> None:
    """Past its share it is refused, also when all come at once; the others still get in."""
    with centre(tmp_path, start=False) as running:
        text = running.config.read_text(encoding="utf-8")
        running.config.write_text(text + "stream_clients_per_token = 2\n", encoding="utf-8")
        running.start_nats()
        running.start_collector()
        people = populate(running)
        async with (
            people.client(people.viewer) as greedy,
            people.client(people.reviewer) as other,
            contextlib.AsyncExitStack() as stack,
        ):
            asked = [greedy.build_request("GET", "/requests/stream") for _ in range(6)]
            answers = await asyncio.gather(*(greedy.send(one, stream=True) for one in asked))
            for answer in answers:
                stack.push_async_callback(answer.aclose)
            assert sorted(one.status_code for one in answers) == [200] * 2 + [503] * 4
            refused = next(one for one in answers if one.status_code == 503)
            await refused.aread()
            assert _error(refused)["code"] == "busy"
            async with follow(other) as stream:
                await stream.ready()


def _read(deaf: socket.socket) -> bytes:
    try:
        return deaf.recv(1 << 20)
    except ConnectionResetError:
        return b""


async def test_sql_answers_and_says_when_there_is_more(people: People) -> None:
    """Columns, rows, types JSON can carry, and whether something was left out."""
    async with people.client(people.viewer) as client:
        answer = await client.post(
            "/trail/query",
            json={"sql": "SELECT range AS n, 'x' AS t FROM range(5) ORDER BY n", "limit": 3},
        )
    assert answer.json() == {
        "columns": [{"name": "n", "type": "BIGINT"}, {"name": "t", "type": "VARCHAR"}],
        "rows": [[0, "x"], [1, "x"], [2, "x"]],
        "truncated": True,
    }


async def test_a_query_that_eats_memory_fails_alone(people: People) -> None:
    """The process is bounded by the kernel: the query fails, the collector goes on."""
    async with people.client(people.viewer) as client:
        answer = await client.post(
            "/trail/query", json={"sql": "SELECT length(repeat('x', 4000000000))"}
        )
        assert (answer.status_code, _error(answer)["code"]) == (422, "bad_sql")
        assert "memory" in _error(answer)["message"].lower()
        assert (await client.get(people.centre.api_url + "/healthz")).json()["status"] == "ok"


async def test_a_query_is_stopped_when_its_client_goes(people: People) -> None:
    """More of them than run at once leave room for the next question at once."""
    slow = {"sql": "SELECT count(*) FROM range(10000000) a, range(10000000) b", "limit": 1}
    begun = time.monotonic()
    for _ in range(3):
        async with people.client(people.viewer) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.post("/trail/query", json=slow, timeout=0.5)
    assert await people.ask("SELECT 1") == [[1]]
    # By their own limit, two at a time, they would take until then at least.
    assert time.monotonic() - begun < 10
