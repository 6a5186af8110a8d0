"""NATS subjects, streams and key-value buckets: every name is spelled here and nowhere else."""

from dataclasses import dataclass
from typing import Literal

from wire.ids import HoldId, HostId, OrderId, RequestId

EVENTS = "HF_EVENTS"
HOLDS = "HF_HOLDS"
ASKS = "HF_ASKS"
VOTES = "HF_VOTES"
DECISIONS = "HF_DECISIONS"
VERDICTS = "HF_VERDICTS"
ORDERS = "HF_ORDERS"
CHECKPOINTS = "HF_CHECKPOINTS"

RULES_BUCKET = "hf_rules"
HOSTS_BUCKET = "hf_hosts"

_DAY_S = 86_400
_GIB = 1 << 30


def event(host: HostId) -> str:
    """Subject of a host's event batches."""
    return f"hf.event.{host}"


def hold(host: HostId, hold_id: HoldId) -> str:
    """Subject of everything that a host says of one hold."""
    return f"hf.hold.{host}.{hold_id}"


def ask(request: RequestId) -> str:
    """Subject of the one opening of an ask."""
    return f"hf.ask.{request}"


def vote(request: RequestId) -> str:
    """Subject of the votes and comments on one request."""
    return f"hf.vote.{request}"


def decision(request: RequestId) -> str:
    """Subject of the one decision on a request."""
    return f"hf.decision.{request}"


def verdict(host: HostId, hold_id: HoldId) -> str:
    """Subject of the signed verdict for one hold."""
    return f"hf.verdict.{host}.{hold_id}"


def order(host: HostId, order_id: OrderId) -> str:
    """Subject of one signed order to a host: a grant, a quarantine, or the end of either."""
    return f"hf.order.{host}.{order_id}"


def checkpoint(trail: str, number: int) -> str:
    """Subject of one signed checkpoint of a trail."""
    return f"hf.checkpoint.{trail}.{number}"


def verdict_consumer(host: HostId) -> str:
    """Name of the durable consumer through which a host reads its own verdicts."""
    return f"host-{host}"


def order_consumer(host: HostId) -> str:
    """Name of the durable consumer through which a host reads the orders to it."""
    return f"host-{host}"


def inbox(role: str) -> str:
    """Inbox prefix of a role, so that no role may listen to another's replies."""
    return f"_INBOX_{role}"


def host_role(host: HostId) -> str:
    """Name of a host's role, as used in its inbox prefix."""
    return f"host_{host}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Settings of one stream as the server must report them. Times are seconds, sizes bytes."""

    name: str
    subjects: tuple[str, ...]
    discard: Literal["old", "new"]
    max_age_s: int = 0
    max_bytes: int = -1
    max_msgs_per_subject: int = -1
    discard_new_per_subject: bool = False
    deny_delete: bool = True
    deny_purge: bool = True
    duplicate_window_s: int = 600


STREAMS: tuple[Stream, ...] = (
    # Events alone may be dropped by age and size; the trail records the gap.
    Stream(
        name=EVENTS,
        subjects=("hf.event.*",),
        discard="old",
        max_age_s=14 * _DAY_S,
        max_bytes=20 * _GIB,
    ),
    Stream(name=HOLDS, subjects=("hf.hold.*.*",), discard="new"),
    # One message per subject, so that an ask that is sent again is the ask that is there.
    Stream(
        name=ASKS,
        subjects=("hf.ask.*",),
        discard="new",
        max_msgs_per_subject=1,
        discard_new_per_subject=True,
    ),
    Stream(name=VOTES, subjects=("hf.vote.*",), discard="new"),
    # One message per subject, never replaced: the first decision stands whatever a publisher
    # leaves out of its headers.
    Stream(
        name=DECISIONS,
        subjects=("hf.decision.*",),
        discard="new",
        max_msgs_per_subject=1,
        discard_new_per_subject=True,
    ),
    Stream(
        name=VERDICTS,
        subjects=("hf.verdict.*.*",),
        discard="new",
        max_msgs_per_subject=1,
        discard_new_per_subject=True,
    ),
    Stream(
        name=ORDERS,
        subjects=("hf.order.*.*",),
        discard="new",
        max_msgs_per_subject=1,
        discard_new_per_subject=True,
    ),
    # One message per subject: who writes a trail anew cannot put its checkpoints in the place of
    # those that are there.
    Stream(
        name=CHECKPOINTS,
        subjects=("hf.checkpoint.*.*",),
        discard="new",
        max_msgs_per_subject=1,
        discard_new_per_subject=True,
    ),
)

BUCKETS: tuple[str, ...] = (RULES_BUCKET, HOSTS_BUCKET)


@dataclass(frozen=True, slots=True)
class Permissions:
    """Subjects that a role may publish to and subscribe to; everything else is refused.

    `never`: what it may not publish to though `publish` would let it.
    """

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    never: tuple[str, ...] = ()


def host_permissions(host: HostId) -> Permissions:
    """Return what one host may do: speak under its own id, and read its own verdicts and orders.

    It cannot create consumers; the collector makes its durable ones, so the filter on them is not
    the host's to choose.
    """
    readable = ((VERDICTS, verdict_consumer(host)), (ORDERS, order_consumer(host)))
    return Permissions(
        publish=(
            event(host),
            f"hf.hold.{host}.*",
            f"$KV.{HOSTS_BUCKET}.{host}",
            *(
                subject
                for stream, consumer in readable
                for subject in (
                    f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}",
                    f"$JS.API.CONSUMER.INFO.{stream}.{consumer}",
                    f"$JS.ACK.{stream}.{consumer}.>",
                )
            ),
        ),
        subscribe=(f"{inbox(host_role(host))}.>",),
    )


COLLECTOR_PERMISSIONS = Permissions(
    publish=(
        "hf.ask.*",
        "hf.vote.*",
        "hf.decision.*",
        "hf.verdict.*.*",
        "hf.order.*.*",
        "hf.checkpoint.*.*",
        "$KV.>",
        "$JS.API.>",
        "$JS.ACK.>",
    ),
    subscribe=(f"{inbox('collector')}.>", "$KV.>"),
    # The streams are the log: a stream that is deleted and made anew would take a second decision.
    never=(
        "$JS.API.STREAM.DELETE.>",
        "$JS.API.STREAM.PURGE.>",
        "$JS.API.STREAM.MSG.DELETE.>",
        "$JS.API.STREAM.RESTORE.>",
    ),
)
