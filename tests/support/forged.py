"""A forger who knows the form: an event changed, and every link after it made again."""

from pathlib import Path

import duckdb

from tests.support.proven_trail import all_events, change_events
from wire import chain
from wire.events import NAMES
from wire.ids import HostId


def forge_events(directory: Path, host: HostId, *, number: int) -> None:
    """Change the path of an event, and make leaves and links fit, from its batch to the newest."""
    changed = f"UPDATE events SET path = '/innocent' WHERE host = '{host}' AND number = {number}"
    assert change_events(directory, changed)
    events = all_events(directory)
    with duckdb.connect(str(directory / "trail.duckdb")) as connection:
        found = connection.execute(
            "SELECT sequence, first, previous FROM batches WHERE host = ? AND chain_version = 2 "
            "ORDER BY sequence",
            [host],
        ).fetchall()
        previous = ""
        for sequence, first, before in found:
            rows = [one for one in events if (one["host"], one["batch"]) == (host, sequence)]
            columns = {name: [row[name] for row in rows] for name in NAMES}
            previous = previous or before
            link = chain.link(host, sequence, first, previous, columns)
            connection.execute(
                "UPDATE batches SET previous = ?, chain = ?, groups = ? "
                "WHERE host = ? AND sequence = ?",
                [previous, link.chain, chain.groups_text(link.groups), host, sequence],
            )
            previous = link.chain
