"""What the NATS server reports of its streams, and what each role may not do."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import nats
import nats.errors
import nats.js.errors
import pytest
from nats.aio.client import Client

from agent.holds.model import Step, Voice
from agent.identity import HostIdentity
from agent.journal import Journal
from agent.tasks import end
from agent.transport.link import Link
from agent.transport.outbox import Outbox
from collector.nats.streams import (
    bucket_config,
    differences,
    order_consumer_config,
    stream_config,
    verdict_consumer_config,
)
from tests.end_to_end.collector.conftest import People, follow
from tests.support.holds import hold_of
from tests.support.wire_host import connect_as, opened, read_bundle
from wire import subjects
from wire.codec import encode
from wire.ids import HoldId, HostId, OrderId, RequestId, new_id

pytestmark = pytest.mark.nats


@asynccontextmanager
async def _as_collector(people: People) -> AsyncIterator[Client]:
    seed = (people.centre.state / "keys" / "collector.nk").read_text(encoding="utf-8").strip()
    client = await connect_as(people.centre.nats_url, seed, "collector")
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def _as_host(
    people: People, name: str
) -> AsyncIterator[tuple[Client, HostId, asyncio.Queue[str]]]:
    """Connect as a host; the queue takes every error that the server sends."""
    bundle = read_bundle(people.bundles[name])
    refused: asyncio.Queue[str] = asyncio.Queue()

    async def note(error: Exception) -> None:
        refused.put_nowait(str(error))

    client = await nats.connect(
        bundle.nats_url,
        nkeys_seed_str=bundle.nats_seed,
        inbox_prefix=subjects.inbox(subjects.host_role(bundle.host)).encode(),
        allow_reconnect=False,
        error_cb=note,
    )
    try:
        yield client, bundle.host, refused
    finally:
        await client.close()


@pytest.mark.parametrize("stream", subjects.STREAMS, ids=lambda stream: str(stream.name))
async def test_the_server_reports_each_setting_of_a_stream(
    people: People, stream: subjects.Stream
) -> None:
    """Not what was asked for counts, but what the server says it does."""
    async with _as_collector(people) as client:
        answer = await client.request(f"$JS.API.STREAM.INFO.{stream.name}", b"")
    config = json.loads(answer.data)["config"]
    assert config["subjects"] == list(stream.subjects)
    assert config["storage"] == "file"
    assert config["retention"] == "limits"
    assert config["discard"] == stream.discard
    assert config.get("discard_new_per_subject", False) is stream.discard_new_per_subject
    assert config["max_age"] == stream.max_age_s * 10**9
    assert config["max_bytes"] == stream.max_bytes
    assert config["max_msgs"] == -1
    assert config["max_msgs_per_subject"] == stream.max_msgs_per_subject
    assert config["deny_delete"] is stream.deny_delete
    assert config["deny_purge"] is stream.deny_purge
    assert config["duplicate_window"] == stream.duplicate_window_s * 10**9
    assert config.get("allow_rollup_hdrs", False) is False


@pytest.mark.parametrize("bucket", subjects.BUCKETS)
async def test_the_server_reports_file_backed_buckets(people: People, bucket: str) -> None:
    """Rules, hosts and grants survive a restart of the server."""
    async with _as_collector(people) as client:
        info = await client.jetstream().stream_info(f"KV_{bucket}")
    assert differences(bucket_config(bucket), info.config) == ()
    assert info.config.storage == "file"


@pytest.mark.parametrize("stream", [subjects.VERDICTS, subjects.ORDERS])
async def test_each_host_has_a_consumer_of_its_own_verdicts_and_orders_only(
    people: People, stream: str
) -> None:
    """The filter is the centre's to choose, not the host's."""
    of_verdicts = stream == subjects.VERDICTS
    async with _as_collector(people) as client:
        for bundle in people.bundles.values():
            host = read_bundle(bundle).host
            wanted = (verdict_consumer_config if of_verdicts else order_consumer_config)(host)
            assert wanted.durable_name is not None
            info = await client.jetstream().consumer_info(stream, wanted.durable_name)
            subject = "hf.verdict" if of_verdicts else "hf.order"
            assert info.config.filter_subject == f"{subject}.{host}.*"
            assert info.config.ack_policy == wanted.ack_policy
            assert info.config.deliver_policy == wanted.deliver_policy
            assert info.config.ack_wait == wanted.ack_wait
            assert info.config.max_deliver == -1


Attempt = Callable[[Client, HostId, HostId], Awaitable[None]]
_HOLD, _REQUEST, _ORDER = HoldId(new_id()), RequestId(new_id()), OrderId(new_id())


def _publish(subject: Callable[[HostId, HostId], str]) -> Attempt:
    async def attempt(client: Client, me: HostId, other: HostId) -> None:
        await client.publish(subject(me, other), b"{}", reply=client.new_inbox())

    return attempt


def _subscribe(subject: Callable[[HostId, HostId], str]) -> Attempt:
    async def attempt(client: Client, me: HostId, other: HostId) -> None:
        await client.subscribe(subject(me, other))

    return attempt


_VERDICTS, _HOLDS, _ORDERS = subjects.VERDICTS, subjects.HOLDS, subjects.ORDERS
_FORBIDDEN: dict[str, Attempt] = {
    "speak of another host's hold": _publish(lambda me, other: subjects.hold(other, _HOLD)),
    "send another host's events": _publish(lambda me, other: subjects.event(other)),
    "replace another host's record": _publish(
        lambda me, other: f"$KV.{subjects.HOSTS_BUCKET}.{other}"
    ),
    "vote": _publish(lambda me, other: subjects.vote(_REQUEST)),
    "decide": _publish(lambda me, other: subjects.decision(_REQUEST)),
    "write its own verdict": _publish(lambda me, other: subjects.verdict(me, _HOLD)),
    "publish rules": _publish(lambda me, other: f"$KV.{subjects.RULES_BUCKET}.all"),
    "grant itself something": _publish(lambda me, other: subjects.order(me, _ORDER)),
    "put another host under quarantine": _publish(lambda me, other: subjects.order(other, _ORDER)),
    "pull another host's orders": _publish(
        lambda me, other: f"$JS.API.CONSUMER.MSG.NEXT.{_ORDERS}.{subjects.order_consumer(other)}"
    ),
    "acknowledge another host's orders": _publish(
        lambda me, other: f"$JS.ACK.{_ORDERS}.{subjects.order_consumer(other)}.1.1.1.1.0"
    ),
    "make a consumer of orders": _publish(
        lambda me, other: f"$JS.API.CONSUMER.DURABLE.CREATE.{_ORDERS}.mine"
    ),
    "change its own consumer of orders": _publish(
        lambda me, other: f"$JS.API.CONSUMER.CREATE.{_ORDERS}.{subjects.order_consumer(me)}"
    ),
    "listen to another host's orders": _subscribe(lambda me, other: f"hf.order.{other}.*"),
    "purge a stream": _publish(lambda me, other: f"$JS.API.STREAM.PURGE.{_HOLDS}"),
    "delete a stream": _publish(lambda me, other: f"$JS.API.STREAM.DELETE.{_HOLDS}"),
    "delete a message": _publish(lambda me, other: f"$JS.API.STREAM.MSG.DELETE.{_HOLDS}"),
    "change a stream": _publish(lambda me, other: f"$JS.API.STREAM.UPDATE.{_HOLDS}"),
    "read a stream by sequence": _publish(lambda me, other: f"$JS.API.STREAM.MSG.GET.{_HOLDS}"),
    "read a bucket directly": _publish(
        lambda me, other: f"$JS.API.DIRECT.GET.KV_{subjects.HOSTS_BUCKET}"
    ),
    "make a consumer": _publish(lambda me, other: f"$JS.API.CONSUMER.CREATE.{_VERDICTS}.mine"),
    "make a durable consumer": _publish(
        lambda me, other: f"$JS.API.CONSUMER.DURABLE.CREATE.{_VERDICTS}.mine"
    ),
    "change its own consumer": _publish(
        lambda me, other: f"$JS.API.CONSUMER.CREATE.{_VERDICTS}.{subjects.verdict_consumer(me)}"
    ),
    "delete its own consumer": _publish(
        lambda me, other: f"$JS.API.CONSUMER.DELETE.{_VERDICTS}.{subjects.verdict_consumer(me)}"
    ),
    "pull another host's verdicts": _publish(
        lambda me, other: (
            f"$JS.API.CONSUMER.MSG.NEXT.{_VERDICTS}.{subjects.verdict_consumer(other)}"
        )
    ),
    "acknowledge another host's verdicts": _publish(
        lambda me, other: f"$JS.ACK.{_VERDICTS}.{subjects.verdict_consumer(other)}.1.1.1.1.0"
    ),
    "listen to another host's verdicts": _subscribe(lambda me, other: f"hf.verdict.{other}.*"),
    "listen to its own verdicts off the record": _subscribe(lambda me, other: f"hf.verdict.{me}.*"),
    "listen to all holds": _subscribe(lambda me, other: "hf.hold.>"),
    "listen to everything": _subscribe(lambda me, other: ">"),
    "listen to the collector's replies": _subscribe(
        lambda me, other: f"{subjects.inbox('collector')}.>"
    ),
    "listen to another host's replies": _subscribe(
        lambda me, other: f"{subjects.inbox(subjects.host_role(other))}.>"
    ),
    "watch the server": _subscribe(lambda me, other: "$SYS.>"),
}


@pytest.mark.parametrize("what", _FORBIDDEN)
async def test_a_host_may_not(people: People, what: str) -> None:
    """The server itself refuses; nothing relies on the host's good will."""
    other = read_bundle(people.bundles["db-1"]).host
    async with _as_host(people, "web-1") as (client, me, refused):
        await _FORBIDDEN[what](client, me, other)
        error = await asyncio.wait_for(refused.get(), 20)
    assert "permissions violation" in error.lower()


