"""A small HTTP server that answers as the API of the centre does, from requests held in memory."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from collector.card import as_dict, render
from collector.shown.content import ShownCard
from tests.unit.collector.samples import make_decision, make_opened
from wire.messages import Answer, HoldOpened, HoldState

TOKEN = "hft_good"  # noqa: S105 - the only one that the server takes
Facts = dict[str, Any]


def as_request(
    opened: HoldOpened,
    *,
    state: str = "open",
    states: tuple[HoldState, ...] = (),
    decision: Any = None,
    why_not: str = "",
) -> Facts:
    """Return a request as the API gives it."""
    card = ShownCard.of(render(opened, states, decision))
    facts: Facts = msgspec.to_builtins(
        {
            "request": opened.hold,
            "host": opened.host,
            "host_name": opened.host_name,
            "state": state,
            "outcome": None,
            "opened_ns": opened.opened_ns,
            "deadline_ns": opened.deadline_ns,
            "owner": opened.owner,
            "rule": opened.rule,
            "digest": opened.digest,
            "act": opened.act,
            "decision": None,
            "ground": None,
            "states": states,
            "votes": [],
            "policy": {
                "id": "one-reviewer",
                "missing": "1 reviewer",
                "stuck": "",
                "reason_required": opened.rule.reason_required,
            },
            "comments": [],
            "may_decide": {"allowed": not why_not, "why": why_not},
            "card": as_dict(card.card),
            "card_digest": card.digest,
        }
    )
    if decision is not None:
        names = ("answer", "by", "via", "reason", "time_ns")
        facts["decision"] = {name: getattr(decision, name) for name in names}
    return facts


class FakeCentre:
    """The state behind the server; `log` holds (method, path, body) of everything asked."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: dict[str, Facts] = {}
        self.opened: dict[str, HoldOpened] = {}
        self.log: list[tuple[str, str, Any]] = []
        self.refusals: dict[str, tuple[int, Facts]] = {}
        self.refused_answers: dict[str, tuple[int, Facts]] = {}
        self.answers: dict[str, Facts] = {}
        self.streams = 0
        self._changed = threading.Condition()
        self._sent: list[Facts] = []
        self._broken = 0
        self._closing = False

    def add(self, opened: HoldOpened | None = None, **given: Any) -> Facts:
        """Open a request, or put it up with another state; streams are told."""
        opened = opened or make_opened()
        request = as_request(opened, **given)
        self.opened[opened.hold] = opened
        self.put(request)
        return request

    def put(self, request: Facts) -> None:
        """Put up a request as it is now; streams are told."""
        with self._changed:
            self.requests[request["request"]] = request
            self._sent.append(request)
            self._changed.notify_all()

    def break_streams(self) -> None:
        """Cut every stream, as a proxy or a restart would."""
        with self._changed:
            self._broken += 1
            self._changed.notify_all()

    def wait_for_streams(self, number: int) -> None:
        """Wait until so many streams have been opened and were told what is open."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.streams >= number, 30)

    def wait_for_log(self, method: str, part: str) -> Any:
        """Wait for a call and return its body."""

        def found() -> Any:
            return next((one for one in self.log if one[0] == method and part in one[1]), None)

        with self._changed:
            assert self._changed.wait_for(lambda: found() is not None, 30)
            return found()[2]

    def close(self) -> None:
        """End every stream."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def answer(self, method: str, path: str, query: Facts, body: Any) -> tuple[int, Facts]:
        """Return status and body for a call."""
        with self._changed:
            self.log.append((method, path, body if method == "POST" else query))
            self._changed.notify_all()
        for part, refusal in self.refusals.items():
            if part in path:
                return refusal
        if path in self.answers:
            return 200, self.answers[path]
        if path == "/requests":
            listed = [{**one, "card": None} for one in self._listed(query)]
            return 200, {"requests": listed, "next": None}
        if path == "/requests/decisions":
            return 200, {"results": [self._answered(one) for one in body["answers"]]}
        if path.startswith("/requests/"):
            return self._one(method, *path.removeprefix("/requests/").split("/"), body=body)
        return problem(404, "not_found", "there is no such route", "see the documents")

    def _answered(self, answer: Facts) -> Facts:
        """Answer one of several; `refused_answers` are by its id."""
        if answer["request"] in self.refused_answers:
            status, said = self.refused_answers[answer["request"]]
            refused = {"status": status, "result": None, "error": said["error"]}
            return {"request": answer["request"], **refused}
        status, found = self._one("POST", answer["request"], "decision", body=answer)
        return {"request": answer["request"], "status": status, "result": found, "error": None}

    def _listed(self, query: Facts) -> list[Facts]:
        state = query.get("state", "open")
        return [one for one in self.requests.values() if state in ("all", one["state"])]

    def _one(self, method: str, prefix: str, verb: str = "", *, body: Any) -> tuple[int, Facts]:
        fitting = [one for name, one in self.requests.items() if name.startswith(prefix)]
        if not fitting:
            return problem(404, "unknown_request", f"no request {prefix}", "see the list")
        if len(fitting) > 1:
            return problem(409, "ambiguous_prefix", f"{prefix} fits several", "give more digits")
        found = fitting[0]
        if verb == "decision":
            opened = self.opened[found["request"]]
            decision = make_decision(Answer(body["answer"]), reason=body["reason"])
            state = "approved" if body["answer"] == "approve" else "denied"
            found = as_request(opened, state=state, decision=decision)
            self.put(found)
        elif verb == "comments":
            said = {"by": "ann@example.com", "via": "cli", "text": body["text"], "time_ns": 1}
            found = {**found, "comments": [*found["comments"], said]}
            self.put(found)
            return 201, found
        return 200, found

    def stream(self) -> Iterator[bytes]:
        """Yield the bytes of one stream until it is broken."""
        with self._changed:
            at, broken = len(self._sent), self._broken
            first = [one for one in self.requests.values() if one["state"] == "open"]
        for request in first:
            yield _event("request", request)
        yield b":keepalive\n\n" + _event("ready", {})
        with self._changed:
            self.streams += 1
            self._changed.notify_all()

        def over() -> bool:
            return self._closing or self._broken > broken

        while True:
            with self._changed:
                while not over() and len(self._sent) == at:
                    self._changed.wait()
                if over():
                    return
                news, at = self._sent[at:], len(self._sent)
            for request in news:
                yield _event("request", request)


