"""Enrolled hosts: the name that the centre gave to each opaque host id, and its NATS key."""

import json
import re
import sqlite3
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from collector.errors import StateError
from collector.identity.database import connect, damaged
from wire.ids import HostId

_HOST = re.compile(r"[0-9a-f]{32}")
_NKEY = re.compile(r"U[A-Z2-7]{55}")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")


@dataclass(frozen=True, slots=True)
class EnrolledHost:
    """One host as the centre knows it; `nkey` is the public half."""

    host: HostId
    name: str
    nkey: str
    enrolled_ns: int
    labels: Mapping[str, str] = field(default_factory=dict)


def add_host(
    database: Path, *, host: HostId, name: str, nkey: str, labels: Mapping[str, str] | None = None
) -> EnrolledHost:
    """Record a host; raise StateError when the name is taken, or name or label cannot be one."""
    if not _NAME.fullmatch(name):
        raise StateError(
            f"host name {name[:80]!r}: letters, digits, dot, dash and underscore only, "
            "starting with a letter or digit"
        )
    record = EnrolledHost(host, name, nkey, time.time_ns(), dict(labels or {}))
    with connect(database) as connection:
        try:
            connection.execute(
                "INSERT INTO host (host, name, nkey, enrolled_ns, labels) VALUES (?, ?, ?, ?, ?)",
                (host, name, nkey, record.enrolled_ns, json.dumps(record.labels)),
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
            "SELECT host, name, nkey, enrolled_ns, labels FROM host ORDER BY enrolled_ns, host"
        ).fetchall()
    for host, name, nkey, *_ in rows:
        if not (_HOST.fullmatch(host) and _NAME.fullmatch(name) and _NKEY.fullmatch(nkey)):
            raise damaged(database, f"{name[:80]!r} is not an enrolled host")
    return tuple(
        EnrolledHost(HostId(host), name, nkey, enrolled_ns, _labels(database, labels))
        for host, name, nkey, enrolled_ns, labels in rows
    )


def set_labels(database: Path, text: str, labels: Mapping[str, str]) -> None:
    """Replace the labels of a host given by id or name; raise StateError if there is none."""
    with connect(database) as connection:
        changed = connection.execute(
            "UPDATE host SET labels = ? WHERE host = ? OR name = ?",
            (json.dumps(dict(labels)), text, text),
        )
        if changed.rowcount != 1:
            raise StateError(f"no host {text[:80]!r} is enrolled; `holdfast hosts` lists them")


def read_labels(texts: Iterable[str]) -> dict[str, str]:
    """Return labels given as name=value; raise StateError for one that is not."""
    labels: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (equals and _LABEL.fullmatch(name) and _LABEL.fullmatch(value)):
            raise StateError(
                f"label {text[:80]!r}: write name=value, each of at most 63 letters, digits, dots, "
                "dashes, slashes and underscores"
            )
        labels[name] = value
    return labels


def _labels(database: Path, text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
        if not isinstance(found, dict) or not all(
            isinstance(part, str) for pair in found.items() for part in pair
        ):
            raise ValueError("labels that are no names and values")
    except (ValueError, RecursionError) as error:
        raise damaged(database, f"a host has {error}") from error
    return found


class HostNames:
    """The enrolled name of each host, read again when a host is new."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._names: dict[HostId, str] = {}
        self._labels: dict[HostId, Mapping[str, str]] = {}

    def name(self, host: HostId, claimed: str) -> str:
        """Return the enrolled name, which the host cannot choose; what it claims if it has none."""
        if host not in self._names:
            self.all()
            self._names.setdefault(host, claimed)
        return self._names[host]

    def labels(self, host: HostId) -> Mapping[str, str]:
        """Return the labels that the centre gave a host; none for one that it does not know."""
        if host not in self._labels:
            self.all()
            self._labels.setdefault(host, {})
        return self._labels[host]

    def all(self) -> tuple[EnrolledHost, ...]:
        """Return every enrolled host as of now."""
        hosts = list_hosts(self._database)
        self._names.update({host.host: host.name for host in hosts})
        self._labels.update({host.host: host.labels for host in hosts})
        return hosts

    def find(self, text: str) -> HostId:
        """Return the id of a host given by id or enrolled name; unknown text is taken as an id."""
        return next((one.host for one in self.all() if text in (one.host, one.name)), HostId(text))
