"""Measures how long a held act waits for Holdfast itself, with the whole of it running.

    with place_for_all() as place, house(place, rules(place)) as h:
        samples = measure(h, acts=100, standing=100)
        print(samples)

All stamps are of CLOCK_MONOTONIC, which every process shares. The act is the open of a file: the
watched process takes the time before its call, and again as soon as it runs on.

From a shell, as root: python -m tests.support.latency [ACTS] [STANDING]...
"""

import http.client
import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.house import House, Watcher, house, place_for_all

_WAIT_S = 60
_SOURCE = """
import os, sys, time
for line in sys.stdin.buffer:
    called = time.monotonic_ns()
    file = os.open({path!r}, os.O_RDONLY)
    running = time.monotonic_ns()
    os.close(file)
    os.write(1, b"%d %d\\n" % (called, running))
"""


@dataclass(frozen=True, slots=True)
class Samples:
    """Milliseconds, one of each for each act, in their order.

    `visible`: from the call to the moment a client of the API's stream has read the request.
    `running`: from the moment before the answer is posted until the process runs on.
    `answered`: from the same moment until the reviewer has the API's reply.
    """

    standing: int  # how many other holds were open all the while
    visible: tuple[float, ...]
    running: tuple[float, ...]
    answered: tuple[float, ...]

    def __str__(self) -> str:
        """One line: median and 95th percentile of each."""
        return f"{len(self.visible)} acts, {self.standing} standing: " + ", ".join(
            f"{name} {statistics.median(values):.1f} ms (p95 {_p95(values):.1f})"
            for name, values in (
                ("visible", self.visible),
                ("running", self.running),
                ("answered", self.answered),
            )
        )


def rules(place: Path) -> str:
    """Return rules under which opening `place`/secret is asked about; makes that file."""
    secret = place / "secret"
    secret.write_text("swordfish")
    return f"""
rules:
  - id: latency.secret
    description: Reads the secret of the measurement.
    severity: high
    match: {{open: {{path: {secret}}}}}
    action: ask
"""


def measure(home: House, acts: int, *, standing: int = 0, warm_up: int = 5) -> Samples:
    """Hold and approve `acts` acts one after another, with `standing` other holds open.

    The house must live by `rules`. Its own watcher is closed meanwhile: it would share this
    process with the client that is measured, and make the collector serve two.
    """
    home.watcher.close()
    try:
        with _stream(home) as stream, _poster(home) as post, _standing(home, standing, stream):
            actor = home.start(_SOURCE.format(path=str(home.directory / "secret")))
            try:
                known: set[str] = set()
                found = []
                for _ in range(warm_up + acts):
                    found.append(_one(actor, stream, post, known))
                    # What the trail still has to write of it would be in the way of the next one.
                    home.sql("SELECT 1")
            finally:
                _end(home, actor)
    finally:
        home.watcher = Watcher(home.centre.api_url, home.reviewer)
    visible, running, answered = zip(*found[warm_up:], strict=True)
    return Samples(standing, visible, running, answered)


Read = Callable[[], tuple[dict[str, Any], int]]
Post = Callable[[dict[str, Any]], tuple[int, int]]


def _one(
    actor: "subprocess.Popen[bytes]", stream: Read, post: Post, known: set[str]
) -> tuple[float, float, float]:
    """Have the actor do its act once and approve it; return the three times."""
    assert actor.stdin is not None
    assert actor.stdout is not None
    actor.stdin.write(b"\n")
    actor.stdin.flush()
    while True:
        request, seen = stream()
        # A request comes again when somebody has voted on it.
        if request["request"] not in known and request["act"]["process"]["pid"] == actor.pid:
            break
    known.add(request["request"])
    asked, answered = post(request)
    called, running = map(int, actor.stdout.readline().split())
    return (seen - called) / 1e6, (running - asked) / 1e6, (answered - asked) / 1e6


@contextmanager
def _stream(home: House) -> Iterator[Read]:
    """Give what returns the next request of the stream, with the time at which it was read."""
    with _connection(home) as raw:
        # HTTP/1.0: the body comes as it is, without chunks to take apart.
        raw.sendall(
            b"GET /api/v1/requests/stream HTTP/1.0\r\n"
            b"Authorization: Bearer " + home.reviewer.encode() + b"\r\n\r\n"
        )
        with raw.makefile("rb") as lines:

            def read() -> tuple[dict[str, Any], int]:
                event = b""
                while line := lines.readline():
                    now = time.monotonic_ns()
                    if line.startswith(b"event: "):
                        event = line[7:].strip()
                    elif line.startswith(b"data: ") and event == b"request":
                        return json.loads(line[6:]), now
                raise AssertionError("the stream of requests has ended")

            while lines.readline().strip() != b"event: ready":
                pass
            yield read


@contextmanager
def _poster(home: House) -> Iterator[Post]:
    """Give what approves a request over a kept connection, and returns when it began and ended.

    The request is one write, made ready before, so that this client's own work is not measured.
    """
    with _connection(home) as raw, raw.makefile("rb") as lines:

        def post(request: dict[str, Any]) -> tuple[int, int]:
            answer = {"answer": "approve", "reason": "measured", "digest": request["digest"]}
            body = json.dumps(answer).encode()
            head = (
                f"POST /api/v1/requests/{request['request']}/decision HTTP/1.1\r\n"
                f"Host: {home.centre.api_url.rpartition('//')[2]}\r\n"
                f"Authorization: Bearer {home.reviewer}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            whole = head.encode() + body
            asked = time.monotonic_ns()
            raw.sendall(whole)
            status = lines.readline()
            headers = http.client.parse_headers(lines)
            text = lines.read(int(headers["Content-Length"]))
            answered = time.monotonic_ns()
            assert status.split()[1] == b"200", text
            return asked, answered

        yield post


@contextmanager
def _standing(home: House, count: int, stream: Read) -> Iterator[None]:
    """Have so many other processes held; they are killed at the end, and their holds cancelled."""
    started = [home.start(["/bin/cat", str(home.directory / "secret")]) for _ in range(count)]
    try:
        waiting = {child.pid for child in started}
        while waiting:
            request, _ = stream()
            waiting.discard(request["act"]["process"]["pid"])
        yield
    finally:
        for child in started:
            _end(home, child)


def _end(home: House, child: "subprocess.Popen[bytes]") -> None:
    child.kill()
    child.communicate()
    home.children.remove(child)


@contextmanager
def _connection(home: House) -> Iterator[socket.socket]:
    host, _, port = home.centre.api_url.rpartition("//")[2].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=_WAIT_S) as raw:
        yield raw


def _p95(values: tuple[float, ...]) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * 95 // 100)]


def main() -> None:
    """Measure in a house of its own and print one line for each number of standing holds."""
    acts, *standing = [int(word) for word in sys.argv[1:]] or [100]
    with place_for_all() as place, house(place, rules(place)) as home:
        for count in standing or [0, 100]:
            with suppress(BrokenPipeError):
                print(measure(home, acts, standing=count), flush=True)


if __name__ == "__main__":
    main()
