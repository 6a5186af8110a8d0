"""What people are told: why a ruling came about, and what is odd about rules that load."""

from dataclasses import replace

import pytest

from rules.examples import check, parse
from rules.explain import explain
from rules.load import load_texts
from rules.model import RuleSet


def _rules(body: str) -> RuleSet:
    return load_texts([("t.yaml", f"rules:\n{body}".encode())])


RULES = _rules(
    """
  - id: a.keys
    description: d
    severity: high
    action: ask
    match: {open: {path: "**/.ssh/*", mode: read, not: {path: "**/*.pub"}}}
  - id: b.mine
    description: d
    severity: low
    action: allow
    subjects: [robot]
    match: {open: {path: /home/ai/**}}
  - id: c.write
    description: d
    severity: low
    action: observe
    match: {open: {path: "**/.ssh/*", mode: write}}
"""
)


def test_an_explanation_says_which_pattern_met_which_name_and_why_others_did_not() -> None:
    """The author sees the ruling, the patterns, and the condition that failed."""
    text = explain(RULES, parse("open: /home/ai/.ssh/id"))
    assert "ruling: ask by a.keys (t.yaml:3:5)" in text
    assert "'**/.ssh/*' matches '/home/ai/.ssh/id'" in text
    assert "b.mine: allow, low (t.yaml:8:5): only for robot" in text
    assert "c.write: observe, low (t.yaml:14:5): mode does not match" in text
    excepted = explain(RULES, parse("open: /home/ai/.ssh/id.pub"))
    assert "ruling: none" in excepted and "a.keys: ask, high (t.yaml:3:5): excepted by" in excepted


def test_an_explanation_says_what_is_in_doubt() -> None:
    """A match that rests on a cut path says so, and so does a refused allow."""
    act = replace(parse("open: /home/ai/.ssh/id", subject="robot"), path_resolved=False)
    text = explain(RULES, act)
    assert "in doubt, so taken as met" in text
    assert "b.mine: allow, low (t.yaml:8:5): the path is not resolved" in text
    assert "(path not resolved)" in text


def test_an_explanation_shows_hostile_names_escaped() -> None:
    """A name with a terminal escape or a line break cannot rewrite the explanation."""
    text = explain(RULES, parse("open: '/home/\x1b[2J/.ssh/a\nruling: allow'"))
    assert "\x1b" not in text and "\nruling: allow" not in text


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("action: ask, on_timeout: release, match: {open: {path: /x}}", "waiting is a way round"),
        ("action: ask, timeout: 5s, match: {open: {path: /x}}", "before a person has read"),
        ("action: ask, match: {open: {mode: write}}", "passes every open"),
        ('action: observe, match: {open: {path: "/**"}}', "'/**' has no literal part to look up"),
        ("action: deny, match: {exec: {arg: x}}", "passes every exec"),
        ("action: ask, match: {connect: {transport: unix}}", "passes every connect to a unix"),
        ("action: allow, match: {exec: {path: git}}", "wherever it lies"),
        ("action: allow, match: {exec: {path: /bin/sh}}", "allowing it allows everything"),
        ("action: ask, match: {open: {path: /var/run/x}}", "write '/run/x' as well"),
    ],
)
def test_a_finding_says_what_it_costs_and_what_to_write(keys: str, expected: str) -> None:
    """Rules that load but will surprise their author are reported, with the place."""
    rules = _rules(f"  - {{id: a, description: d, severity: low, {keys}}}\n")
    (finding,) = rules.warnings
    assert expected in finding.message
    assert str(finding).startswith("t.yaml:2:5: warning: a: ")


@pytest.mark.parametrize(
    "keys",
    [
        'action: observe, match: {exec: {path: "**"}}',
        "action: ask, match: {open: {path: /etc/shadow}}",
        "action: ask, match: {connect: {address: 0.0.0.0/0}}",
        "action: allow, match: {exec: {path: /usr/bin/git}}",
    ],
)
def test_an_ordinary_rule_has_no_finding(keys: str) -> None:
    """Findings are rare enough to be read."""
    assert not _rules(f"  - {{id: a, description: d, severity: low, {keys}}}\n").warnings


def test_a_rule_that_never_decides_is_reported() -> None:
    """The duplicate that loses is named, with the rule that wins; subjects count."""
    body = """
  - {id: a, description: d, severity: low, action: ask, match: {open: {path: [/x, /y]}}}
  - {id: b, description: d, severity: low, action: deny, match: {open: {path: [/x, /y]}}}
  - {id: c, description: d, severity: low, action: ask, match: {open: {path: /z}}}
  - {id: d, description: d, severity: low, action: deny, subjects: [x], match: {open: {path: /z}}}
"""
    (finding,) = _rules(body).warnings
    assert finding.rule == "a" and "b (t.yaml:4:5) matches the same and decides" in finding.message


def test_an_example_that_does_not_hold_is_found_at_its_place() -> None:
    """check tells an author that the rule does not say what its examples show."""
    body = """
  - id: a
    description: d
    severity: low
    action: ask
    match: {open: {path: /x}}
    examples:
      match: ["open: /x", "open: /y"]
      no_match: ["open: /x", "exec: /x"]
"""
    assert [str(finding) for finding in check(_rules(body))] == [
        "t.yaml:9:27: warning: a: the example 'open: /y' does not match the rule",
        "t.yaml:10:18: warning: a: the example 'open: /x' matches the rule",
    ]