def problem(status: int, code: str, message: str, remedy: str, **extra: Any) -> tuple[int, Facts]:
    """Return the status and body of a refusal."""
    body = {"code": code, "message": message, "remedy": remedy, **extra}
    return status, {"error": body}


def _event(name: str, data: Facts) -> bytes:
    # As the real one: JSON with everything beyond ASCII as it is.
    return f"id: 1\nevent: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


@contextmanager
def fake_centre() -> Iterator[FakeCentre]:
    """Serve on a free loopback port."""
    centre = FakeCentre()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve(None)

        def do_POST(self) -> None:
            self._serve(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def log_message(self, format: str, *args: Any) -> None:
            """Stay quiet."""

        def _serve(self, body: Any) -> None:
            parts = urlsplit(self.path)
            path = parts.path.removeprefix("/api/v1")
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self._send(*problem(401, "unauthorized", "the token is unknown", "get another"))
            elif path == "/requests/stream" and path not in centre.refusals:
                self._stream()
            else:
                self._send(*centre.answer(self.command, path, dict(parse_qsl(parts.query)), body))

        def _send(self, status: int, body: Facts) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _stream(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            try:
                for chunk in centre.stream():
                    self.wfile.write(chunk)
                    self.wfile.flush()
            except (BrokenPipeError, ConnectionResetError):
                return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    centre.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield centre
    finally:
        centre.close()
        server.shutdown()
        server.server_close()
        thread.join()