async def test_a_host_may_do_what_it_must(people: People) -> None:
    """The same connection that is refused all of the above can do its own work."""
    async with _as_host(people, "web-1") as (client, me, refused):
        hold = opened(me)
        ack = await client.jetstream().publish(subjects.hold(me, hold.hold), encode(hold))
        assert ack.stream == subjects.HOLDS
        info = await client.jetstream().consumer_info(
            subjects.VERDICTS, subjects.verdict_consumer(me)
        )
        assert info.name == subjects.verdict_consumer(me)
    assert refused.empty()


@pytest.mark.parametrize(
    "options",
    [{}, {"user": "collector", "password": "collector"}, {"token": "collector"}],
    ids=["nobody", "a password", "a token"],
)
async def test_without_a_key_there_is_no_access(people: People, options: dict[str, Any]) -> None:
    """Anonymous connections and guessed passwords are turned away."""

    async def quiet(_: Exception) -> None:
        """What matters is what connect raises."""

    client = Client()
    try:
        with pytest.raises(nats.errors.Error):
            await client.connect(
                people.centre.nats_url, allow_reconnect=False, error_cb=quiet, **options
            )
    finally:
        # The client forgets its socket when it is turned away.
        transport: Any = client._transport
        if transport is not None:
            transport.close()
            with suppress(OSError):
                await transport.wait_closed()


