"""The whole API against anything: its own description's tests, odd HTTP, hostile holds and SQL."""

import asyncio
import socket
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import (
    ignored_auth,
    negative_data_rejection,
    positive_data_acceptance,
)

from tests.end_to_end.collector.conftest import WAIT_S, People, follow
from tests.support.centre import Centre
from tests.support.values import honest_holds
from tests.support.wire_host import digest_of, opened
from wire import subjects
from wire.codec import encode
from wire.ids import HoldId, HostId, new_id
from wire.messages import HoldOpened

pytestmark = pytest.mark.nats

# The stream has no end of its own; its tests are in test_api.
ENDLESS = "/api/v1/requests/stream"
# Asked before anyone is signed in; the first three take nothing that could be wrong.
TAKE_NOTHING = ("/healthz", "/api/v1/auth", "/api/v1/auth/device")
_OPEN_TO_ALL = (*TAKE_NOTHING, "/api/v1/auth/device/token")
# What a caller may mean is not all in the description, and text in a query that reads as the value
# wanted is taken for it. The token is ours to choose: here it is none and a forged one in turn.
LOOSE = [positive_data_acceptance, negative_data_rejection, ignored_auth]


# Each answer is made of some twenty questions to the trail, and of charts.
_OF_MANY_QUESTIONS = ("/api/v1/trail/report", "/api/v1/trail/evidence")


def examples(path: str) -> int:
    """Return how many times an operation is tried."""
    return settings().max_examples // (50 if path.startswith(_OF_MANY_QUESTIONS) else 5)


@pytest.fixture(scope="module")
def hold(people: People) -> HoldOpened:
    """A request that waits, so that answers and comments reach further than its absence."""

    async def opening() -> HoldOpened:
        async with (
            people.host() as host,
            people.client(people.viewer) as client,
            follow(client) as stream,
        ):
            await stream.ready()
            made = await host.open()
            await stream.until(made.hold)
        return made

    return asyncio.run(opening())


@pytest.fixture(scope="module")
def description(people: People) -> Any:
    """The API's own description, from the running collector."""
    return schemathesis.openapi.from_url(f"{people.centre.api_url}/api/v1/openapi.json")


def token_of(people: People, who: str) -> str:
    """Return somebody's token, or none, or one that proves nothing."""
    forged = f"hft_{'0' * 12}_{'0' * 64}"
    tokens = {"reviewer": people.reviewer, "viewer": people.viewer, "forger": forged}
    return tokens.get(who, "")


@pytest.mark.parametrize("who", ["reviewer", "viewer", "nobody", "forger"])
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_operation_answers_as_it_is_described(
    people: People, hold: HoldOpened, description: Any, who: str, mode: GenerationMode
) -> None:
    """No 5xx, a status and a body as documented, for valid and for invalid values alike."""
    token = token_of(people, who)
    operations = [found.ok() for found in description.get_all_operations()]
    for operation in operations:
        takes_nothing = operation.path in TAKE_NOTHING and mode is GenerationMode.NEGATIVE
        if takes_nothing or (operation.path == ENDLESS and who in ("reviewer", "viewer")):
            continue

        @settings(max_examples=examples(operation.path))
        @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
        def check(case: Any, known: bool) -> None:
            if known and "request_id" in (case.path_parameters or {}):
                case.path_parameters["request_id"] = hold.hold
            if token:
                case.headers = {**(case.headers or {}), **Centre.auth(token)}
            answer = case.call(timeout=WAIT_S)
            assert answer.status_code < 500, answer.text
            case.validate_response(answer, excluded_checks=LOOSE)
            if who in ("nobody", "forger") and case.operation.path not in _OPEN_TO_ALL:
                assert answer.status_code in (401, 405, 413, 422)

        check()
    assert len(operations) == 35


JSON: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=30)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=8,
)
POSTS = {
    "/requests/{}/decision": ("answer", "reason", "digest", "via"),
    "/requests/{}/comments": ("text", "via"),
    "/trail/query": ("sql", "limit"),
}


