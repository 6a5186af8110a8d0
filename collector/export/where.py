"""A condition that somebody gives for an export: one expression, judged as a query is."""

import json
from collections.abc import Mapping

import duckdb

from collector.errors import SqlError
from collector.trail.question import check

_PLAIN: Mapping[str, object] = {
    "type": "SELECT_NODE",
    "modifiers": [],
    "group_expressions": [],
    "group_sets": [],
    "having": None,
    "qualify": None,
    "sample": None,
}


def check_condition(cursor: duckdb.DuckDBPyConnection, table: str, condition: str) -> None:
    """Raise SqlError unless `condition` is one expression over the columns of `table`."""
    sql = condition_query(table, condition)
    try:
        check(cursor, sql)
        row = cursor.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
    except duckdb.Error as error:
        raise SqlError(f"where: {str(error).partition(chr(10) * 2)[0]}") from error
    node = json.loads(row[0])["statements"][0]["node"] if row else {}
    table_ref = node.get("from_table") or {}
    plain = all(node.get(name) == value for name, value in _PLAIN.items())
    if (
        not plain
        or '"PARAMETER"' in json.dumps(node)
        or (node.get("cte_map") or {}).get("map")
        or table_ref.get("type") != "BASE_TABLE"
        or len(node.get("select_list", ())) != 1
    ):
        raise SqlError("where: one condition is needed, as it stands behind WHERE")


def condition_query(table: str, condition: str) -> str:
    """Return a query that has the condition in it; the line breaks end a remark in it."""
    return f'SELECT * FROM "{table}" WHERE (\n{condition}\n)'  # noqa: S608 - it is checked
