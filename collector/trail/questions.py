"""The questions that people ask of the trail first, from questions.yaml."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import yaml


@dataclass(frozen=True, slots=True)
class ReadyQuestion:
    """One question in words and in SQL."""

    id: str
    title: str
    sql: str


def _read() -> Mapping[str, ReadyQuestion]:
    raw = yaml.safe_load(Path(__file__).with_name("questions.yaml").read_text(encoding="utf-8"))
    found = msgspec.convert(raw, list[ReadyQuestion], strict=True)
    return {one.id: one for one in found}


QUESTIONS = _read()
