"""What the rules say of a process whose subject the configuration no longer has."""

from dataclasses import replace
from pathlib import Path

import pytest

from agent.rulings import RuleBook
from rules.model import Action
from rules.modes import HostMode
from tests.support.children import Child, open_act

RULES = """
rules:
  - id: test.ask
    description: Reads a secret.
    severity: high
    subjects: [new-name]
    match: { open: { path: "/etc/shadow" } }
    action: ask
  - id: test.allow
    description: Is let by.
    severity: low
    subjects: [trusted]
    match: { open: { path: "/etc/shadow" } }
    action: allow
  - id: test.everybody
    description: Anybody may.
    severity: low
    match: { open: { path: "/etc/hosts" } }
    action: allow
"""


@pytest.fixture
def book(tmp_path: Path) -> RuleBook:
    """Rules of a host that watches two subjects."""
    (tmp_path / "a.yaml").write_text(RULES, encoding="utf-8")
    return RuleBook([tmp_path], {"new-name", "trusted"}, HostMode.STOP)


@pytest.mark.parametrize(
    ("subject", "action"),
    [
        ("new-name", Action.ASK),
        ("trusted", Action.ALLOW),
        ("old-name", Action.ASK),
        ("", Action.ASK),
    ],
)
def test_a_name_that_nobody_watches_is_read_as_the_strictest(
    book: RuleBook, one: Child, subject: str, action: Action
) -> None:
    """A rule that asks about others asks about it; one that allows others does not allow it."""
    assert book.decide(replace(open_act(one), subject=subject)).action is action


def test_what_everybody_may_is_allowed_to_a_name_that_nobody_watches(
    book: RuleBook, one: Child
) -> None:
    """Its rule names no subject, so no name is in doubt."""
    act = replace(open_act(one, "/etc/hosts"), subject="old-name")
    assert book.decide(act).action is Action.ALLOW


def test_a_ruling_names_the_set_in_force_and_follows_a_reload(
    book: RuleBook, one: Child, tmp_path: Path
) -> None:
    """The digest is that of the rules as they are written, also in the strictest reading."""
    act = replace(open_act(one), subject="old-name")
    ruled = book.decide(act).rule
    assert ruled is not None
    assert ruled.ruleset == book.digest
    (tmp_path / "a.yaml").write_text(RULES.replace("ask", "deny"), encoding="utf-8")
    book.reload(lambda tables: None)
    assert book.decide(act).action is Action.DENY
