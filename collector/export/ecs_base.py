"""What every record of ECS has. The Elastic Common Schema, in the version named here.

What ECS has no field for is under `holdfast`, a name that ECS does not use.
"""

from collections.abc import Callable

from collector.export.values import Facts, Row, base_name, folder, plain, rfc3339, without_nothing

VERSION = "9.4.0"
Names = Callable[[str], str]


def made(
    row: Row, *, table: str, time_ns: int, event: Facts, facts: Facts, left_out: frozenset[str]
) -> Facts:
    """Return a record: `event` and `facts` are fields; all columns but `left_out` go beside."""
    received = row.get("received_ns")
    rest = {name: plain(value) for name, value in row.items() if name not in left_out}
    return {
        "@timestamp": rfc3339(time_ns),
        "ecs": {"version": VERSION},
        "event": without_nothing(
            {
                "id": row["id"],
                "module": "holdfast",
                "provider": "holdfast",
                "dataset": f"holdfast.{table}",
                "sequence": row.get("number"),
                "ingested": rfc3339(received) if received else None,
                **event,
            }
        ),
        **without_nothing(facts),
        "holdfast": without_nothing(rest),
    }


def host(uid: str, names: Names) -> Facts:
    """Return a host."""
    facts = {"id": uid, "name": names(uid), "os": {"type": "linux", "family": "linux"}}
    return without_nothing(facts)


def file(path: str | None, **more: object) -> Facts:
    """Return a file."""
    path = path or ""
    return without_nothing(
        {"path": path, "name": base_name(path), "directory": folder(path), **more}
    )
