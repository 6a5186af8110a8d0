"""Enrolled hosts: the name that the centre gave to each opaque host id, and its NATS key."""

import re
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from collector.errors import StateError
from collector.identity.database import connect, damaged
from wire.ids import HostId

_HOST = re.compile(r"[0-9a-f]{32}")
_NKEY = re.compile(r"U[A-Z2-7]{55}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")


@dataclass(frozen=True, slots=True)
class EnrolledHost:
    """One host as the centre knows it; `nkey` is the public half."""

    host: HostId
    name: str
    nkey: str
    enrolled_ns: int


def add_host(database: Path, *, host: HostId, name: str, nkey: str) -> EnrolledHost:
    """Record a host; raise StateError when the name is taken or cannot be one."""
    if not _NAME.fullmatch(name):
        raise StateError(
            f"host name {name[:80]!r}: letters, digits, dot, dash and underscore only, "
            "starting with a letter or digit"
        )
    record = EnrolledHost(host, name, nkey, time.time_ns())
    with connect(database) as connection:
        try:
            connection.execute(
                "INSERT INTO host VALUES (?, ?, ?, ?)", (host, name, nkey, record.enrolled_ns)
            )
        except sqlite3.IntegrityError as error:
            raise StateError(
                f"a host named {name!r} is enrolled already; choose another name"
            ) from error
    return record


def remove_host(database: Path, host: HostId) -> None:
    """Undo an enrolment whose bundle could not be written."""
    with connect(database) as connection:
        connection.execute("DELETE FROM host WHERE host = ?", (host,))


def list_hosts(database: Path) -> tuple[EnrolledHost, ...]:
    """Return every enrolled host, oldest first."""
    with connect(database) as connection:
        rows = connection.execute(
            "SELECT host, name, nkey, enrolled_ns FROM host ORDER BY enrolled_ns, host"
        ).fetchall()
    for host, name, nkey, _ in rows:
        if not (_HOST.fullmatch(host) and _NAME.fullmatch(name) and _NKEY.fullmatch(nkey)):
            raise damaged(database, f"{name[:80]!r} is not an enrolled host")
    return tuple(EnrolledHost(HostId(row[0]), *row[1:]) for row in rows)


class HostNames:
    """The enrolled name of each host, read again when a host is new."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._names: dict[HostId, str] = {}

    def name(self, host: HostId, claimed: str) -> str:
        """Return the enrolled name, which the host cannot choose; what it claims if it has none."""
        if host not in self._names:
            self.all()
            self._names.setdefault(host, claimed)
        return self._names[host]

    def all(self) -> tuple[EnrolledHost, ...]:
        """Return every enrolled host as of now."""
        hosts = list_hosts(self._database)
        self._names.update({host.host: host.name for host in hosts})
        return hosts

    def find(self, text: str) -> HostId:
        """Return the id of a host given by id or enrolled name; unknown text is taken as an id."""
        return next((one.host for one in self.all() if text in (one.host, one.name)), HostId(text))
