"""Whose a subject is, in the words of its hosts: what each says of itself in the bucket of hosts.

A subject has an owner from the day that it is watched, though it has asked for nothing yet.
"""

import logging
from collections.abc import Iterable

from collector.nats.publish import Publisher
from wire import subjects
from wire.codec import decode_as
from wire.errors import WireError
from wire.ids import HostId
from wire.messages import HostRecord

log = logging.getLogger(__name__)

_STREAM = f"KV_{subjects.HOSTS_BUCKET}"


async def owners(publisher: Publisher, subject: str, hosts: Iterable[HostId]) -> tuple[str, ...]:
    """Return who answers for a subject on each of these hosts, as far as those have said.

    Read now, from the bucket: what the trail has may be a moment old. Raises CentreError.
    """
    found: dict[str, None] = {}
    for host in hosts:
        stored = await publisher.stored(_STREAM, f"$KV.{subjects.HOSTS_BUCKET}.{host}")
        if stored is None:
            continue
        try:
            record = decode_as(stored.data, HostRecord)
        except WireError as error:
            log.warning("host %s: what it says of itself cannot be read: %s", host, error)
            continue
        if owner := record.responsible.get(subject, ""):
            found[owner] = None
    return tuple(found)
