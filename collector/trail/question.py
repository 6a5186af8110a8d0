"""What a person's SELECT may contain, judged on DuckDB's own parse tree before it runs.

DuckDB's locks come first (see store); what they leave open is closed here: relations that tell
about the server, table functions outside a short list, and functions that wait or cannot be
interrupted.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import duckdb

from collector.errors import SqlError
from collector.trail.macros import MACROS
from collector.trail.schema import EVENTS, TABLES
from collector.trail.views import VIEWS

LONGEST_SQL = 16_384

RELATIONS = frozenset(
    {table.name for table in TABLES} | {EVENTS.name} | set(VIEWS) | {"schema_version"}
)
_SCHEMA_VIEWS = frozenset({"tables", "columns"})  # of information_schema: names and types only
_SHOWN = frozenset({"tables", "__show_tables_expanded"})
# Everything else is refused: arrow_scan and its like read any address, enable_logging and
# force_checkpoint act on the server, duckdb_secrets and duckdb_settings tell about it.
TABLE_FUNCTIONS = frozenset(
    "range generate_series unnest repeat repeat_row json_each json_tree histogram_values "
    "duckdb_tables duckdb_columns duckdb_views duckdb_functions duckdb_types duckdb_keywords "
    "pragma_table_info table_info pragma_version".split()
) | frozenset(MACROS)
_BEGINNINGS = frozenset(
    "select with from values table describe desc show summarize pivot unpivot (".split()
)
FORBIDDEN_FUNCTIONS = frozenset(
    "sleep_ms pg_sleep write_log nextval currval setseed json_execute_serialized_sql "
    "json_deserialize_sql json_serialize_plan current_setting getvariable getenv".split()
)
# One call with two long texts runs for minutes and does not hear an interruption.
SLOW_FUNCTIONS = frozenset(
    "levenshtein editdist3 damerau_levenshtein hamming mismatches jaccard jaro_similarity "
    "jaro_winkler_similarity ~~~".split()
)
# For each of its wildcards such a pattern tries every place in the text, one within the other.
_LIKES = frozenset(
    "~~ !~~ ~~* !~~* like_escape not_like_escape ilike_escape not_ilike_escape".split()
)
_WILDCARDS = 2
# Each level of a list in a list costs DuckDB megabytes that its own limit does not count, and one
# may be made of another by brackets, by the name of a column beside it, or by WITH.
_MAKERS = frozenset("list_value list_pack array_value struct_pack row map union_value".split())
_MOST_MADE = 100

_Node = dict[str, Any]


def check(cursor: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raise SqlError unless `sql` is exactly one SELECT that uses nothing forbidden."""
    if len(sql) > LONGEST_SQL:
        raise SqlError(f"the query has {len(sql)} characters, more than {LONGEST_SQL}")
    statements = cursor.extract_statements(sql)
    if len(statements) != 1:
        raise SqlError(f"exactly one statement is needed, not {len(statements)}")
    if statements[0].type != duckdb.StatementType.SELECT:
        raise SqlError(f"only SELECT may be used here, not {statements[0].type.name}")
    first = _first_word(sql)
    if first not in _BEGINNINGS:
        raise SqlError(f"only SELECT may be used here, not {first.upper()[:20]}")
    row = cursor.execute("SELECT json_serialize_sql(?)", [statements[0].query]).fetchone()
    try:
        tree = json.loads(row[0]) if row else {}
    except RecursionError as error:
        raise SqlError("the query is nested too deeply") from error
    if tree.get("error") or not tree.get("statements"):
        raise SqlError(
            tree.get("error_message", "this form of SELECT cannot be checked; reword it")
        )
    nodes = list(_nodes(tree))
    made = sum(str(node.get("function_name", "")).lower() in _MAKERS for node in nodes)
    if made > _MOST_MADE:
        raise SqlError(f"the query makes {made} lists and structs, more than {_MOST_MADE}")
    local = _local_names(cursor, nodes)
    for node in nodes:
        _check_function(node)
        _check_relation(node, local)