def test_any_body_is_answered_below_500(people: People, hold: HoldOpened) -> None:
    """Any JSON, any bytes, under any content type; refusals have the one envelope."""
    names = sorted({name for keys in POSTS.values() for name in keys})
    body = st.one_of(
        JSON,
        st.dictionaries(st.sampled_from(names), JSON),
        st.dictionaries(st.text(max_size=9), JSON, max_size=3),
    ).map(lambda value: httpx.Request("POST", "http://x", json=_finite(value)).content)
    content = st.one_of(
        body,
        st.binary(max_size=60),
        st.sampled_from(
            [
                b"[" * 60_000,
                b'{"sql":' + b"[" * 60_000,
                b'{"sql": "\\ud800"}',
                b'{"text": "\\udfff\\ud800"}',
                b'{"answer": "approve", "reason": "\\udc00"}',
                b'{"\\ud800": 1, "text": "x"}',
                b'{"sql": "SELECT 1", "limit": 1e400}',
                b'{"sql": "SELECT 1", "limit": ' + b"9" * 5_000 + b"}",
                b"\x00" * 65_536,
                b" " * 65_537,
                b'{"text": "' + b"x" * 60_000 + b'"}',
                b'{"text": "\\u0000\\u001b[2J\\u202e"}',
                b"{" + b'"a": 1, ' * 6_000 + b'"b": 2}',
            ]
        ),
    )
    kinds = st.one_of(
        st.sampled_from(["application/json", "text/plain", "multipart/form-data", ";;", "a/b"]),
        st.text('abc/;=" \t', max_size=12),
    )
    with httpx.Client(
        base_url=f"{people.centre.api_url}/api/v1",
        headers=Centre.auth(people.viewer),
        timeout=WAIT_S,
    ) as client:

        @given(st.sampled_from(sorted(POSTS)), content, kinds)
        def check(path: str, data: bytes, kind: str) -> None:
            answer = client.post(
                path.format(hold.hold), content=data, headers={"Content-Type": kind.strip()}
            )
            assert answer.status_code < 500, answer.text
            if answer.status_code >= 400:
                error = answer.json()["error"]
                assert error["code"] and error["message"] and error["remedy"]
                assert len(answer.content) < 20_000

        check()