_FINAL: dict[str, tuple[str, dict[str, object] | None]] = {
    "delete the stream": (f"$JS.API.STREAM.DELETE.{subjects.DECISIONS}", None),
    "purge it": (f"$JS.API.STREAM.PURGE.{subjects.DECISIONS}", {}),
    "delete a message": (f"$JS.API.STREAM.MSG.DELETE.{subjects.DECISIONS}", {"seq": 1}),
    "put an old copy back": (f"$JS.API.STREAM.RESTORE.{subjects.DECISIONS}", {}),
}


@pytest.mark.parametrize("what", _FINAL)
async def test_nobody_with_the_collectors_key_may_even_ask_to(people: People, what: str) -> None:
    """A stream that was deleted and made anew would take a second decision: not even asked for."""
    subject, body = _FINAL[what]
    refused: asyncio.Queue[str] = asyncio.Queue()

    async def note(error: Exception) -> None:
        refused.put_nowait(str(error))

    seed = (people.centre.state / "keys" / "collector.nk").read_text(encoding="utf-8").strip()
    client = await nats.connect(
        people.centre.nats_url,
        nkeys_seed_str=seed,
        inbox_prefix=subjects.inbox("collector").encode(),
        allow_reconnect=False,
        error_cb=note,
    )
    try:
        data = b"" if body is None else json.dumps(body).encode()
        await client.publish(subject, data, reply=client.new_inbox())
        error = await asyncio.wait_for(refused.get(), 20)
        assert "permissions violation" in error.lower()
        # And what guards a decision cannot be loosened by an update either.
        js = client.jetstream()
        for name in ("deny_purge", "deny_delete"):
            config = (await js.stream_info(subjects.DECISIONS)).config
            setattr(config, name, False)
            with pytest.raises(nats.js.errors.APIError):
                await js.update_stream(config)
    finally:
        await client.close()


