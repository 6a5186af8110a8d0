"""The names of hosts in exports: as they were enrolled, never as they call themselves."""

import threading
from collections.abc import Callable
from pathlib import Path

from collector.identity.hosts import HostNames
from wire.ids import HostId


def host_names(database: Path) -> Callable[[str], str]:
    """Return what gives the name of a host by its id, empty if it has none; from any thread.

    Raises StateError if the file cannot be read.
    """
    # Of its own: what others take for the name of an unknown host is none of ours.
    names, lock = HostNames(database), threading.Lock()

    def name(host: str) -> str:
        with lock:
            return names.name(HostId(host), "")

    return name
