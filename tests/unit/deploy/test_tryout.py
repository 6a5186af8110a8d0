"""The try-out's parts that need no root: its rules, its worker, its proofs and its memory."""

import io
import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from collector.card import as_dict, render
from deploy.tryout import parts, processes, trail
from deploy.tryout.acts import ACTS
from deploy.tryout.answering import AtTheTerminal
from deploy.tryout.board import Board
from deploy.tryout.errors import PartError, ProofError
from deploy.tryout.trail import Answered
from tests.unit.collector.samples import make_opened

CHECKOUT = Path(__file__).resolve().parents[3]
HOME = CHECKOUT / "deploy" / "tryout" / "home"


def _run_worker(home: Path, outside: str, tasks: str) -> list[dict[str, object]]:
    done = subprocess.run(
        ["/usr/bin/python3", str(home / "worker.py"), outside],
        input=tasks,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home as the demonstration's user has it."""
    place = tmp_path / "home"
    shutil.copytree(HOME, place)
    (place / "outbox").mkdir()
    return place


def test_the_worker_does_each_task_and_tells_what_came_of_it(home: Path) -> None:
    """Without Holdfast every act happens: what the walk proves is not for want of trying."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        received = []

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                received.append(connection.recv(100))
                connection.sendall(b"thank you\n")

        listener = threading.Thread(target=answer)
        listener.start()
        facts = _run_worker(
            home, f"127.0.0.1 {server.getsockname()[1]}", "command\nfile\nconnection\n"
        )
        listener.join()
    ended = {fact["task"]: fact for fact in facts if fact["state"] == "ended"}
    assert [ended[act.task]["returncode"] for act in ACTS] == [0, 0, 0], ended
    assert (home / "outbox" / "customers.csv").read_text().count("\n") == 3
    assert "not-a-real-key" in str(ended["file"]["output"])
    assert received == [b"the quarterly report\n"]
    assert ended["connection"]["output"] == "thank you\n"


@pytest.mark.parametrize(
    ("state", "words"),
    [("cancelled", "ended without an answer"), ("expired", "nobody answered in time")],
)
def test_a_question_is_taken_back_when_its_request_ends(state: str, words: str) -> None:
    """Nobody is asked about a process that is gone, and the end says what became of it."""
    board = Board()
    opened = make_opened()
    card = as_dict(render(opened))
    act = msgspec.to_builtins(opened.act)
    request = {
        "request": opened.hold, "host_name": opened.host_name, "act": act, "card": card,
        "state": "open", "deadline_ns": 0, "comments": [], "votes": [],
        "policy": {"id": "p", "missing": "1 reviewer", "stuck": "", "reason_required": False},
        "rule": {"reason_required": True}, "digest": opened.digest,
    }  # fmt: skip
    board.put_request(request)
    ended = {**request, "state": state, "card": {**card, "state_line": words}}
    terminal, keyboard = pty.openpty()
    try:
        ask = AtTheTerminal(Console(file=io.StringIO()), board, keyboard)
        threading.Timer(0, board.put_request, [ended]).start()
        with pytest.raises(ProofError, match=words):
            ask(request)
    finally:
        os.close(terminal)
        os.close(keyboard)


def test_a_board_wakes_whoever_waits() -> None:
    """A fact that comes later ends the wait for it."""
    board = Board()
    later = threading.Timer(
        0, board.add_event, [{"event": "worker", "task": "file", "state": "ended"}]
    )
    later.start()
    found = board.wait(lambda: board.worker("file", "ended"), "the worker", 30)
    later.join()
    assert found["task"] == "file"


def test_a_failure_ends_every_wait_with_its_words() -> None:
    """Nobody waits a minute for a part that is dead."""
    board = Board()
    board.add_event({"event": "failed", "message": "agent ended with exit code 1"})
    with pytest.raises(PartError, match="agent ended with exit code 1"):
        board.wait(lambda: None, "a hold", 30)


def test_a_wait_that_ends_without_its_fact_names_it() -> None:
    """What did not come is in the message."""
    with pytest.raises(ProofError, match="a hold by rule x"):
        Board().wait(lambda: None, "a hold by rule x", 0)


def test_a_stopped_process_is_seen_as_stopped_and_can_be_killed() -> None:
    """The proof of a hold looks at this state, and a stopped process still dies."""
    with subprocess.Popen(["sleep", "1000"]) as child:
        child.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
        seen = processes.look(child.pid)
        assert seen is not None
        assert seen.stopped
        assert seen.uid == os.getuid()
        assert child.pid in [each.pid for each in processes.descendants(os.getpid())]
        assert processes.end(child.pid, signal.SIGKILL, seen.start)
    assert processes.look(child.pid) is None


def test_a_process_of_another_start_time_is_left_alone() -> None:
    """A pid that was given to somebody else since is not ours."""
    with subprocess.Popen(["sleep", "1000"]) as child:
        seen = processes.look(child.pid)
        assert seen is not None
        assert processes.end(child.pid, signal.SIGKILL, seen.start + 1)
        assert child.poll() is None
        child.kill()


WHO: list[list[object]] = [
    ["10:00:00", "you", "approve", "fine", "x"],
    ["10:00:05", "you", "deny", "no", "y"],
]
WHAT: list[list[object]] = [
    ["exec", "r", "held", "decision", "released", 1.0],
    ["open", "r", "stopped", "decision", "killed", 2.0],
]
ANSWERS = [Answered("approve", "fine"), Answered("deny", "no")]


def test_a_trail_that_says_what_was_done_passes() -> None:
    """One answer of each kind, as given, carried out."""
    trail.check(ANSWERS, WHO, WHAT, [[1, 0]])


@pytest.mark.parametrize(
    ("who", "what", "without"),
    [
        ([WHO[0]], WHAT, [[1, 0]]),
        ([WHO[0], [*WHO[1][:3], "another reason", "y"]], WHAT, [[1, 0]]),
        (WHO, [WHAT[0], [*WHAT[1][:4], "released", 2.0]], [[1, 0]]),
        (WHO, [[*WHAT[0][:3], "timeout_policy", "released", 1.0], WHAT[1]], [[1, 0]]),
        (WHO, WHAT, [[2, 0]]),
        (WHO, WHAT, [[1, 1]]),
    ],
)
def test_a_trail_that_says_anything_else_fails(
    who: list[list[object]], what: list[list[object]], without: list[list[object]]
) -> None:
    """A missing answer, another reason, another outcome, another ground, one release too many."""
    with pytest.raises(ProofError, match="the trail says"):
        trail.check(ANSWERS, who, what, without)


def test_the_agents_file_is_one_that_the_agent_reads(tmp_path: Path) -> None:
    """Its keys are the agent's, and everything it names is the try-out's own."""
    from agent.config import load

    file = tmp_path / "agent.toml"
    file.write_text(parts.agent_config(user="nobody"))
    config = load(file)
    assert config.bpffs == Path("/sys/fs/bpf/holdfast-try")
    assert [subject.users for subject in config.subjects] == [("nobody",)]
