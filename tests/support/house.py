"""The whole of Holdfast for a test: centre, agent, this kernel, and a watched user made for it.

    with house(tmp_path, RULES) as h:
        child = h.start(["/usr/bin/id"])
        request = h.request_of(child)
        h.answer(request, "approve", "for the report")

Requests come by the API's event stream, so nothing here polls the centre. Only children of the
test and their descendants are ever signalled.
"""

import json
import os
import pwd
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import httpx

from agent.freezer import Freezer
from agent.processes import ProcessControl
from agent.release import ProcessId
from agent.sensor.bpf import Map
from agent.sensor.labels import cgroup_mount
from collector.cli.events import read_events
from deploy.bootstrap import bpffs
from tests.support.centre import REPOSITORY, Centre, Child, centre
from tests.support.children import start_ns
from tests.support.inside import PATIENCE, compiled_programs
from tests.support.sensors import MODE

USER = "holdfast-test-house"
PINS = Path("/sys/fs/bpf/holdfast-test-house")
OWNER = "olga@example.com"
_WAIT_S = 60 * PATIENCE

Request = dict[str, Any]


@contextmanager
def test_user(name: str = USER) -> Iterator[pwd.struct_passwd]:
    """Have a system user of this name, without a login; removed at the end."""
    _remove_user(name)  # of a run that was cut off
    subprocess.run(
        ["useradd", "--system", "--user-group", "--shell", "/usr/sbin/nologin", name], check=True
    )
    try:
        yield pwd.getpwnam(name)
    finally:
        _remove_user(name)


test_user.__test__ = False  # type: ignore[attr-defined]


def _remove_user(name: str) -> None:
    with suppress(KeyError):
        pwd.getpwnam(name)
        subprocess.run(["userdel", name], check=True, capture_output=True)


class Watcher:
    """Follows the API's stream of requests and lets a test wait for what comes."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token
        self._latest: dict[str, Request] = {}
        self._changed = threading.Condition()
        self._ready = threading.Event()
        self._client = httpx.Client(timeout=httpx.Timeout(10, read=None))
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()
        assert self._ready.wait(_WAIT_S), "the stream of requests did not begin"

    def _follow(self) -> None:
        with (
            suppress(httpx.TransportError, RuntimeError),
            self._client.stream(
                "GET",
                f"{self._url}/api/v1/requests/stream",
                headers=Centre.auth(self._token),
            ) as response,
        ):
            for event in read_events(response.iter_bytes()):
                if event.name == "ready":
                    self._ready.set()
                elif event.name == "request":
                    self._take(event.data)

    def _take(self, request: Request) -> None:
        with self._changed:
            self._latest[request["request"]] = request
            self._changed.notify_all()

    def wait(self, wanted: Callable[[Request], bool], *, timeout_s: float = _WAIT_S) -> Request:
        """Return the first request, in its latest state, that is wanted; fail after the time."""

        def found() -> Request | None:
            return next((one for one in self._latest.values() if wanted(one)), None)

        with self._changed:
            self._changed.wait_for(lambda: found() is not None, timeout_s)
            request = found()
            newest = list(self._latest.values())[-20:]
            there = [
                (one["request"], one["act"]["path"], one["state"], one["outcome"]) for one in newest
            ]
            assert request is not None, (
                f"no such request (following: {self._thread.is_alive()}); the last are {there}"
            )
            return request

    def close(self) -> None:
        """Stop following."""
        self._client.close()


class House:
    """What `house` gives. `user` is the watched one; everything else stands beside it."""

    def __init__(
        self, directory: Path, made: Centre, user: pwd.struct_passwd, keys: str = ""
    ) -> None:
        """`keys` are further lines for agent.toml."""
        self.directory = directory
        self.centre = made
        self.user = user
        self.bundle = made.enroll("db-7")
        self.reviewer = made.token("ann@example.com", "reviewer", logins=["ann"])
        self.rules = directory / "rules.yaml"
        self.config = directory / "agent.toml"
        self.agent: Child | None = None
        self.children: list[subprocess.Popen[bytes]] = []
        self.watcher = Watcher(made.api_url, self.reviewer)
        own_mode = f'mode = "{MODE}"\n'
        self.config.write_text(
            f"identity = {json.dumps(str(self.bundle))}\n"
            f'state = "{directory}/agent"\nrun = "{directory}/run"\nbpffs = "{PINS}"\n'
            f'cache = "{compiled_programs(directory / "cache")}"\n'
            f'rules = ["{self.rules}"]\n'
            f"{keys if 'mode =' in keys else own_mode + keys}"
            f'[[subjects]]\nname = "ai-worker"\nusers = ["{user.pw_name}"]\n'
            f'responsible = "{OWNER}"\n'
        )

    def start_agent(self, *options: str, tree: Path = REPOSITORY) -> None:
        """Start the agent of a tree, by default this one, and wait until it holds."""
        command = [sys.executable, "-m", "agent", "run", "--config", str(self.config), *options]
        self.agent = Child(command, self.directory / "agent.log", tree)
        self.agent.wait_for("ready host=")

    def stop_agent(self) -> int:
        """Stop the agent as systemd would; return its exit code."""
        assert self.agent is not None
        child, self.agent = self.agent, None
        return child.stop()

    def start(
        self, command: Sequence[str] | str, *, cwd: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a command, or Python source, as the watched user."""
        words = ["/usr/bin/python3", "-c", command] if isinstance(command, str) else command
        child = subprocess.Popen(
            words,
            user=self.user.pw_uid,
            group=self.user.pw_gid,
            extra_groups=[],
            cwd=cwd or self.directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
            start_new_session=True,
        )
        self.children.append(child)
        return child

    def request_of(self, child: subprocess.Popen[bytes], rule: str = "") -> Request:
        """Wait until a request for an act of this child is open and return it."""
        return self.watcher.wait(
            lambda one: (
                one["act"]["process"]["pid"] == child.pid
                and one["state"] == "open"
                and rule in one["rule"]["id"]
            )
        )

    def call(
        self, method: str, path: str, *, token: str = "", body: object = None
    ) -> httpx.Response:
        """Call the API."""
        return httpx.request(
            method,
            f"{self.centre.api_url}/api/v1{path}",
            headers=Centre.auth(token or self.reviewer),
            json=body,
            timeout=30,
        )

    def answer(self, request: Request, answer: str, reason: str, *, token: str = "") -> Request:
        """Answer a request and return it once the host has confirmed what it did."""
        response = self.call(
            "POST",
            f"/requests/{request['request']}/decision",
            token=token,
            body={"answer": answer, "reason": reason, "digest": request["digest"]},
        )
        assert response.status_code == 200, response.text
        return self.settled(request)

    def settled(self, request: Request) -> Request:
        """Wait until the host has said what became of a request, and return it."""
        return self.watcher.wait(
            lambda one: (
                one["request"] == request["request"]
                and (one["outcome"] is not None or one["state"] == "cancelled")
            )
        )

    def sql(self, text: str) -> list[list[Any]]:
        """Ask the trail."""
        response = self.call("POST", "/trail/query", body={"sql": text, "limit": 1000})
        assert response.status_code == 200, response.text
        return cast("list[list[Any]]", response.json()["rows"])

    def sql_until(self, text: str, wanted: Callable[[list[list[Any]]], bool]) -> list[list[Any]]:
        """Ask the trail again until its answer is wanted: events come to it a moment later."""
        end = time.monotonic() + _WAIT_S
        while not wanted(rows := self.sql(text)):
            assert time.monotonic() < end, f"the trail still says {rows}"
            time.sleep(0.05)
        return rows

    def close(self) -> None:
        """End the test's children, then the agent with everything it loaded."""
        for child in self.children:
            child.kill()
            child.communicate()
        self.watcher.close()
        if self.agent is not None:
            self.stop_agent()
        subprocess.run(
            [sys.executable, "-m", "agent", "unload", "--config", str(self.config), "--force"],
            check=False,
            capture_output=True,
            cwd=Path(__file__).parents[2],
        )


