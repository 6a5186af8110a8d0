"""What root goes by when the configuration or the identity cannot be read, and all must go.

Nothing that is broken or missing under /etc may stand in the way of letting go, or of an uninstall.
"""

import logging
import os
import socket
import sqlite3
import tomllib
from contextlib import closing, suppress
from pathlib import Path

from agent import config as configs
from agent import identity as identities
from agent.config import AgentConfig
from agent.errors import AgentError, ConfigError
from agent.identity import HostIdentity
from agent.peers import watched
from agent.sensor.interface import Sensor, Subject
from agent.subjects import resolve
from wire import codec
from wire.errors import WireError
from wire.ids import HostId
from wire.messages import HoldOpened

log = logging.getLogger("holdfast.agent.emergency")


def configuration(place: Path) -> AgentConfig:
    """Return the configuration at `place`; if it is broken, only the places that it names.

    Raises ConfigError if it is broken and nothing of an agent is at those places.
    """
    try:
        return configs.load(place)
    except ConfigError as error:
        try:
            raw = tomllib.loads(place.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            raw = {}
        found = configs.places(place, raw)
        if not found.bpffs.is_dir() and not found.state.is_dir():
            raise
        log.warning(
            "%s; going by the places that it names, or else the usual: %s, %s",
            error,
            found.bpffs,
            found.state,
        )
        return found


def identity(config: AgentConfig) -> HostIdentity:
    """Return who this host is; if that cannot be read, who it is in its journal.

    The latter reaches no centre and obeys none. Raises ConfigError if the journal does not say.
    """
    try:
        return identities.load(config.identity)
    except ConfigError as error:
        host = _host_of(config.state / "journal.db")
        if host is None:
            raise
        log.warning("%s; going by the journal, which is of host %s", error, host)
        return HostIdentity(
            host=host,
            name=socket.gethostname(),
            nats_url="",
            nats_seed="",
            centre_keys=frozenset(),
        )


def refuse_watched(config: AgentConfig, sensor: Sensor) -> None:
    """Raise AgentError if this very process is watched or comes from one that is, as the agent."""
    subjects: list[Subject] = []
    for subject in config.subjects:
        with suppress(ConfigError):  # a user who is gone runs nothing
            subjects += resolve((subject,), place=str(config.place))
    is_watched = watched(subjects, lambda: {one.act.process.pid for one in sensor.all_holds()})
    if is_watched(os.getpid()):
        raise AgentError(
            "this process is watched by the agent, or comes from one that is, and may not do that; "
            "do it as root from a login of your own"
        )


def _host_of(journal: Path) -> HostId | None:
    """Return the host whose requests are in a journal, None if there is none."""
    try:
        with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as database:
            row = database.execute(
                "SELECT opened FROM holds WHERE opened IS NOT NULL LIMIT 1"
            ).fetchone()
        return codec.decode_as(row[0], HoldOpened).host if row else None
    except (sqlite3.Error, WireError):
        return None
