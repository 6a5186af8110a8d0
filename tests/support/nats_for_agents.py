"""A real nats-server with the streams of the wire and one host's credentials, for agent tests."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nats
import nkeys
from nats.aio.client import Client
from nats.js import api

from agent.identity import HostIdentity
from tests.support.centre import free_port
from wire import subjects
from wire.ids import HostId, new_id
from wire.signing import Signer


@dataclass
class Nats:
    """A server that can be stopped and started again on the same port and store."""

    directory: Path
    port: int
    host: HostId
    host_seed: str
    admin_seed: str
    signer: Signer
    process: "subprocess.Popen[str] | None" = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def identity(self) -> HostIdentity:
        """The host that it knows."""
        return HostIdentity(
            host=self.host,
            name="box",
            nats_url=self.url,
            nats_seed=self.host_seed,
            centre_keys=frozenset({self.signer.key_id}),
        )

    def start(self) -> None:
        """Start it and return once it serves."""
        self.process = subprocess.Popen(
            [Path(sys.executable).with_name("nats-server"), "-c", self.directory / "nats.conf"],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        lines = []
        for line in self.process.stderr:
            lines.append(line)
            if "Server is ready" in line:
                return
        raise AssertionError("nats-server did not start:\n" + "".join(lines))

    def stop(self) -> None:
        """Stop it; what it has stored stays."""
        if self.process is not None:
            self.process.terminate()
            assert self.process.stderr is not None
            for _ in self.process.stderr:
                pass
            self.process.wait()
            self.process.stderr.close()
            self.process = None

    async def admin(self) -> Client:
        """Return a connection that may do everything."""
        return await nats.connect(self.url, nkeys_seed_str=self.admin_seed)

    async def make_streams(self) -> None:
        """Make streams, bucket and the host's consumers, as the collector does."""
        client = await self.admin()
        js = client.jetstream()
        for stream in subjects.STREAMS:
            await js.add_stream(
                api.StreamConfig(
                    name=stream.name,
                    subjects=list(stream.subjects),
                    max_msgs_per_subject=stream.max_msgs_per_subject,
                    discard=api.DiscardPolicy(stream.discard),
                    discard_new_per_subject=stream.discard_new_per_subject,
                    duplicate_window=stream.duplicate_window_s,
                )
            )
        await js.create_key_value(bucket=subjects.HOSTS_BUCKET)
        for read, name, subject in (
            (subjects.VERDICTS, subjects.verdict_consumer(self.host), "hf.verdict"),
            (subjects.ORDERS, subjects.order_consumer(self.host), "hf.order"),
        ):
            await js.add_consumer(
                read,
                api.ConsumerConfig(
                    durable_name=name,
                    filter_subject=f"{subject}.{self.host}.*",
                    ack_policy=api.AckPolicy.EXPLICIT,
                    ack_wait=5,
                ),
            )
        await client.close()


@contextmanager
def nats_for_agents(directory: Path) -> Iterator[Nats]:
    """Give a server that is not started yet, and stop it at the end."""
    host = HostId(new_id())
    host_seed, host_key = _pair()
    admin_seed, admin_key = _pair()
    allowed = subjects.host_permissions(host)
    server = Nats(directory, free_port(), host, host_seed, admin_seed, Signer.generate())
    (directory / "nats.conf").write_text(
        f"""
        listen: "127.0.0.1:{server.port}"
        jetstream {{ store_dir: "{directory / "store"}" }}
        authorization {{ users: [
          {{ nkey: "{admin_key}" }}
          {{ nkey: "{host_key}", permissions {{
               publish {{ allow: [{_quoted(allowed.publish)}] }}
               subscribe {{ allow: [{_quoted(allowed.subscribe)}] }} }} }}
        ] }}
        """,
        encoding="utf-8",
    )
    try:
        yield server
    finally:
        server.stop()


def _pair() -> tuple[str, str]:
    seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
    return seed.decode(), nkeys.from_seed(bytearray(seed)).public_key.decode()


def _quoted(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in names)
