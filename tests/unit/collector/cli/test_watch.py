"""watch: what it prints, how it survives a lost stream, and how a person answers."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from tests.unit.collector.cli.fake_centre import TOKEN, FakeCentre, as_request, problem
from tests.unit.collector.cli.terminal import REPOSITORY, Terminal, terminal
from tests.unit.collector.samples import make_act, make_decision, make_opened, make_state
from wire.ids import HoldId
from wire.messages import Answer, HoldStateName

ONE = HoldId("1a2b3c4d" * 4)
TWO = HoldId("5e6f7a8b" * 4)
QUESTION = "[q] quit"


@pytest.fixture
def environment(centre: FakeCentre, tmp_path: Path) -> dict[str, str]:
    """What signs a child in."""
    centre.answers["/whoami"] = {"name": "ann@example.com", "role": "reviewer", "logins": []}
    return {
        "HOLDFAST_URL": centre.url,
        "HOLDFAST_TOKEN": TOKEN,
        "XDG_CONFIG_HOME": str(tmp_path),
    }


@contextmanager
def watching(environment: dict[str, str], *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run `holdfast watch` with its output in a pipe."""
    process = subprocess.Popen(
        [sys.executable, "-m", "collector.cli", "watch", *words],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # A test that waits for a line that never comes must end.
    patience = threading.Timer(60, process.kill)
    patience.start()
    try:
        yield process
    finally:
        patience.cancel()
        process.kill()
        process.communicate()


def answering(environment: dict[str, str]) -> AbstractContextManager[Terminal]:
    """Run `holdfast watch --answer` on a terminal."""
    return terminal("watch", "--answer", **environment)


def line_of(file: IO[str] | None) -> Any:
    """Return the next line of JSON."""
    assert file is not None
    return json.loads(file.readline())


def decided(answer: Answer = Answer.DENY, hold: HoldId = ONE) -> dict[str, Any]:
    """Return the request after somebody else decided it."""
    state = "denied" if answer is Answer.DENY else "approved"
    return as_request(make_opened(hold=hold), state=state, decision=make_decision(answer))


def test_with_json_each_change_is_one_line(centre: FakeCentre, environment: dict[str, str]) -> None:
    """Open requests first, then what happens to them, until it is interrupted."""
    centre.add()
    with watching(environment, "--json") as process:
        assert line_of(process.stdout)["state"] == "open"
        centre.wait_for_streams(1)
        centre.put(decided())
        line = line_of(process.stdout)
        assert (line["request"], line["state"]) == (ONE, "denied")
        assert {"card", "act", "decision"} <= line.keys()
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130


def test_people_see_a_card_and_then_a_line_for_each_change(
    centre: FakeCentre, environment: dict[str, str]
) -> None:
    """The host's confirmation is one of them."""
    request = centre.add()
    with watching(environment) as process:
        centre.wait_for_streams(1)
        said = {"by": "bob", "via": "cli", "text": "looking", "time_ns": 1}
        centre.put({**request, "comments": [said]})
        centre.put(decided(Answer.APPROVE))
        states = (
            make_state(HoldStateName.APPROVED, 1, by="ann@example.com"),
            make_state(HoldStateName.RELEASED, 2),
        )
        centre.add(state="approved", states=states, decision=make_decision())
        assert process.stdout is not None
        text = ""
        while "released at" not in text:
            line = process.stdout.readline()
            assert line, text
            text += line
        assert text.count(request["card"]["title"]) == 1
        assert text.index("bob: looking") < text.index("waiting for the host to confirm")


def test_a_lost_stream_is_taken_up_and_nothing_is_missed_or_said_twice(
    centre: FakeCentre, environment: dict[str, str]
) -> None:
    """What ended in between is fetched; what is still open is not shown again."""
    centre.add()
    centre.add(make_opened(hold=TWO))
    with watching(environment, "--json") as process:
        assert {line_of(process.stdout)["request"] for _ in range(2)} == {ONE, TWO}
        centre.wait_for_streams(1)
        # No stream is told of this one.
        centre.requests[ONE] = decided()
        centre.break_streams()
        line = line_of(process.stdout)
        assert (line["request"], line["state"]) == (ONE, "denied")
        centre.wait_for_streams(2)
        centre.put(decided(hold=TWO))
        line = line_of(process.stdout)
        assert (line["request"], line["state"]) == (TWO, "denied")


def test_a_refused_stream_ends_the_command(centre: FakeCentre, environment: dict[str, str]) -> None:
    """A token that may not follow is not tried for ever."""
    centre.refusals["/requests/stream"] = problem(403, "forbidden_role", "no", "ask")
    with watching(environment) as process:
        assert process.wait() == 3
        assert process.stderr is not None
        assert process.stderr.read() == "holdfast: no; ask\n"


def test_line_ends_of_other_alphabets_do_not_break_the_stream(
    centre: FakeCentre, environment: dict[str, str]
) -> None:
    """A process must not be able to hide its request from whoever watches."""
    centre.add(make_opened(make_act(argv=("echo", "\x85\u2028\u2029\x1c\x0b"))))
    with watching(environment, "--json") as process:
        assert line_of(process.stdout)["act"]["argv"][1] == "\x85\u2028\u2029\x1c\x0b"


@pytest.mark.parametrize(("key", "answer"), [("a", "approve"), ("d", "deny")])
def test_a_key_and_a_reason_decide_the_request_on_the_screen(
    centre: FakeCentre, environment: dict[str, str], key: str, answer: str
) -> None:
    """With the digest of what was shown."""
    request = centre.add()
    with answering(environment) as screen:
        card = screen.wait_for(QUESTION)
        assert request["card"]["title"] in card
        screen.type(key)
        screen.wait_for(f"{answer}: reason")
        screen.type("known installer\n")
        screen.wait_for("waiting for the host to confirm")
        assert centre.wait_for_log("POST", ONE) == {
            "answer": answer,
            "reason": "known installer",
            "digest": request["digest"],
            "card": request["card_digest"],
            "via": "cli",
        }
        states = (make_state(HoldStateName.KILLED),)
        centre.add(state="denied", states=states, decision=make_decision(Answer.DENY))
        screen.wait_for("killed at")


def test_a_question_stands_below_what_it_is_about(
    centre: FakeCentre, environment: dict[str, str]
) -> None:
    """Severity, who, what, where and how long; ids and digests come with the key for them."""
    request = centre.add()
    with answering(environment) as screen:
        shown = screen.wait_for(QUESTION)
        above = shown[shown.rindex(request["card"]["title"]) :]
        assert above.count("\n") == 2
        assert f"{ONE[:8]} on web-1 in /home/ai, " in above
        assert request["card"]["digest"] not in shown
        assert ONE not in shown
        screen.type("f")
        full = screen.wait_for(QUESTION)
        assert request["card"]["digest"] in full
        assert ONE in full


def test_keys_typed_before_a_question_answer_nothing(
    centre: FakeCentre, environment: dict[str, str]
) -> None:
    """A key meant for one request must not decide the next."""
    with answering(environment) as screen:
        centre.wait_for_streams(1)
        screen.type("aaaa\nyes\naaaa\nyes\n")
        centre.add()
        screen.wait_for(QUESTION)
        screen.type("q")
        assert screen.end() == 0
        assert not [one for one in centre.log if one[0] == "POST"]


def test_a_question_about_a_request_that_ended_is_taken_back(
    centre: FakeCentre, environment: dict[str, str]
) -> None:
    """Whether it waits for a key or for the reason; the next one is asked."""
    centre.add()
    centre.add(make_opened(hold=TWO, opened_ns=make_opened().opened_ns + 1))
    with answering(environment) as screen:
        screen.wait_for(QUESTION)
        centre.put(decided())
        screen.wait_for("is no longer open")
        screen.wait_for(TWO[:8])
        screen.wait_for(QUESTION)
        screen.type("a")
        screen.wait_for("reason")
        centre.put(decided(hold=TWO))
        screen.wait_for("5e6f7a8b is no longer open")
        assert not [one for one in centre.log if one[0] == "POST"]


def test_a_skipped_request_is_not_asked_about_again(
    centre: FakeCentre, environment: dict[str, str]
) -> None:
    """It stays open for others."""
    centre.add()
    centre.add(make_opened(hold=TWO, opened_ns=make_opened().opened_ns + 1))
    with answering(environment) as screen:
        assert "1 more waiting" in screen.wait_for(QUESTION)
        screen.type("s")
        assert TWO[:8] in screen.wait_for(QUESTION)
        screen.type("q")
        assert screen.end() == 0
        assert ONE[:8] not in screen.screen.split(TWO[:8], 1)[1]


def test_an_empty_reason_goes_back_to_the_question(
    centre: FakeCentre, environment: dict[str, str]
) -> None:
    """A rule that asks for a reason gets one or nothing is sent."""
    centre.add()
    with answering(environment) as screen:
        screen.wait_for(QUESTION)
        screen.type("a")
        screen.wait_for("reason")
        screen.type("\n")
        screen.wait_for(QUESTION)
        screen.type("q")
        assert screen.end() == 0
        assert not [one for one in centre.log if one[0] == "POST"]


def test_the_end_of_the_input_is_no_answer(centre: FakeCentre, environment: dict[str, str]) -> None:
    """Ctrl-D at the reason sends nothing, whatever key came before."""
    centre.add()
    with answering(environment) as screen:
        screen.wait_for(QUESTION)
        screen.type("a")
        screen.wait_for("reason")
        screen.type("\x04")
        assert screen.end() == 0
        assert not [one for one in centre.log if one[0] == "POST"]


def test_what_is_hidden_must_be_read_before_it_is_approved(
    centre: FakeCentre, environment: dict[str, str]
) -> None:
    """The key for yes works only after the full text."""
    centre.add(make_opened(make_act(argv=("sh", "-c", "x" * 5000 + "MIDDLE" + "y" * 5000))))
    with answering(environment) as screen:
        screen.wait_for(QUESTION)
        screen.type("a")
        screen.wait_for("before you approve")
        screen.wait_for(QUESTION)
        screen.type("f")
        screen.wait_for("Argument 2")
        screen.wait_for(QUESTION)
        screen.type("a")
        screen.wait_for("approve: reason")
        screen.type("read it\n")
        screen.wait_for("waiting for the host to confirm")


def test_nobody_is_asked_about_their_own_request(
    centre: FakeCentre, environment: dict[str, str]
) -> None:
    """It is shown, with the reason why it is not theirs."""
    centre.add(why_not="ann@example.com answers for the subject that asks")
    with answering(environment) as screen:
        screen.wait_for("is not yours to decide: ann@example.com answers for")
        screen.type("\x03")
        assert screen.end() == 130
        assert QUESTION not in screen.screen


def test_a_refused_answer_is_shown_and_the_watch_goes_on(
    centre: FakeCentre, environment: dict[str, str]
) -> None:
    """Losing a race is no reason to stop."""
    centre.add()
    centre.refusals["/decision"] = problem(410, "expired", "too late", "nothing to do")
    with answering(environment) as screen:
        screen.wait_for(QUESTION)
        screen.type("d")
        screen.wait_for("reason")
        screen.type("no\n")
        screen.wait_for("holdfast: too late; nothing to do")
        centre.add(make_opened(hold=TWO))
        screen.wait_for(TWO[:8])
        screen.wait_for(QUESTION)


def test_the_terminal_is_as_it_was_afterwards(
    centre: FakeCentre, environment: dict[str, str]
) -> None:
    """Also after Ctrl-C in the middle of a question: what is typed is seen again."""
    centre.add()
    with answering(environment) as screen:
        before = screen.attributes()
        screen.wait_for(QUESTION)
        screen.type("\x03")
        assert screen.end() == 130
        assert screen.attributes() == before


def test_hostile_text_does_not_reach_the_terminal(
    centre: FakeCentre, environment: dict[str, str]
) -> None:
    """Whatever colours there are on the screen are this program's own."""
    centre.add(make_opened(make_act(argv=("sh", "\x1b]0;owned\x07\x1b[2J", "\u202e"))))
    with answering(environment) as screen:
        screen.wait_for(QUESTION)
        assert "\x1b]0" not in screen.screen
        assert "\x1b[2J" not in screen.screen
        assert "\u202e" not in screen.screen
        assert r"\x1b]0;owned\x07\x1b[2J" in screen.screen


@pytest.mark.parametrize("no_color", ["", "1"])
def test_no_color_is_respected(
    centre: FakeCentre, environment: dict[str, str], no_color: str
) -> None:
    """Colours are for terminals whose owner wants them."""
    centre.add()
    given = {**environment, "NO_COLOR": no_color}
    with terminal("show", ONE, **given) as screen:
        assert screen.end() == 0
        assert ("\x1b[1;31m" in screen.screen) == (not no_color)


def test_a_missing_reason_is_asked_for_on_a_terminal(
    centre: FakeCentre, environment: dict[str, str]
) -> None:
    """After the line that says what is decided."""
    centre.add()
    with terminal("approve", ONE, **environment) as screen:
        screen.wait_for("approve 1a2b3c4d: ai: run curl")
        screen.wait_for("reason: ")
        screen.type("fine\n")
        assert screen.end() == 0
    assert centre.wait_for_log("POST", ONE)["reason"] == "fine"


def test_an_empty_reason_on_a_terminal_decides_nothing(
    centre: FakeCentre, environment: dict[str, str]
) -> None:
    """Exit code 2."""
    centre.add()
    with terminal("approve", ONE, **environment) as screen:
        screen.wait_for("reason: ")
        screen.type("\n")
        assert screen.end() == 2
    assert not [one for one in centre.log if one[0] == "POST"]
