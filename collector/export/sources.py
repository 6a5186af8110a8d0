"""What can be exported: the trail's tables, in which order, and how each record is named.

The id of a record is `table/key`, the same in every format and for good: `events/<host>/<number>`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from collector.errors import Refusal
from collector.trail import schema

_TIMES = ("time_ns", "opened_ns", "started_ns", "received_ns")
# The links of the chain are for `verify`; what they hold together is in the events. A card is long,
# and says of the hold, which is exported, what a person saw of it; the vote has its digest.
_NOT_EXPORTED = frozenset({"events", "batches", "cards"})
# Of tables whose rows have no key of their own.
_KEYS: Mapping[str, tuple[str, ...]] = {"chain_breaks": ("host", "sequence", "kind", "received_ns")}


@dataclass(frozen=True, slots=True)
class Source:
    """One table: `time` orders its records, and `key` those of the same time."""

    name: str
    time: str
    key: tuple[str, ...]
    numbers: frozenset[str]  # columns of the key that are integers

    @property
    def id_sql(self) -> str:
        """The expression for the id of a record."""
        return f"'{self.name}/' || " + " || '/' || ".join(f'"{name}"' for name in self.key)

    @property
    def order_sql(self) -> str:
        """What records are sorted by."""
        return ", ".join(f'"{name}"' for name in (self.time, *self.key))

    def key_of(self, record: str) -> list[str | int]:
        """Return the key that an id spells; raise Refusal if it is none of this table."""
        table, *parts = record.split("/")
        whole = [
            not part or (name in self.numbers and not _is_number(part))
            for name, part in zip(self.key, parts, strict=False)
        ]
        if table != self.name or len(parts) != len(self.key) or any(whole):
            raise Refusal(
                422,
                "validation",
                f"after: {record[:100]!r} is not the id of a record of {self.name}",
                "give the id of the last record that came, as it was",
            )
        return [
            int(part) if name in self.numbers else part
            for name, part in zip(self.key, parts, strict=True)
        ]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


def _source(table: schema.Table) -> Source:
    names = set(table.schema.names)
    key = _KEYS.get(table.name) or tuple(name.strip('"') for name in table.key)
    return Source(
        table.name,
        next(name for name in _TIMES if name in names),
        key,
        frozenset(name for name in key if str(table.schema.field(name).type) == "int64"),
    )


EVENTS = Source("events", "time_ns", ("host", "number"), frozenset({"number"}))
SOURCES: Mapping[str, Source] = {
    EVENTS.name: EVENTS,
    **{
        table.name: _source(table)
        for table in schema.TABLES
        if table.name not in _NOT_EXPORTED
        and "received_ns" in table.schema.names
        and (table.key or table.name in _KEYS)
    },
}
