"""The library that asks, against a centre behind a proxy: what passes is waited out."""

import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

import holdfast_ask

OPEN = {
    "ask": "a" * 32,
    "state": "open",
    "opened_ns": 0,
    "deadline_ns": 600 * 10**9,
    "by": "",
    "reason": "",
    "state_line": "",
}
APPROVED = {**OPEN, "state": "approved", "by": "ann@example.com", "reason": "go on"}
TOKEN = secrets.token_hex(8)


@contextmanager
def answering(*answers: tuple[int, object]) -> Iterator[tuple[str, list[str]]]:
    """Give a server's address, and the paths that were asked; it gives these answers in turn.

    A text is what a proxy says that has nobody behind it.
    """
    left, asked = list(answers), list[str]()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            asked.append(self.path)
            code, said = left.pop(0)
            data = said.encode() if isinstance(said, str) else json.dumps(said).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask again without a pause."""
    monkeypatch.setattr(holdfast_ask, "_AGAIN_S", 0.0)


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_centre_that_is_being_started_is_waited_for(status: int) -> None:
    """Neither the sending nor the wait gives up, and nothing is withdrawn."""
    gone = (status, "<html>nobody there")
    with answering(gone, (201, OPEN), gone, (200, APPROVED)) as (url, asked):
        given = holdfast_ask.approval("deploy", "production", "a release", url=url, token=TOKEN)
    assert (given.by, given.reason) == ("ann@example.com", "go on")
    assert [path for path in asked if path.endswith("/withdraw")] == []


@pytest.mark.parametrize("status", [400, 401, 500])
def test_a_refusal_is_no_approval_and_the_ask_is_withdrawn(status: int) -> None:
    """Waiting on would be for ever."""
    error = {"error": {"message": "no", "remedy": "ask otherwise"}}
    with (
        answering((201, OPEN), (status, error), (200, OPEN)) as (url, asked),
        pytest.raises(holdfast_ask.AskFailed, match="no; ask otherwise"),
    ):
        holdfast_ask.approval("deploy", "production", "a release", url=url, token=TOKEN)
    assert asked[-1].endswith("/withdraw")
