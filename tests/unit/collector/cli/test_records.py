"""hosts, events, trail sql, and what every command has in common."""

import socket
from typing import Any

import pytest

from tests.unit.collector.cli.conftest import Holdfast
from tests.unit.collector.cli.fake_centre import TOKEN, FakeCentre, problem

HOST: dict[str, Any] = {
    "host": "b" * 32,
    "name": "web-1",
    "mode": "stop",
    "kernel": "6.1.0",
    "version": "0.1.0",
    "subjects": ["ai-agents"],
    "ruleset": "r",
    "started_ns": 1,
    "last_event_ns": 1,
    "open_holds": 2,
    "gap_events": 3,
}
NEVER_SEEN: dict[str, Any] = dict.fromkeys(
    ("mode", "kernel", "version", "ruleset", "started_ns", "last_event_ns")
)
EVENT: dict[str, Any] = {
    "time_ns": 1_780_000_000_123_000_000,
    "host": "b" * 32,
    "kind": "exec",
    "pid": 101,
    "program": "/usr/bin/curl",
    "argv": ["curl", "--token=hunter2", "\x1b[31m"],
    "action": "ask",
    "rule": "net.fetch-code",
    "guarantee": "held",
}


@pytest.fixture
def answers(centre: FakeCentre) -> dict[str, Any]:
    """Give the centre hosts, events and rows, and return them."""
    centre.answers = {
        "/hosts": {"hosts": [HOST, {**HOST, "name": "new-1", **NEVER_SEEN}]},
        "/events": {"events": [EVENT], "next": "1-b-2"},
        "/trail/query": {
            "columns": [{"name": "who", "type": "VARCHAR"}, {"name": "n", "type": "BIGINT"}],
            "rows": [["ann\x1b[31m", 3], [None, 4]],
            "truncated": True,
        },
    }
    return centre.answers


def test_hosts_are_listed_also_those_never_seen(
    answers: dict[str, Any], signed_in: Holdfast
) -> None:
    """An enrolled host without an agent is visible as such."""
    out = signed_in("hosts").out
    assert "web-1" in out
    assert "never seen" in out
    assert "no effect" not in out


def test_hosts_say_which_rules_their_mode_cannot_put_into_effect(
    answers: dict[str, Any], signed_in: Holdfast
) -> None:
    """Below the table, whole; with what a host says of itself made safe to show."""
    rules = ["tampering.logs", "kernel.b\x1b[31mpf"]
    answers["/hosts"]["hosts"][0] = HOST | {"without_effect": rules}
    out = signed_in("hosts").out
    assert f"web-1: no effect in {HOST['mode']} mode: tampering.logs, kernel.b" in out
    assert "\x1b[31m" not in out


def test_events_are_listed_with_secrets_redacted_and_the_next_page_named(
    answers: dict[str, Any], signed_in: Holdfast
) -> None:
    """The list follows the same rules as the card."""
    done = signed_in("events")
    assert "2026-05-28 20:26:40.123Z" in done.out
    assert r"curl $'--token=\{redacted}' $'\x1b[31m'" in done.out
    assert "--after 1-b-2" in done.err


def test_event_filters_reach_the_centre(
    answers: dict[str, Any], centre: FakeCentre, signed_in: Holdfast
) -> None:
    """Each option is a filter of the API; an age becomes a time."""
    filters = {
        "host": "web-1",
        "subject": "ai",
        "session": "90-5",
        "kind": "exec",
        "path": "/etc",
        "address": "10.0.0.1",
        "rule": "r",
        "hold": "c" * 32,
        "until": "2026-05-01T10:00:00+00:00",
        "limit": "5",
        "after": "1-b-2",
    }
    words = [word for name, value in filters.items() for word in (f"--{name}", value)]
    assert signed_in("events", "--since", "2h", *words).code == 0
    asked = centre.log[-1][2]
    assert "T" in asked.pop("since")
    assert asked == filters


def test_a_question_in_sql_is_a_table(
    answers: dict[str, Any], centre: FakeCentre, signed_in: Holdfast
) -> None:
    """Values are sanitised like everything else, and a cut answer says so."""
    done = signed_in("trail", "sql", "SELECT 1")
    assert centre.log[-1][2] == {"sql": "SELECT 1", "limit": 1000}
    assert r"ann\x1b[31m" in done.out
    assert "NULL" in done.out
    assert "--limit" in done.err


def test_a_question_in_sql_can_come_from_standard_input(
    answers: dict[str, Any], centre: FakeCentre, signed_in: Holdfast
) -> None:
    """So that long ones need no quoting."""
    assert signed_in("trail", "sql", "-", "--limit", "7", stdin="SELECT 2\n").code == 0
    assert centre.log[-1][2] == {"sql": "SELECT 2\n", "limit": 7}
    assert signed_in("trail", "sql", "-").code == 2