def _finite(value: Any) -> Any:
    """Return a value without what JSON has no word for."""
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return None
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return {key: _finite(one) for key, one in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize(
    "path",
    [
        "/requests?since=9999-12-31T23:59:59-23:59",
        "/requests?since=0001-01-01T00:00:00%2B23:59",
        "/events?since=1e300",
        "/events?since=-99999999999999",
        "/events?until=nan",
        "/events?after=9223372036854775808-x-1",
        "/events?after=9999999999999999999-x-9999999999999999999",
        "/events?after=%C2%B2-a-1",
        "/events?after=%D9%A3-a-%D9%A3",
        "/requests?after=%00",
        "/requests?host=%00&state=all",
        "/events?path=%00",
        "/events?path=%ff%fe",
        "/requests/%ff%ff%ff%ff%ff%ff",
        "/requests/%00%00%00%00%00%00",
        "/requests?limit=%D9%A3",
        "/requests?limit=" + "9" * 5_000,
        "/events?host=" + "x" * 8_000,
        "/requests/" + "a" * 9_000,
        "/requests?" + "a=b&" * 3_000,
        "/requests?state=all&state=open",
    ],
)
async def test_odd_paths_and_queries_are_answered_below_500(people: People, path: str) -> None:
    """Bytes that are not UTF-8, zero bytes, times and numbers out of every range."""
    async with people.client(people.viewer) as client:
        answer = await client.get(path)
    assert answer.status_code in (200, 404, 422), answer.text


RAW = [
    b"\x00\xff\xfe\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /api/v1/whoami HTTP/1.1\r\n\r\n",
    b"GET /api/v1/whoami HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    b"GET /api/v1/whoami HTTP/1.1\r\nHost: x\r\nA\x00b: c\r\n\r\n",
    b"GET /api/v1/whoami HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\n\r\n",
    b"GET /api/v1/whoami HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
    b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /api/v1/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /api/v1/trail/query HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /api/v1/trail/query HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
    b"Content-Length: 8\r\n\r\n",
    b"POST /api/v1/trail/query HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /api/v1/trail/query HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"ffffffffffffffffffff\r\n",
    b"POST /api/v1/trail/query HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    b"POST /api/v1/trail/query HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{",
]


def test_broken_http_ends_its_connection_and_nothing_else(people: People) -> None:
    """Answered below 500 or cut off; the next request is served, and no traceback is logged."""
    host, port = people.centre.api_url.removeprefix("http://").split(":")
    for data in RAW:
        with socket.create_connection((host, int(port)), timeout=WAIT_S) as raw:
            try:
                raw.sendall(data)
                raw.shutdown(socket.SHUT_WR)
                answer = raw.recv(65_536)
            except ConnectionError:
                answer = b""
        status = answer.split(b" ", 2)[1:2]
        assert not status or int(status[0]) < 500, (data[:80], answer[:200])
    health = httpx.get(f"{people.centre.api_url}/healthz", timeout=WAIT_S)
    assert health.json()["status"] == "ok"
    assert people.centre.collector is not None
    assert "Traceback" not in people.centre.collector.output


def deep(words: str, count: int) -> str:
    """Return a chain in which each column is made of the one before."""
    return f"SELECT 1 AS a0{''.join(words.format(n, n + 1) for n in range(count))}"


SQL = [
    "", " ", "--", "/*", "'", "SELECT", "\x00", "SELECT\x001", "SELECT 'a\x00b'", "SELECT 1;;",
    "SELECT 1; SELECT 2", "SELECT ?", "SELECT $1", "SELECT :a", "SELECT 1 LIMIT -1",
    "SELECT " + "[" * 900 + "]" * 900, "SELECT " + "[" * 300 + "]" * 300,
    "SELECT " + "{'a':" * 300 + "1" + "}" * 300, deep(", [a{}] AS a{}", 300),
    deep(", struct_pack(x := a{}) AS a{}", 200), "SELECT " + "(" * 3_000 + "1" + ")" * 3_000,
    "SELECT " + "-" * 9_000 + "1", "SELECT " + "NOT " * 3_000 + "true",
    "SELECT from_json('" + "[" * 300 + "]" * 300 + "', '" + "[" * 300 + '"INT"' + "]" * 300 + "')",
    "SELECT TIMESTAMP '290000-01-01 (BC)'", "SELECT DATE '-infinity', TIMESTAMP 'infinity'",
    "SELECT INTERVAL 178000000 YEARS", "SELECT '24:00:00'::TIME", "SELECT '12:00+05'::TIMETZ",
    "SELECT 340282366920938463463374607431768211455::UHUGEINT", "SELECT 'nan'::DOUBLE, 1e400",
    "SELECT MAP {[1]: 2}, MAP {'nan'::DOUBLE: 1}", "SELECT '101'::BIT, '\\xAA'::BLOB, uuid()",
    "SELECT union_value(a := 1)", "SELECT chr(0), chr(55296)", "SELECT error('x')",
    "SELECT range(10000000000)", "SELECT bitstring('1', 100000)", "SELECT 1::VARIANT",
    "SELECT regexp_matches('a', '" + "(" * 5_000 + "')", "SELECT strptime('x', '%Q')",
    "SELECT make_timestamp(9223372036854775807)", "SELECT [1][9999999999999]",
    "EXPLAIN ANALYZE SELECT 1", "DESCRIBE holds", "SUMMARIZE events", "PIVOT holds ON rule",
    "SELECT 1 AS a, 2 AS a", 'SELECT 1 AS "\x01"', "SELECT * FROM range(100000)",
]  # fmt: skip


@pytest.mark.parametrize("sql", SQL, ids=range(len(SQL)))
async def test_any_query_is_answered_or_refused(people: People, sql: str) -> None:
    """In words; afterwards the collector serves as before."""
    async with people.client(people.viewer) as client:
        answer = await client.post("/trail/query", json={"sql": sql})
        assert answer.status_code in (200, 422), answer.text
        assert (await client.get("/whoami")).status_code == 200


# -- what hosts and others write into the streams -----------------------------------------------


async def test_holds_with_any_values_are_shown_or_rejected_and_break_no_list(
    people: People,
) -> None:
    """Numbers at both ends, text of any script: one such hold must not hide the others."""
    holds: list[HoldOpened] = []
    async with people.host() as host, people.client(people.reviewer) as client:

        @settings(max_examples=30, database=None)
        @given(honest_holds(host_name=st.just("web-1")))
        def collect(one: HoldOpened) -> None:
            object.__setattr__(one, "host", host.id)
            object.__setattr__(one, "hold", HoldId(new_id()))
            holds.append(one)

        collect()
        async with follow(client) as stream:
            await stream.ready()
            for one in holds:
                await host.say(one)
            last = await host.open()
            await stream.until(last.hold)
        shown = 0
        for state in ("open", "all"):
            listed = await client.get("/requests", params={"state": state, "limit": "1000"})
            assert listed.status_code == 200, listed.text
        for one in holds:
            answer = await client.get(f"/requests/{one.hold}")
            assert answer.status_code in (200, 404), answer.text
            shown += answer.status_code == 200
        rejected = await people.ask(
            "SELECT count(DISTINCT subject) FROM rejected WHERE host = ?", host.id
        )
        assert shown + rejected[0][0] == len(holds)
        for view in ("requests", "pending", "who_allowed", "who_denied", "releases", "gaps"):
            await people.ask(f"SELECT * FROM {view}")  # noqa: S608


async def test_hostile_messages_are_rejected_once_and_block_nothing(people: People) -> None:
    """Garbage, another host's, another type, oversized, nested, twice: what follows is taken in."""
    vote = b"\x83\xa1v\x01\xa1t\xa4vote\xa1b\x80"
    nest = b"\x91" * 100_000 + b"\xc0"
    large = b"\x00" * 1_000_001
    other = HostId("f" * 32)
    async with people.host("db-1") as host, people.client(people.viewer) as client:
        subject = subjects.hold(host.id, HoldId(new_id()))
        event = subjects.event(host.id)
        record = f"$KV.{subjects.HOSTS_BUCKET}.{host.id}"
        messages = [
            (place, data)
            for place in (subject, event, record)
            for data in (b"", b"\xc1", nest, large, vote, encode(opened(other)), b"\x80" + nest)
        ]
        of_record = "SELECT count(*) FROM rejected WHERE subject = ?"
        for number, (place, data) in enumerate(messages, 1):
            await host.raw(place, data)
            if place == record:
                # The bucket keeps the newest only: the next would take this one's place unread.
                read = sum(earlier == record for earlier, _ in messages[:number])
                assert await people.ask_until([[read]], of_record, record) == [[read]]
        # The same bytes again are another message, with a place of its own in the stream.
        await host.raw(event, b"\xc1")
        async with follow(client) as stream:
            await stream.ready()
            hold = await host.open()
            await stream.until(hold.hold)
        await host.events({"kind": "exec", "program": "/after/all"})
        counted = "SELECT count(*) FROM events WHERE program = '/after/all'"
        assert await people.ask_until([[1]], counted) == [[1]]
        await host.record(name="after-all")
        named = "SELECT count(*) FROM hosts WHERE name = 'after-all'"
        assert await people.ask_until([[1]], named) == [[1]]
        # A hold is shown before the trail has what came with it.
        refused = "SELECT count(*) FROM rejected WHERE host = ?"
        await people.ask_until([[len(messages) + 1]], refused, host.id)
        rows = await people.ask(
            "SELECT subject, digest, bytes, reason FROM rejected WHERE host = ?", host.id
        )
    wanted = sorted((place, digest_of(data), len(data)) for place, data in messages)
    wanted = sorted([*wanted, (event, digest_of(b"\xc1"), 1)])
    assert sorted((row[0], row[1], row[2]) for row in rows) == wanted
    assert all(0 < len(row[3]) <= 500 for row in rows)
    assert people.centre.collector is not None
    assert people.centre.collector.process.poll() is None
