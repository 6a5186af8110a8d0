"""Any record of the trail as ECS."""

from collector.export.ecs_base import VERSION, Names
from collector.export.ecs_events import event
from collector.export.ecs_records import record
from collector.export.sources import Source
from collector.export.values import Facts, Row

__all__ = ["VERSION", "ecs"]


def ecs(source: Source, row: Row, names: Names) -> Facts:
    """Return a row of a table, with its id, as one document of ECS."""
    if source.name == "events":
        return event(row, names)
    return record(source.name, source.time, row, names)
