"""Enrols a host: an opaque id, a NATS key of its own, its permissions, and the bundle for it."""

import asyncio
import fcntl
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nats
import nats.errors

from collector.config import Config
from collector.errors import CentreError, StateError
from collector.identity.hosts import add_host, list_hosts, remove_host
from collector.keys import NatsKey, new_nats_key, read_nats_key, read_signer, write_atomically
from collector.nats.connection import connect, tls_context
from collector.nats.server_config import hosts_conf
from collector.nats.streams import ensure_host_consumers
from wire.ids import HostId, new_id
from wire.subjects import host_role, inbox

# How often the new key is tried while the server takes up its new configuration.
_TRIES = 50
_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What was made, and what `holdfast-collector enroll` has to say about it."""

    host: HostId
    bundle: Path
    notes: tuple[str, ...]


def enrol(
    config: Config,
    *,
    name: str,
    bundle: Path,
    nats_url: str = "",
    labels: Mapping[str, str] | None = None,
) -> Enrolment:
    """Enrol a host under `name`; raise StateError or CentreError and leave no bundle otherwise.

    Works with the NATS server and the collector running or not: what cannot be done now is done
    when they start, and the notes say so.
    """
    if not config.nats.hosts_file:
        raise StateError("nats.hosts_file is not set, so hosts are enrolled where nats.conf is")
    if bundle.exists():
        raise StateError(f"{bundle}: exists already; name another file with --out")
    signer = read_signer(Path(config.signing.key_file))
    key = new_nats_key()
    host = HostId(new_id())
    database = Path(config.identities.file)
    collector = read_nats_key(Path(config.nats.seed_file))
    centre_keys = sorted({signer.key_id, *config.signing.trusted})
    secret = _bundle(host, name, nats_url or config.nats.url, key.seed, centre_keys)
    with _alone(Path(config.nats.hosts_file)):
        add_host(database, host=host, name=name, nkey=key.public, labels=labels)
        try:
            write_atomically(bundle, secret)
        except StateError:
            remove_host(database, host)
            raise
        # Before the server is told: it may drop a connection that is being made meanwhile.
        notes = asyncio.run(_make_consumer(config, host))
        write_atomically(
            Path(config.nats.hosts_file), hosts_conf(collector.public, list_hosts(database))
        )
        reloaded = _reload(config.nats.pid_file)
    if not reloaded:
        notes += (
            "no nats-server of this directory runs: the host is let in when it starts or reloads",
        )
    elif not asyncio.run(_admission(config, host, key)):
        notes += ("nats-server has not taken up hosts.conf: see its log, then restart it",)
    return Enrolment(host, bundle, notes)


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Hold off another enrolment, which would write the file without this host."""
    descriptor = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _bundle(host: HostId, name: str, url: str, seed: str, centre_keys: list[str]) -> str:
    keys = ", ".join(f'"{key}"' for key in centre_keys)
    return (
        "# Holdfast bundle of one host: a secret. Give it to holdfast-agent on that host only.\n"
        f'host = "{host}"\nname = "{name}"\nnats_url = "{url}"\nnats_seed = "{seed}"\n'
        f"centre_keys = [{keys}]\n"
    )


async def _make_consumer(config: Config, host: HostId) -> tuple[str, ...]:
    """Make the durable consumers that the host reads by, or say who will."""
    later = "the collector makes the host's consumers at its next start"
    try:
        client = await connect(
            url=config.nats.url,
            seed_file=Path(config.nats.seed_file),
            tls_ca=config.nats.tls_ca,
            once=True,
        )
    except CentreError as error:
        return (f"{error}; {later}",)
    try:
        await ensure_host_consumers(client.jetstream(), host)
    except (TimeoutError, nats.errors.Error) as error:
        return (f"JetStream does not take the host's consumers ({error}); {later}",)
    finally:
        await client.close()
    return ()


async def _admission(config: Config, host: HostId, key: NatsKey) -> bool:
    """Wait until the server admits the host's key; return whether it did."""
    for _ in range(_TRIES):
        if await _admitted(config, host, key):
            return True
        await asyncio.sleep(_PAUSE_S)
    return False


async def _admitted(config: Config, host: HostId, key: NatsKey) -> bool:
    async def quiet(_: Exception) -> None:
        """A refusal is what is being waited out."""

    try:
        client = await nats.connect(
            config.nats.url,
            tls=tls_context(config.nats.tls_ca),
            nkeys_seed_str=key.seed,
            inbox_prefix=inbox(host_role(host)).encode(),
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=_PAUSE_S,
            connect_timeout=2,
            error_cb=quiet,
        )
    except (TimeoutError, nats.errors.Error, OSError):
        return False
    await client.close()
    return True


def _reload(pid_file: str) -> bool:
    """Ask the nats-server of `pid_file` to read its configuration again; return whether one runs.

    The pid is held by a pidfd while its name is checked, so a stale file harms nobody.
    """
    try:
        pid = int(Path(pid_file).read_text(encoding="ascii"))
        descriptor = os.pidfd_open(pid)
    except (OSError, ValueError):
        return False
    try:
        name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
        if name != "nats-server":
            return False
        signal.pidfd_send_signal(descriptor, signal.SIGHUP)
    except PermissionError as error:
        raise StateError(
            f"nats-server (pid {pid}) runs as another user; the host is recorded, now reload it: "
            "systemctl reload nats-server"
        ) from error
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
