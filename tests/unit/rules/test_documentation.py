"""docs/rules.md and the loader say the same."""

import re
from pathlib import Path

import pytest

from rules.examples import check
from rules.load import PACKS, load_texts
from rules.model import Action
from rules.schema import KEYS
from wire.messages import KillScope, OnDeny, OnNoAgent, OnTimeout, Severity

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "rules.md").read_text(encoding="utf-8")
HEADINGS = {
    "file": "The file",
    "rule": "A rule",
    "match": "match",
    "exec": "match.exec",
    "open": "match.open",
    "connect": "match.connect",
    **dict.fromkeys(
        ("create", "truncate", "delete", "chmod", "chown", "mount"),
        "match.create, truncate, delete, chmod, chown, mount",
    ),
    **dict.fromkeys(("rename", "link", "symlink"), "match.rename, link, symlink"),
    "listen": "match.listen",
    **dict.fromkeys(
        ("trace", "identity", "bpf", "namespace"), "match.trace, identity, bpf, namespace"
    ),
    "module": "match.module",
    "examples": "examples",
}


def _section(heading: str) -> str:
    found = re.search(rf"^### {re.escape(heading)}\n(.*?)(?=^##)", PAGE, re.DOTALL | re.MULTILINE)
    assert found, f"docs/rules.md has no section {heading!r}"
    return found[1]


@pytest.mark.parametrize("table", KEYS)
def test_every_key_is_documented_and_every_documented_key_exists(table: str) -> None:
    """The table of each section has exactly the keys that the loader knows, in its order."""
    documented = re.findall(r"^\| `(\w+)` \|", _section(HEADINGS[table]), re.MULTILINE)
    assert tuple(documented) == KEYS[table]


@pytest.mark.parametrize("kind", [Action, Severity, OnTimeout, KillScope, OnDeny, OnNoAgent])
def test_every_choice_is_documented(kind: type[Action]) -> None:
    """Each value that a key of a rule may have is in its table."""
    assert [value for value in kind if f"`{value}`" not in _section("A rule")] == []


def test_every_rule_on_the_page_loads_and_its_examples_hold() -> None:
    """What a reader copies from the page works as it is."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 4
    rules = load_texts([(f"block{n}", block.encode()) for n, block in enumerate(blocks)])
    assert [str(finding) for finding in (*rules.warnings, *check(rules))] == []


def test_every_pack_is_in_the_table_of_packs() -> None:
    """A reader learns of each pack, and finds each that is named."""
    named = re.findall(r"^\| `([\w-]+\.yaml)` \|", PAGE, re.MULTILINE)
    assert sorted(named) == sorted(file.name for file in PACKS.glob("*.yaml"))


def test_every_rule_that_the_page_names_is_in_a_pack() -> None:
    """A renamed rule does not leave a reader searching."""
    packs = "".join(file.read_text(encoding="utf-8") for file in PACKS.glob("*.yaml"))
    themes = "|".join(re.escape(file.stem) for file in PACKS.glob("*.yaml"))
    named = set(re.findall(rf"`((?:{themes})\.(?!yaml)[a-z-]+)`", PAGE))
    assert named and [name for name in named if f"- id: {name}\n" not in packs] == []
