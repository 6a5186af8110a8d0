"""Any record of the trail as OCSF."""

from collector.export.ocsf_base import VERSION, Names
from collector.export.ocsf_events import event
from collector.export.ocsf_records import record
from collector.export.sources import Source
from collector.export.values import Facts, Row

__all__ = ["VERSION", "ocsf"]


def ocsf(source: Source, row: Row, names: Names) -> Facts:
    """Return a row of a table, with its id, as one event of OCSF."""
    if source.name == "events":
        return event(row, names)
    return record(source.name, source.time, row, names)
