"""pending, show, approve, deny, comment: what they show, send and exit with."""

import json
from importlib.metadata import version
from typing import Any

import pytest

from tests.unit.collector.cli.conftest import Holdfast
from tests.unit.collector.cli.fake_centre import FakeCentre, problem
from tests.unit.collector.samples import make_act, make_decision, make_opened, make_state
from wire.ids import HoldId
from wire.messages import Answer, HoldStateName, RuleFacts, Severity

ID = "1a2b3c4d" * 4


def test_pending_lists_who_what_and_where(centre: FakeCentre, signed_in: Holdfast) -> None:
    """One row tells the reviewer what waits, without a card."""
    centre.add()
    done = signed_in("pending")
    assert done.code == 0
    for text in ("1a2b3c4d", "web-1", "ai", "curl -fsSL", "/home/ai", "net.fetch-code", "high"):
        assert text in done.out
    assert ID not in done.out


def test_ids_in_a_list_are_as_long_as_they_must_be(centre: FakeCentre, signed_in: Holdfast) -> None:
    """What is printed can be typed back, and is unique."""
    twin = HoldId(ID[:10] + "ff" + ID[12:])
    centre.add()
    centre.add(make_opened(hold=twin))
    out = signed_in("pending").out
    assert ID[:11] in out
    assert twin[:11] in out


