"""An approval policy is taken whole or not at all; each problem has its place and its remedy."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from collector.__main__ import app
from collector.errors import ConfigError
from collector.policy.load import load, load_text
from collector.policy.model import Policy, Quota, Silence, Step, Unknown
from rules.errors import RuleErrors
from tests.support.wire_host import exec_act, opened, rule
from wire.ids import HostId
from wire.messages import Severity

HOST = HostId("a" * 32)

WHOLE = b"""\
policies:
  - id: production-databases
    description: two pairs of eyes on production data
    when:
      hosts: ["db-*"]
      labels: {env: production}
      rules: ["database-export.*", "secrets.*"]
      severity: [high, critical]
      subjects: [claude]
    approve:
      - {group: dba, votes: 1}
      - {group: security}
    reason: required
    deadline: 15m
    silence: keep
    escalate:
      - {after: 10m, groups: [leads], channels: ["slack:#urgent"]}
      - {after: 5m, channels: [webhook]}
    channels: ["slack:#data", teams]
    break_glass: [incident-commanders]
    unknown_requester: refuse
  - id: everything-else
"""


def test_a_whole_file_is_read_as_it_is_written() -> None:
    """Every key has its meaning; steps are in order of time."""
    first, last = load_text("p.yaml", WHOLE).policies
    assert first.approve == (Quota(group="dba"), Quota(group="security"))
    assert (first.reason, first.deadline_s, first.silence) == (True, 900, Silence.KEEP)
    assert first.escalate == (
        Step(after_s=300, channels=("webhook",)),
        Step(after_s=600, groups=("leads",), channels=("slack:#urgent",)),
    )
    assert first.channels == ("slack:#data", "teams")
    assert first.break_glass == ("incident-commanders",)
    assert first.unknown_requester is Unknown.REFUSE
    assert last == Policy(id="everything-else")


@pytest.mark.parametrize(
    ("host", "labels", "rule_id", "severity", "subject", "chosen"),
    [
        ("db-1", {"env": "production"}, "secrets.keys", "high", "claude", True),
        ("web-1", {"env": "production"}, "secrets.keys", "high", "claude", False),
        ("db-1", {"env": "staging"}, "secrets.keys", "high", "claude", False),
        ("db-1", {}, "secrets.keys", "high", "claude", False),
        ("db-1", {"env": "production"}, "net.fetch-code", "high", "claude", False),
        ("db-1", {"env": "production"}, "secrets.keys", "low", "claude", False),
        ("db-1", {"env": "production"}, "secrets.keys", "high", "other", False),
    ],
)
def test_the_first_policy_whose_conditions_all_hold_is_chosen(
    host: str, labels: dict[str, str], rule_id: str, severity: str, subject: str, chosen: bool
) -> None:
    """By the name and labels that the centre gave the host, not what the host says of itself."""
    facts = rule(id=rule_id, severity=Severity(severity))
    hold = opened(HOST, rule_facts=facts, act=exec_act(subject=subject))
    found = load_text("p.yaml", WHOLE).choose(hold, host, labels)
    assert (found.id == "production-databases") is chosen


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("", "p.yaml:1:1", "write `policies:` and a list of policies"),
        ("rules: []", "p.yaml:1:1", "has no key 'rules'"),
        ("policies: []", "p.yaml:1:11", "there are no policies"),
        ("policies:\n  - description: x", "p.yaml:2:5", "a policy has no id"),
        ("policies:\n  - id: A B", "p.yaml:2:9", "is not an id"),
        ("policies:\n  - {id: a, when: {rules: [x]}}", "p.yaml:2:5", "without `when`"),
        ("policies:\n  - id: a\n  - id: b", "p.yaml:3:5", "no request gets here"),
        ("policies:\n  - {id: a, when: {rules: x}}\n  - id: a", "p.yaml:3:5", "stands twice"),
        ("policies:\n  - {id: a, when: {}}", "p.yaml:2:19", "when is empty"),
        ("policies:\n  - {id: a, aprove: []}", "p.yaml:2:13", "did you mean 'approve'"),
        ("policies:\n  - {id: a, approve: []}", "p.yaml:2:22", "empty list"),
        ("policies:\n  - {id: a, approve: [{votes: 0}]}", "p.yaml:2:31", "from 1 to 20"),
        ("policies:\n  - {id: a, approve: [{votes: 21}]}", "p.yaml:2:31", "from 1 to 20"),
        (
            "policies:\n  - {id: a, approve: [{votes: 20}, {group: x}]}",
            "p.yaml:2:22",
            "ask for fewer",
        ),
        ("policies:\n  - {id: a, reason: yes}", "p.yaml:2:21", "required or waived"),
        ("policies:\n  - {id: a, silence: deny}", "p.yaml:2:22", "give a deadline too"),
        ("policies:\n  - {id: a, deadline: 5m, silence: allow}", "p.yaml:2:36", "cannot be"),
        ("policies:\n  - {id: a, deadline: 1s}", "p.yaml:2:23", "from 10s to 7d"),
        ("policies:\n  - {id: a, escalate: [{after: 5m}]}", "p.yaml:2:24", "groups or channels"),
        ("policies:\n  - {id: a, channels: ['#x y']}", "p.yaml:2:24", "is not a channel"),
        ("policies:\n  - {id: a, when: {labels: {'a b': x}}}", "p.yaml:2:29", "is not a label"),
        ("policies: &a\n  - id: a", "p.yaml:1:11", "an anchor"),
    ],
)
def test_what_is_wrong_names_the_place_and_the_remedy(text: str, place: str, words: str) -> None:
    """One line for each problem, as file:line:column."""
    with pytest.raises(RuleErrors) as caught:
        load_text("p.yaml", text.encode())
    line = next(one for one in str(caught.value).splitlines() if words in one)
    assert line.startswith(place + ": ")


def test_a_policy_is_explained_for_a_request_that_is_only_thought_of(tmp_path: Path) -> None:
    """Which it is and why, who is asked, what happens when, and where it is shown."""
    file = tmp_path / "p.yaml"
    file.write_text(
        "policies:\n"
        "  - {id: prod, description: two pairs of eyes, when: {labels: {env: prod}},"
        " approve: [{group: dba, votes: 2}, {group: security}], deadline: 90s,"
        " escalate: [{after: 5m, groups: [leads], channels: ['slack:#urgent']}],"
        " break_glass: [duty], reason: waived}\n"
        "  - {id: rest}\n"
    )
    ask = ["explain-policy", str(file), "--rule", "db.dump", "--severity", "high"]
    made = CliRunner().invoke(app, [*ask, "--host", "db-1", "--label", "env=prod"])
    assert made.output.splitlines() == [
        "policy prod: two pairs of eyes",
        "  asked       2 of group dba and 1 of group security",
        "  reason      waived",
        "  shown in    those of [channels] default",
        "  after 5m    group leads may stand in; also shown in slack:#urgent",
        "  silence     denied after 90s",
        "  break-glass duty",
        "  nobody able escalated at once: shown in those of [channels] default, slack:#urgent",
    ]
    other = CliRunner().invoke(app, ask).output.splitlines()
    assert other[:3] == ["policy rest", "  does not fit: prod", "  asked       1 of any reviewers"]
    assert other[-1] == "  nobody able shown in those of [channels] fallback as well, at once"


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    """With the path, and where to find an example."""
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read .*docs/policy\.md"):
        load(tmp_path / "none.yaml")


@given(st.binary(max_size=200) | st.integers(0, len(WHOLE)).map(lambda end: WHOLE[:end]))
def test_no_file_breaks_the_reader(data: bytes) -> None:
    """Garbage and cut files are errors with a place; what is read has a policy for everything."""
    try:
        found = load_text("p.yaml", data)
    except RuleErrors as errors:
        assert all(str(problem).startswith("p.yaml:") for problem in errors.problems)
    else:
        assert found.policies[-1].when.always