def _first_word(sql: str) -> str:
    """Return the first word after remarks: some pragmas are a SELECT to DuckDB's parser."""
    (offset, _), *_ = duckdb.tokenize(sql)  # in bytes
    rest = sql.encode()[offset:].decode()
    found = re.match(r"\w+", rest)
    return found.group().lower() if found else rest[:1]


def _nodes(tree: object) -> Iterator[_Node]:
    """Yield every object of the tree, so that nothing hides in a place not thought of."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, dict):
            waiting.extend(node.values())
            yield node


def _local_names(cursor: duckdb.DuckDBPyConnection, nodes: list[_Node]) -> frozenset[str]:
    """Return the names that WITH gives in the query; refuse one that DuckDB knows already.

    Where such a name holds is not followed, so it must not mean something else elsewhere.
    """
    entries = [one for node in nodes for one in (node.get("cte_map") or {}).get("map", ())]
    names = {str(one["key"]).lower() for one in entries}
    names |= {str(node["cte_name"]).lower() for node in nodes if "cte_name" in node}
    if names:
        rows = cursor.execute("SELECT view_name FROM duckdb_views() WHERE internal").fetchall()
        for name in names & {str(row[0]).lower() for row in rows}:
            raise SqlError(f"WITH {name}: DuckDB has a view of this name; choose another one")
    return frozenset(names)


def _check_relation(node: _Node, local: frozenset[str]) -> None:
    table = str(node.get("table_name", "")).lower()
    if node.get("type") == "SHOW_REF":
        if node.get("query") is None and table.strip('"') not in _SHOWN:
            raise SqlError(f"SHOW {table[:64]} may not be used here; SHOW TABLES may")
        return
    if node.get("type") != "BASE_TABLE":
        return
    schema = str(node.get("schema_name", "")).lower()
    if schema == "information_schema" and table in _SCHEMA_VIEWS:
        return
    if schema in ("", "main") and table in RELATIONS:
        return
    if not (schema or node.get("catalog_name")) and table in local:
        return
    name = f"{schema}.{table}" if schema else table
    raise SqlError(
        f"the table {name[:100]} does not exist here or may not be read; SHOW TABLES and "
        "information_schema.columns list those that may"
    )


def _check_function(node: _Node) -> None:
    name = str(node.get("function_name", "")).lower()
    if name in FORBIDDEN_FUNCTIONS:
        raise SqlError(f"the function {name} may not be used here")
    if name in SLOW_FUNCTIONS:
        shown = "GLOB" if name == "~~~" else f"the function {name}"
        raise SqlError(
            f"{shown} may not be used here: it cannot be stopped when it takes too long; "
            "contains, starts_with, LIKE and regexp_matches can do most of its work"
        )
    if name in _LIKES:
        _check_pattern(node, name)
    if node.get("type") == "TABLE_FUNCTION":
        called = node.get("function")
        inner = called.get("function_name", "") if isinstance(called, dict) else ""
        if str(inner).lower() not in TABLE_FUNCTIONS:
            raise SqlError(f"the table function {inner} may not be used here")


def _check_pattern(node: _Node, name: str) -> None:
    """Refuse a LIKE that would try too much; plain parts between % are searched in one go."""
    children = node.get("children", [])
    value = children[1].get("value") if len(children) > 1 else None
    pattern = value.get("value") if isinstance(value, dict) else None
    if not isinstance(pattern, str):
        raise SqlError("the pattern of LIKE must be a text; use contains or starts_with instead")
    simple = name in ("~~", "!~~") and "_" not in pattern
    if not simple and len(re.findall("%+", pattern.rstrip("%"))) > _WILDCARDS:
        raise SqlError(
            f"this LIKE may have at most {_WILDCARDS} % before its last part, because it cannot be "
            "stopped when it takes too long; use regexp_matches instead"
        )
