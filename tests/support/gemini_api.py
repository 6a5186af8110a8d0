"""Stands in for the model behind Gemini CLI, on loopback: it calls the tools that a test says.

with gemini_api([("run_shell_command", {"command": "date"})]) as model:
    ...  # GOOGLE_GEMINI_BASE_URL = model.url
    model.results  # what the agent has sent back of each call
"""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Call = tuple[str, dict[str, Any]]


@dataclass
class Model:
    """The state behind the server. `results` are the responses to its calls, in order."""

    calls: Sequence[Call]
    url: str = ""
    results: list[str] = field(default_factory=list)

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return the next call of a tool, or that it is done; a tool is known by its name's end."""
        self.results = [
            str(part["functionResponse"]["response"])
            for content in asked.get("contents", [])
            for part in content.get("parts", [])
            if "functionResponse" in part
        ]
        offered = [
            tool["name"]
            for group in asked.get("tools", [])
            for tool in group.get("functionDeclarations", [])
        ]
        at = len(self.results)
        part: dict[str, Any] = {"text": "done"}
        if offered and at < len(self.calls):
            wanted, given = self.calls[at]
            name = next(one for one in offered if one.endswith(wanted))
            part = {"functionCall": {"id": f"call-{at}", "name": name, "args": given}}
        return {
            "candidates": [
                {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
            ],
            "usageMetadata": {"promptTokenCount": 1, "totalTokenCount": 2},
            "modelVersion": "stand-in",
        }


@contextmanager
def gemini_api(calls: Sequence[Call]) -> Iterator[Model]:
    """Serve it on a free port."""
    model = Model(calls)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps(model.answer(asked))
            streams = "streamGenerateContent" in self.path
            kind = "text/event-stream" if streams else "application/json"
            data = (f"data: {body}\n\n" if streams else body).encode()
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    model.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield model
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
