"""The text of nats.conf and hosts.conf: who may speak to the NATS server, and about what."""

import json
from collections.abc import Iterable
from pathlib import Path

from collector.identity.hosts import EnrolledHost
from wire.subjects import COLLECTOR_PERMISSIONS, Permissions, host_permissions


def nats_conf(*, host: str, port: int, monitor_port: int | None, directory: Path) -> str:
    """Return nats.conf. Names the server's files by absolute path under `directory`."""
    monitor = (
        f"http: {_text(f'127.0.0.1:{monitor_port}')}\n"
        if monitor_port is not None
        else "# No monitoring port.\n"
    )
    return f"""\
# Written by `holdfast-collector init`. hosts.conf is rewritten by `holdfast-collector enroll`.
# To let hosts on other machines in, listen on a reachable address and add a tls block.
server_name: holdfast
host: {_text(host)}
port: {port}
{monitor}pid_file: {_text(str(directory / "nats.pid"))}

jetstream {{
  store_dir: {_text(str(directory / "jetstream"))}
  # An acknowledged message is on the disk, not in a cache of the machine.
  sync_interval: always
  # Streams reserve what they may grow to; the disk itself is the limit, and a full one is an error
  # that hosts answer by keeping their own spool.
  max_file_store: 1TB
}}

# Every connection proves a key; without one there is no access at all.
authorization {{
  timeout: 5
  include "hosts.conf"
}}
"""


def hosts_conf(collector_nkey: str, hosts: Iterable[EnrolledHost]) -> str:
    """Return hosts.conf: one user per role, each with exactly what it needs."""
    users = [_user("collector", collector_nkey, COLLECTOR_PERMISSIONS)]
    users += [
        _user(f"host {host.name} ({host.host})", host.nkey, host_permissions(host.host))
        for host in hosts
    ]
    return (
        "# Written by `holdfast-collector`; change nothing here by hand.\nusers: [\n"
        + "".join(users)
        + "]\n"
    )


def _user(title: str, nkey: str, permissions: Permissions) -> str:
    deny = f", deny: {_list(permissions.never)}" if permissions.never else ""
    return f"""\
  # {title}
  {{
    nkey: {nkey}
    permissions: {{
      publish: {{ allow: {_list(permissions.publish)}{deny} }}
      subscribe: {{ allow: {_list(permissions.subscribe)} }}
    }}
  }}
"""


def _list(subjects: tuple[str, ...]) -> str:
    return "[" + ", ".join(_text(subject) for subject in subjects) + "]"


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