def is_still(pid: int) -> bool:
    """Return whether no thread of a process can run: it is stopped or frozen, or both."""
    control = ProcessControl(None, Freezer(cgroup_mount(), PINS.name))
    try:
        return control.is_still(ProcessId(pid, start_ns(pid)))
    finally:
        control.close()


def wait_still(child: subprocess.Popen[bytes]) -> None:
    """Wait until no thread of a child of ours can run; a frozen one tells nobody."""
    while not is_still(child.pid):
        assert child.poll() is None, f"it has ended with {child.returncode}"
        time.sleep(0.005)


def break_guard(pid: int) -> None:
    """Let a held process run on as only root can: without its guard, thawed and continued."""
    guarded = Map(PINS / "maps" / "hf_guarded", 4, None)
    guarded.delete(struct.pack("<I", pid))
    guarded.close()
    Freezer(cgroup_mount(), PINS.name).thaw(ProcessId(pid, start_ns(pid)))
    os.kill(pid, signal.SIGCONT)


@contextmanager
def place_for_all() -> Iterator[Path]:
    """Have a directory that the watched user can reach too, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as name:
        place = Path(name)
        place.chmod(0o755)
        yield place


@contextmanager
def house(
    directory: Path, rules: str, keys: str = "", *, centre_keys: str = "", policy: str = ""
) -> Iterator[House]:
    """Have a whole Holdfast running on `rules` (YAML); nothing of it is left at the end.

    `keys` are further lines for its agent.toml, `centre_keys` for its collector.toml; `policy` is
    the file policy.yaml beside that, for which they have to ask.
    """
    with bpffs.mounted(), test_user() as user, centre(directory, start=False) as made:
        (made.state / "policy.yaml").write_text(policy, encoding="utf-8")
        with made.config.open("a", encoding="utf-8") as file:
            file.write(centre_keys)
        made.start_nats()
        made.start_collector()
        built = House(directory, made, user, keys)
        try:
            built.rules.write_text(rules)
            built.start_agent()
            yield built
        finally:
            built.close()