@pytest.mark.parametrize(
    "headers",
    [
        None,
        {"Nats-Rollup": "sub"},
        {"Nats-Expected-Last-Subject-Sequence": "0"},
        {"Nats-Msg-Id": new_id()},
    ],
    ids=["no header", "rollup", "as if first", "an id of its own"],
)
async def test_no_forged_publish_takes_the_place_of_a_decision(
    people: People, headers: dict[str, str] | None
) -> None:
    """With the collector's stolen key, whatever the headers say or leave out."""
    request = RequestId(new_id())
    async with _as_collector(people) as client:
        js = client.jetstream()
        await js.publish(subjects.decision(request), b"first")
        with pytest.raises(nats.js.errors.APIError):
            await js.publish(subjects.decision(request), b"second", headers=headers)
        kept = await js.get_last_msg(subjects.DECISIONS, subjects.decision(request))
    assert kept.data == b"first"


async def test_an_id_that_another_host_has_used_swallows_no_hold(
    people: People, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With a host's own credentials: the agent's message goes out again under another id."""
    bundle = read_bundle(people.bundles["web-1"])
    hold = hold_of(voice=Voice.ASKED)
    asked = opened(bundle.host, hold=hold.id)
    link = Link(
        HostIdentity(
            host=bundle.host,
            name=bundle.name,
            nats_url=bundle.nats_url,
            nats_seed=bundle.nats_seed,
            centre_keys=bundle.centre_keys,
        )
    )
    with closing(Journal(tmp_path / "journal.db", bundle.host)) as journal:
        outbox = Outbox(journal, link)
        journal.record(Step(holds=(hold,), says=(asked,)), 1)
        (letter,) = journal.letters(10)
        async with _as_host(people, "db-1") as (thief, other, _):
            await thief.jetstream().publish(
                subjects.hold(other, HoldId(new_id())),
                b"mine",
                headers={"Nats-Msg-Id": letter.message_id},
            )
        tasks = [asyncio.ensure_future(link.run()), asyncio.ensure_future(outbox.run())]
        try:
            async with people.client(people.viewer) as client, follow(client) as stream:
                await stream.until(hold.id, state="open")
            await outbox.empty()
        finally:
            await end(tasks)
    assert "under another" in caplog.text


def test_every_wanted_setting_is_compared() -> None:
    """A server that reports something else for any setting is noticed."""
    for stream in subjects.STREAMS:
        wanted = stream_config(stream)
        for name in ("max_age", "max_bytes", "max_msgs_per_subject", "deny_purge", "storage"):
            other = stream_config(stream)
            setattr(other, name, {"deny_purge": False, "storage": "memory"}.get(name, 12345))
            assert any(text.startswith(name) for text in differences(wanted, other)), name
