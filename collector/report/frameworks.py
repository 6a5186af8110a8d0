"""Which controls of a framework the trail has something to say about: frameworks/*.yaml."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import msgspec
import yaml

from collector.errors import ReportError
from collector.report.framework_names import Framework

_HERE = Path(__file__).parent / "frameworks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One control. Without measures it is not assessed; `beyond` says what never is."""

    id: str
    name: str
    beyond: str
    about: str = ""
    measures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """A framework and the controls of it that are looked at, in its own order."""

    name: str
    edition: str
    controls: tuple[Control, ...]


@lru_cache
def controls_of(framework: Framework) -> Controls:
    """Return a framework's controls; raise ReportError if its file cannot be used."""
    path = _HERE / f"{framework.value}.yaml"
    try:
        return msgspec.convert(yaml.safe_load(path.read_text()), Controls, strict=True)
    except (OSError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise ReportError(f"{path}: {error}") from error