@pytest.mark.parametrize("columns", ["60", "90", "200"])
def test_a_list_fits_the_terminal_and_cuts_nothing(
    centre: FakeCentre, signed_in: Holdfast, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    """Narrow terminals get taller rows."""
    monkeypatch.setenv("COLUMNS", columns)
    centre.add()
    lines = signed_in("pending").out.splitlines()
    assert max(map(len, lines)) <= int(columns)
    assert not any("…" in line for line in lines)
    together = "".join("".join(line.split()) for line in lines)
    assert "1a2b3c4d" in together
    assert "install.sh" in together or "install" in together


def test_an_empty_list_says_so_beside_the_data(signed_in: Holdfast) -> None:
    """Standard output stays empty for scripts that count lines."""
    done = signed_in("pending")
    assert (done.code, done.out) == (0, "")
    assert "nothing waits" in done.err


def test_filters_reach_the_centre(centre: FakeCentre, signed_in: Holdfast) -> None:
    """Each option is a filter of the API."""
    done = signed_in(
        *("pending", "--state", "denied", "--host", "web-1", "--subject", "ai", "--rule", "r"),
        *("--since", "2026-05-01T10:00:00+02:00", "--limit", "7", "--after", ID),
    )
    assert done.code == 0
    assert centre.log[-1][2] == {
        "state": "denied",
        "host": "web-1",
        "subject": "ai",
        "rule": "r",
        "since": "2026-05-01T10:00:00+02:00",
        "limit": "7",
        "after": ID,
    }


def test_a_state_that_there_is_not_is_refused_with_those_there_are(signed_in: Holdfast) -> None:
    """In words of this command alone."""
    done = signed_in("pending", "--state", "opne")
    assert done.code == 2
    assert "'opne' is not one of 'open', 'approved', 'denied'" in done.err
    assert "Value error" not in done.err


def test_the_version_is_the_package_s(holdfast: Holdfast) -> None:
    """For whoever reports something."""
    assert holdfast("--version").out == f"holdfast {version('holdfast')}\n"


def test_show_prints_the_card(centre: FakeCentre, signed_in: Holdfast) -> None:
    """All of it: facts, tree, what has happened, what is promised, the digest."""
    request = centre.add()
    out = signed_in("show", ID[:6]).out
    card = request["card"]
    for text in (card["title"], card["happened"], card["guarantee"], card["digest"], ID):
        assert text in out
    for fact in card["facts"]:
        # The badge beside the title is the severity.
        assert fact["label"] in out or fact == {"label": "Severity", "text": "high"}
    assert " high  ai: run" in out
    assert "→ 101 bash" in out
    assert "waiting until 12:05:00 UTC" in out


def test_show_full_prints_every_argument_whole(centre: FakeCentre, signed_in: Holdfast) -> None:
    """What the card had to cut can be read before it is approved."""
    script = "echo " + "x" * 9000 + "MIDDLE" + "y" * 9000
    centre.add(make_opened(make_act(argv=("sh", "-c", script))))
    short, full = signed_in("show", ID).out, signed_in("show", "--full", ID).out
    assert "MIDDLE" not in "".join(short.split())
    assert "not shown" in short
    assert "MIDDLE" in "".join(full.split())


def test_an_approval_says_what_is_approved_and_sends_the_digest_that_was_shown(
    centre: FakeCentre, signed_in: Holdfast
) -> None:
    """What was shown is what is decided."""
    request = centre.add()
    done = signed_in("approve", "1a2b3c", "--reason", "known installer")
    assert done.code == 0
    first, second = done.out.splitlines()
    assert first.startswith("approve 1a2b3c4d: ai: run curl -fsSL https://example.com/install.sh")
    assert "on web-1 (rule net.fetch-code, high)" in first
    assert second.endswith("waiting for the host to confirm")
    method, path, body = centre.log[-1]
    assert (method, path) == ("POST", f"/requests/{ID}/decision")
    assert body == {
        "answer": "approve",
        "reason": "known installer",
        "digest": request["digest"],
        "card": request["card_digest"],
        "via": "cli",
    }


def test_several_requests_are_answered_in_one_go(centre: FakeCentre, signed_in: Holdfast) -> None:
    """Each with the digest that was shown, and each once, however often it is named."""
    other = HoldId("2" * 32)
    first, second = centre.add(), centre.add(make_opened(hold=other))
    done = signed_in("approve", "1a2b3c", other, ID, "--reason", "known installer")
    assert done.code == 0
    assert [line.split()[0] for line in done.out.splitlines()] == [
        *("approve", "approve", "1a2b3c4d", "22222222")
    ]
    assert centre.log[-1] == (
        "POST",
        "/requests/decisions",
        {
            "answers": [
                {
                    "request": one["request"],
                    "answer": "approve",
                    "reason": "known installer",
                    "digest": one["digest"],
                    "card": one["card_digest"],
                }
                for one in (first, second)
            ],
            "via": "cli",
        },
    )


def test_one_refusal_of_several_is_named_and_the_others_stand(
    centre: FakeCentre, signed_in: Holdfast
) -> None:
    """The exit code is that of the refusal, and --json has every result."""
    other = HoldId("2" * 32)
    centre.add()
    centre.add(make_opened(hold=other))
    centre.refused_answers[other] = problem(403, "own_request", "it is yours", "ask another")
    done = signed_in("deny", ID, other, "-r", "no", "--json")
    assert done.code == 7
    assert [one["status"] for one in done.json["results"]] == [200, 403]
    assert json.loads(done.err)["error"]["refused"] == [other]


def test_nothing_is_answered_if_one_of_several_is_not_open(
    centre: FakeCentre, signed_in: Holdfast
) -> None:
    """A mistyped id is seen before anything has happened."""
    centre.add()
    assert signed_in("approve", ID, "ffffff", "-r", "x").code == 4
    assert signed_in("approve", ID, "1a2b3c4d", "-r", "x", "--digest", "0" * 64).code == 2
    assert not [one for one in centre.log if one[0] == "POST"]


def test_a_denial_is_sent_as_one(centre: FakeCentre, signed_in: Holdfast) -> None:
    """And not as anything else."""
    centre.add()
    assert signed_in("deny", ID, "-r", "no").code == 0
    assert centre.log[-1][2]["answer"] == "deny"


def test_a_missing_reason_is_an_error_where_nobody_can_be_asked(
    centre: FakeCentre, signed_in: Holdfast
) -> None:
    """Nothing is decided, and the remedy is named."""
    centre.add()
    done = signed_in("approve", ID)
    assert done.code == 2
    assert "--reason" in done.err
    assert not [one for one in centre.log if one[0] == "POST"]


def test_a_rule_that_waives_the_reason_needs_none(centre: FakeCentre, signed_in: Holdfast) -> None:
    """The rule decides, not the command."""
    rule = RuleFacts(id="r", description="d", severity=Severity.LOW, reason_required=False)
    centre.add(make_opened(rule=rule))
    assert signed_in("approve", ID).code == 0
    assert centre.log[-1][2]["reason"] == ""


def test_a_digest_seen_earlier_must_still_fit(centre: FakeCentre, signed_in: Holdfast) -> None:
    """A script that showed one act cannot decide another."""
    request = centre.add()
    done = signed_in("approve", ID, "-r", "x", "--digest", "0" * 64)
    assert done.code == 1
    assert not [one for one in centre.log if one[0] == "POST"]
    assert signed_in("approve", ID, "-r", "x", "--digest", request["digest"]).code == 0


def test_hidden_bytes_are_named_before_an_answer(centre: FakeCentre, signed_in: Holdfast) -> None:
    """Whoever approves a cut command is told."""
    centre.add(make_opened(make_act(argv=("sh", "-c", "x" * 9000))))
    assert "bytes of it are not on its card" in signed_in("deny", ID, "-r", "x").err


def test_a_comment_is_sent(centre: FakeCentre, signed_in: Holdfast) -> None:
    """It decides nothing."""
    centre.add()
    done = signed_in("comment", ID, "asking the team")
    assert done.code == 0
    assert centre.log[-1][1:] == (
        f"/requests/{ID}/comments",
        {"text": "asking the team", "via": "cli"},
    )
    assert "asking the team" in signed_in("show", ID).out


DECIDED: list[tuple[str, dict[str, Any], str]] = [
    (
        "denied",
        {
            "state": "denied",
            "decision": make_decision(Answer.DENY),
            "states": (make_state(HoldStateName.DENIED, by="ann@example.com"),),
        },
        "denied by ann@example.com at 12:00:10 UTC",
    ),
    (
        "expired",
        {"state": "expired", "states": (make_state(HoldStateName.EXPIRED),)},
        "expired at 12:00:10 UTC: nobody answered in time",
    ),
    (
        "cancelled",
        {"state": "cancelled", "states": (make_state(HoldStateName.CANCELLED),)},
        "the process ended before an answer took effect",
    ),
]


@pytest.mark.parametrize(("state", "given", "words"), DECIDED, ids=[one[0] for one in DECIDED])
def test_what_is_over_cannot_be_answered_and_says_by_whom_and_when(
    centre: FakeCentre, signed_in: Holdfast, state: str, given: dict[str, Any], words: str
) -> None:
    """Exit code 5, before anything is sent."""
    centre.add(**given)
    done = signed_in("approve", ID, "-r", "x")
    assert done.code == 5
    assert words in done.err
    assert done.err.count("\n") == 1
    error = signed_in("approve", ID, "-r", "x", "--json").error
    assert error["exit"] == 5
    assert error["code"] == ("already_decided" if state == "denied" else state)
    assert not [one for one in centre.log if one[0] == "POST"]


REFUSALS = [
    (403, "own_request", {}, 7),
    (403, "forbidden_role", {}, 3),
    (401, "unauthorized", {}, 3),
    (404, "unknown_request", {}, 4),
    (409, "ambiguous_prefix", {}, 4),
    (
        409,
        "already_decided",
        {"decided_by": "bob", "answer": "deny", "decided_ns": 0, "reason": "no"},
        5,
    ),
    (410, "expired", {}, 5),
    (410, "cancelled", {}, 5),
    (410, "superseded", {}, 5),
    (409, "digest_mismatch", {}, 1),
    (409, "card_unknown", {}, 1),
    (422, "reason_required", {}, 2),
    (422, "validation", {}, 2),
    (413, "too_large", {}, 2),
    (503, "nats_unavailable", {}, 6),
    (503, "answer_unconfirmed", {}, 6),
    (500, "internal", {}, 1),
]


@pytest.mark.parametrize(("status", "code", "extra", "exit_code"), REFUSALS)
def test_each_refusal_of_the_centre_has_its_exit_code(
    centre: FakeCentre,
    signed_in: Holdfast,
    status: int,
    code: str,
    extra: dict[str, Any],
    exit_code: int,
) -> None:
    """One line on standard error with what to do; the code of the API with --json."""
    centre.add()
    centre.refusals["/decision"] = problem(status, code, "it went wrong", "do that", **extra)
    done = signed_in("approve", ID, "-r", "x")
    assert done.code == exit_code
    assert done.err.count("\n") == 1
    assert done.err.endswith("; do that\n")
    error = signed_in("approve", ID, "-r", "x", "--json").error
    assert (error["code"], error["exit"], error["remedy"]) == (code, exit_code, "do that")
    assert extra.items() <= error.items()


def test_a_lost_race_says_who_won(centre: FakeCentre, signed_in: Holdfast) -> None:
    """Not only that it is lost."""
    centre.add()
    centre.refusals["/decision"] = problem(
        *(409, "already_decided", "m", "nothing is left to decide"),
        decided_by="bob",
        answer="deny",
        decided_ns=0,
        reason="no",
    )
    err = signed_in("approve", ID, "-r", "x").err
    assert "already denied by bob at 1970-01-01 00:00:00 UTC: no;" in err


def test_a_prefix_must_be_an_id(signed_in: Holdfast) -> None:
    """What cannot be one is not sent."""
    for text in ("1a2b3", "xyzxyz", "../../whoami", "1a2b3c?x=1"):
        done = signed_in("show", text)
        assert done.code == 2
        assert "6 to 32 hexadecimal digits" in done.err


@pytest.mark.parametrize(
    "words",
    [
        ("pending", "--json"),
        ("--json", "pending"),
        ("show", ID, "--json"),
        ("approve", ID, "-r", "x", "--json"),
        ("deny", ID, "-r", "x", "--json"),
        ("comment", ID, "x", "--json"),
    ],
)
def test_with_json_standard_output_is_the_answer_of_the_api(
    centre: FakeCentre, signed_in: Holdfast, words: tuple[str, ...]
) -> None:
    """One value, the keys of the API, nothing on standard error, before or after the command."""
    centre.add()
    done = signed_in(*words)
    assert (done.code, done.err) == (0, "")
    found = done.json["requests"][0] if "pending" in words else done.json
    assert found["request"] == ID
    assert {"state", "rule", "digest", "act", "decision", "may_decide", "card"} <= found.keys()


EVIL = "\x1b[2J\x1b[31m\x9b2J\r\n\u202e\u200b\x07"


@pytest.mark.parametrize(
    "words",
    [
        ("pending",),
        ("show", ID),
        ("show", ID, "--full"),
        ("approve", ID, "-r", "x"),
        ("pending", "--json"),
        ("show", ID, "--json"),
    ],
)
def test_nothing_that_a_process_wrote_reaches_the_terminal_raw(
    centre: FakeCentre, signed_in: Holdfast, words: tuple[str, ...]
) -> None:
    """No escape sequence, bidi or zero-width character, in no command, with or without JSON."""
    act = make_act(
        argv=("sh", EVIL), cwd=EVIL, user=EVIL, executable=EVIL, filename=f"x{EVIL}", subject=EVIL
    )
    rule = RuleFacts(id=EVIL, description=EVIL, severity=Severity.LOW)
    request = centre.add(make_opened(act, host_name=EVIL, owner=EVIL, rule=rule))
    said = {"by": EVIL, "via": EVIL, "text": EVIL, "time_ns": 1}
    centre.put({**request, "comments": [said]})
    done = signed_in(*words)
    assert done.code == 0
    assert set(done.out + done.err) & set(EVIL) <= {"[", "2", "J", "3", "1", "m", "\n"}


def test_a_centre_that_does_not_sanitise_is_not_trusted_either(
    centre: FakeCentre, signed_in: Holdfast
) -> None:
    """The terminal is this program's to protect."""
    request = centre.add()
    card = {**request["card"], "title": EVIL, "happened": EVIL, "state_line": EVIL, "tree": [EVIL]}
    card["facts"] = [{"label": EVIL, "text": EVIL}]
    centre.put({**request, "card": card})
    for words in (("show", ID), ("deny", ID, "-r", "x")):
        done = signed_in(*words)
        assert not {"\x1b", "\x9b", "\u202e", "\u200b", "\x07", "\r"} & set(done.out + done.err)
    centre.refusals["/requests"] = problem(500, "internal", EVIL, EVIL)
    done = signed_in("pending")
    assert not {"\x1b", "\x9b", "\u202e", "\u200b", "\x07", "\r"} & set(done.err)
    assert done.err.count("\n") == 1


def test_text_is_never_read_as_markup(centre: FakeCentre, signed_in: Holdfast) -> None:
    """Square brackets and emoji names in a command stay what they are."""
    centre.add(make_opened(make_act(argv=("echo", "[bold]x[/bold]", ":smile:", "[link=x]"))))
    for words in (("pending",), ("show", ID)):
        out = signed_in(*words).out
        assert "[bold]x[/bold]" in out
        assert ":smile:" in out


def test_json_is_plain_ascii(centre: FakeCentre, signed_in: Holdfast) -> None:
    """A terminal that shows it cannot be moved by it."""
    centre.add(make_opened(make_act(argv=("echo", EVIL, "é"))))
    out = signed_in("show", ID, "--json").out
    assert out.isascii()
    assert out.count("\n") == 1
    assert json.loads(out)["act"]["argv"] == ["echo", EVIL, "é"]