def test_bad_sql_is_a_usage_error_with_duckdbs_words(
    centre: FakeCentre, signed_in: Holdfast
) -> None:
    """Exit code 2, on one line."""
    centre.refusals["/trail"] = problem(422, "bad_sql", "Parser Error: x\nLINE 1", "write a SELECT")
    done = signed_in("trail", "sql", "SELEC")
    assert done.code == 2
    assert r"Parser Error: x\nLINE 1; write a SELECT" in done.err


@pytest.mark.parametrize("words", [("hosts",), ("events",), ("trail", "sql", "SELECT 1")])
def test_with_json_the_answer_is_the_apis(
    answers: dict[str, Any], signed_in: Holdfast, words: tuple[str, ...]
) -> None:
    """Unchanged, and alone on standard output."""
    done = signed_in(*words, "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json in answers.values()


@pytest.mark.parametrize(
    "words",
    [
        ("bogus",),
        ("pending", "--bogus"),
        ("pending", "--limit", "0"),
        ("pending", "--limit", "x"),
        ("pending", "--since", "yesterday"),
        ("pending", "--state", "maybe"),
        ("show",),
        ("events", "--kind", "fork"),
        ("trail", "sql"),
        ("completion", "tcsh"),
        ("watch", "--answer"),
    ],
)
def test_unusable_words_are_exit_code_2_and_one_line(
    signed_in: Holdfast, words: tuple[str, ...]
) -> None:
    """As text and as JSON."""
    done = signed_in(*words)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("holdfast: ")
    assert done.err.count("\n") == 1
    assert signed_in(*words, "--json").error["exit"] == 2


def test_without_a_command_the_help_is_shown(holdfast: Holdfast) -> None:
    """Exit code 2, since nothing was done."""
    done = holdfast()
    assert done.code == 2
    assert "Commands:" in done.err


def test_a_centre_that_is_not_there_is_exit_code_6(
    signed_in: Holdfast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address is named."""
    with socket.socket() as taken:
        # Bound and not listening: whoever connects is refused.
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("HOLDFAST_URL", url)
        for words in (("pending",), ("watch",), ("approve", "a" * 32, "-r", "x")):
            done = signed_in(*words)
            assert done.code == 6
            assert url in done.err
        assert signed_in("hosts", "--json").error["code"] == "unreachable"


def test_something_else_that_answers_is_not_taken_for_a_centre(
    centre: FakeCentre, signed_in: Holdfast
) -> None:
    """A wrong address is named as such."""
    centre.refusals["/hosts"] = (404, {"detail": "Not Found"})
    done = signed_in("hosts")
    assert done.code == 1
    assert "not as Holdfast does" in done.err


def test_options_go_before_the_environment(
    centre: FakeCentre, signed_in: Holdfast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--url and --token-file win, before and after the command."""
    monkeypatch.setenv("HOLDFAST_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("HOLDFAST_TOKEN", "wrong")
    given = ("--url", centre.url, "--token-file", "-")
    assert signed_in(*given, "pending", stdin=TOKEN + "\n").code == 0
    assert signed_in("pending", *given, stdin=TOKEN).code == 0


def test_a_proxy_of_the_environment_is_not_used_for_this_machine(
    centre: FakeCentre, signed_in: Holdfast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loopback centre is reached directly."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert signed_in("pending").code == 0


def test_figures_show_people_and_rules(centre: FakeCentre, signed_in: Holdfast) -> None:
    """How fast, how many too fast to have read, and how many approvals."""
    pace = {
        "median_seconds": 1.24,
        "p90_seconds": 60.0,
        "share_under_2_s": 0.5,
        "share_approved": 1.0,
        "last": "2026-05-01T10:00:00Z",
    }
    centre.answers["/figures"] = {
        "reviewers": [{"who": "ann@example.com", "answers": 8, **pace}],
        "rules": [{"rule": "net.upload", "decisions": 6, "holds": 20, **pace}],
    }
    done = signed_in("figures", "--since", "2026-05-01T10:00:00Z")
    assert done.code == 0
    words = (
        "ann@example.com",
        "1.2 s",
        "60.0 s",
        "50%",
        "100%",
        "6 (20 holds)",
        "2026-05-01 10:00",
    )
    for word in words:
        assert word in done.out
    assert centre.log[-1][2] == {"since": "2026-05-01T10:00:00+00:00"}
    centre.answers["/figures"] = {"reviewers": [], "rules": []}
    assert "nobody has answered" in signed_in("figures").err
