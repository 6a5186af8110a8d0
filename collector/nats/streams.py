"""Makes the streams, buckets and consumers that wire.subjects describes, or says why not."""

import nats.errors
import nats.js.errors
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)

from collector.errors import CentreError
from wire.ids import HostId
from wire.subjects import (
    BUCKETS,
    ORDERS,
    STREAMS,
    VERDICTS,
    Stream,
    order_consumer,
    verdict_consumer,
)

# An answer that was given to an agent in the moment in which it was killed comes again after this;
# the agent needs a commit for it, and one that comes twice is known.
_ACK_WAIT_S = 3


def stream_config(stream: Stream) -> StreamConfig:
    """Return the settings to ask of the server for one stream."""
    return StreamConfig(
        name=stream.name,
        subjects=list(stream.subjects),
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy(stream.discard),
        discard_new_per_subject=stream.discard_new_per_subject,
        max_age=stream.max_age_s,
        max_bytes=stream.max_bytes,
        max_msgs=-1,
        max_msgs_per_subject=stream.max_msgs_per_subject,
        deny_delete=stream.deny_delete,
        deny_purge=stream.deny_purge,
        duplicate_window=stream.duplicate_window_s,
        allow_direct=False,
    )


def bucket_config(bucket: str) -> StreamConfig:
    """Return the settings of the stream that is a key-value bucket: the newest value per key."""
    return StreamConfig(
        name=f"KV_{bucket}",
        subjects=[f"$KV.{bucket}.>"],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,
        max_age=0,
        max_bytes=-1,
        max_msgs=-1,
        max_msgs_per_subject=1,
        deny_delete=True,
        deny_purge=False,
        duplicate_window=120,
        allow_rollup_hdrs=True,
        allow_direct=True,
    )


async def ensure_streams(js: JetStreamContext) -> None:
    """Create or update every stream and bucket; raise CentreError when the server has others."""
    for config in [stream_config(stream) for stream in STREAMS] + [
        bucket_config(bucket) for bucket in BUCKETS
    ]:
        await _ensure(js, config)


async def ensure_host_consumers(js: JetStreamContext, host: HostId) -> None:
    """Create or repair the durable consumers by which a host reads its verdicts and orders."""
    await js.add_consumer(VERDICTS, verdict_consumer_config(host))
    await js.add_consumer(ORDERS, order_consumer_config(host))


def verdict_consumer_config(host: HostId) -> ConsumerConfig:
    """Return the settings of a host's verdict consumer."""
    return _of_host(verdict_consumer(host), f"hf.verdict.{host}.*")


def order_consumer_config(host: HostId) -> ConsumerConfig:
    """Return the settings of a host's consumer of orders."""
    return _of_host(order_consumer(host), f"hf.order.{host}.*")


def _of_host(name: str, subject: str) -> ConsumerConfig:
    return ConsumerConfig(
        durable_name=name,
        filter_subject=subject,
        ack_policy=AckPolicy.EXPLICIT,
        deliver_policy=DeliverPolicy.ALL,
        ack_wait=_ACK_WAIT_S,
        max_deliver=-1,
    )


def differences(wanted: StreamConfig, found: StreamConfig) -> tuple[str, ...]:
    """Return "field: found, not wanted" for each setting that the server reports otherwise."""
    result = []
    for name, value in wanted.as_dict().items():
        reported = found.as_dict().get(name)
        if value != reported and not (not value and not reported):
            result.append(f"{name} is {reported!r}, not {value!r}")
    return tuple(result)


async def _ensure(js: JetStreamContext, config: StreamConfig) -> None:
    name = config.name or ""
    try:
        found = (await js.stream_info(name)).config
    except nats.js.errors.NotFoundError:
        found = None
    try:
        if found is None:
            await js.add_stream(config)
        elif differences(config, found):
            await js.update_stream(config)
    except nats.js.errors.APIError as error:
        now = "; ".join(differences(config, found)) if found is not None else "it does not exist"
        raise CentreError(
            f"stream {name}: the NATS server refuses the settings that Holdfast needs "
            f"({error.description}). Now: {now}. A setting that cannot be changed needs the "
            "stream to be backed up and made anew with the nats command"
        ) from error
    found = (await js.stream_info(name)).config
    if wrong := differences(config, found):
        raise CentreError(
            f"stream {name}: the NATS server reports other settings than Holdfast needs: "
            f"{'; '.join(wrong)}. Use nats-server 2.10 or later and let nothing else change streams"
        )
