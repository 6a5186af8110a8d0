"""Makes the state directory: keys, the NATS server's configuration and collector.toml.

Nothing that exists is ever replaced: a second run finds everything there and changes nothing.
"""

import os
from collections.abc import Callable
from pathlib import Path

from collector import config
from collector.errors import StateError
from collector.identity.hosts import list_hosts
from collector.keys import new_nats_key, read_nats_key, write_atomically
from collector.nats.server_config import hosts_conf, nats_conf
from wire.signing import Signer

CONFIG_NAME = "collector.toml"


def init(
    state: Path, *, nats_host: str, nats_port: int, monitor_port: int | None, api_listen: str
) -> tuple[Path, ...]:
    """Make what is missing under `state`; return the files made, none if all was there."""
    config.listen_address(api_listen, place="--api-listen")
    state = state.resolve()
    for directory in (state, state / "keys", state / "nats", state / "nats" / "jetstream"):
        _directory(directory)
    made: list[Path] = []

    def once(path: Path, text: Callable[[], str]) -> None:
        if not path.exists():
            write_atomically(path, text())
            made.append(path)

    seed = state / "keys" / "collector.nk"
    once(state / "keys" / "signing.key", lambda: Signer.generate().seed_hex + "\n")
    once(seed, lambda: new_nats_key().seed + "\n")
    once(
        state / "nats" / "hosts.conf",
        lambda: hosts_conf(read_nats_key(seed).public, list_hosts(state / "identities.db")),
    )
    once(
        state / "nats" / "nats.conf",
        lambda: nats_conf(
            host=nats_host, port=nats_port, monitor_port=monitor_port, directory=state / "nats"
        ),
    )
    url = f"nats://{_reachable(nats_host)}:{nats_port}"
    once(state / CONFIG_NAME, lambda: _collector_toml(url, api_listen))
    return tuple(made)


def _collector_toml(url: str, api_listen: str) -> str:
    return f"""\
# Written by `holdfast-collector init`; every key is explained in docs/collector.md.
# Paths are relative to this file.

[nats]
url = "{url}"
seed_file = "keys/collector.nk"
pid_file = "nats/nats.pid"
hosts_file = "nats/hosts.conf"

[signing]
key_file = "keys/signing.key"

[trail]
file = "trail.duckdb"

[identities]
file = "identities.db"

[api]
listen = "{api_listen}"
"""


def _reachable(nats_host: str) -> str:
    """Return the address to write into a URL for the one that the server listens on."""
    if nats_host in ("0.0.0.0", "::", "*"):  # noqa: S104 - compared, not listened on
        return "127.0.0.1"
    return f"[{nats_host}]" if ":" in nats_host else nats_host


def _directory(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.stat().st_mode & 0o077:
            os.chmod(path, 0o700)
    except OSError as error:
        raise StateError(
            f"{path}: cannot be made ({error}); choose another --state or run as a user who may"
        ) from error
