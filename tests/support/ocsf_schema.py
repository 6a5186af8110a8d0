"""The published schema of OCSF as validators, one for each class of events."""

from functools import cache
from typing import Any

import jsonschema_rs
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from collector.export.ocsf import VERSION


@cache
def _schema() -> OcsfJsonSchemaEmbedded:
    return OcsfJsonSchemaEmbedded(get_ocsf_schema(version=VERSION))


@cache
def _validator(class_uid: int, profiles: tuple[str, ...]) -> Any:
    name = _schema().lookup_class_name_from_uid(class_uid)
    return jsonschema_rs.validator_for(_schema().get_class_schema(name, list(profiles)))


@cache
def labels(class_uid: int) -> dict[str, dict[int, str]]:
    """Return what the schema calls each number of an attribute of a class."""
    schema = get_ocsf_schema(version=VERSION)
    found = next(one for one in schema["classes"].values() if one["uid"] == class_uid)
    return {
        name: {int(number): one["caption"] for number, one in attribute["enum"].items()}
        for name, attribute in found["attributes"].items()
        if "enum" in attribute
    }


def faults(record: dict[str, Any]) -> list[str]:
    """Return where a record is not as the schema of its class and its profiles says."""
    validator = _validator(record["class_uid"], tuple(record["metadata"]["profiles"]))
    return [f"{list(one.instance_path)}: {one.message}" for one in validator.iter_errors(record)]
