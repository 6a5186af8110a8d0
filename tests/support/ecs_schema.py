"""The published fields of ECS, from its own package, and what is wrong with a document by them."""

import ipaddress
import json
import os
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.node import node, packages

_SCHEMAS = Path(__file__).with_name("schemas")
# The one object that is ours alone.
OWN = "holdfast"
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")
_TEXTS = ("keyword", "wildcard", "text", "match_only_text", "constant_keyword", "version")


@cache
def published() -> Any:
    """Return `version` and `fields`: name to type, list and allowed values."""
    place = packages(_SCHEMAS)
    done = subprocess.run(
        [node("unit"), str(_SCHEMAS / "fields.cjs")],
        env={**os.environ, "NODE_PATH": str(place / "node_modules")},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def faults(document: dict[str, Any]) -> list[str]:
    """Return every field of a document that ECS does not have, or has in another form."""
    found = [one for name, value in _leaves(document, "") for one in _wrong(name, value)]
    types = {one for name, one in _allowed("event.category", document["event"]["category"])}
    for kind in document["event"]["type"]:
        if kind not in types:
            found.append(f"event.type {kind} does not go with {document['event']['category']}")
    return found


def _allowed(name: str, values: list[str]) -> list[tuple[str, str]]:
    allowed = dict(published()["fields"][name]["allowed"])
    return [(value, kind) for value in values for kind in allowed.get(value, ())]


def _leaves(value: Any, name: str) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        return [(name, value)]
    inside = [(f"{name}.{key}".lstrip("."), one) for key, one in value.items()]
    return [leaf for key, one in inside if key != OWN for leaf in _leaves(one, key)]


def _wrong(name: str, value: Any) -> list[str]:
    field = published()["fields"].get(name)
    if field is None:
        return [f"{name} is no field of ECS"]
    if isinstance(value, list) != field["list"]:
        return [f"{name}: a list where none is, or none where one is"]
    values = value if field["list"] else [value]
    known = [one for one, _ in field["allowed"]]
    return [
        f"{name}: {one!r} is not {field['type']} or not one of {known}"
        for one in values
        if not _fits(field["type"], one) or (known and one not in known)
    ]


def _fits(kind: str, value: Any) -> bool:
    if kind in _TEXTS:
        return isinstance(value, str)
    if kind == "long":
        return type(value) is int and -(2**63) <= value < 2**63
    if kind == "date":
        return isinstance(value, str) and _DATE.fullmatch(value) is not None
    if kind == "ip":
        return bool(ipaddress.ip_address(value))
    return False
