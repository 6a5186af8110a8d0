"""A centre and a host for the tests of faults: reviewers who answer by what an act is called.

An act's path says what becomes of it: /faults/approve/..., /faults/deny/... and so on.
"""

import asyncio
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any, cast

import httpx

from agent import identity
from collector.config import load
from collector.nats.connection import connect
from tests.support.actors import Actor
from tests.support.centre import Centre, Child, centre
from tests.support.file_sensor import make_held_files
from tests.support.house import Request, Watcher
from tests.support.mortal_agent import SHORT, MortalAgent, Setup
from wire import subjects

WAIT_S = 60
_AGAIN_S = 0.2
RULES = f"""
rules:
  - id: faults.asked
    description: Is asked about until somebody answers.
    severity: high
    match:
      open: {{path: ["/faults/approve/**", "/faults/deny/**", "/faults/die/**", "/faults/wait/**",
                    "/faults/grant/**"]}}
    action: ask
  - id: {SHORT}
    description: Is asked about for a moment.
    severity: low
    match: {{open: {{path: "/faults/short/**"}}}}
    action: ask
    timeout: 1s
  - id: faults.never
    description: Is never allowed.
    severity: critical
    match: {{open: {{path: "/faults/never/**"}}}}
    action: deny
"""


class Reviewer(Watcher):
    """Answers each request as soon as it is shown, by its path; one of /faults/wait/ never.

    At one of /faults/die/ the process is killed while it is held, with `kill`.
    """

    def __init__(self, url: str, token: str, kill: Callable[[int], None]) -> None:
        self._kill = kill
        self._open: SimpleQueue[Request | None] = SimpleQueue()
        self._answered: set[str] = set()
        self._closing = threading.Event()
        self._paused = threading.Event()
        self._paused.set()
        super().__init__(url, token)
        self._answering = threading.Thread(target=self._answer_all, daemon=True)
        self._answering.start()

    def pause(self) -> None:
        """Answer nothing until `resume`."""
        self._paused.clear()

    def resume(self) -> None:
        """Answer what waits."""
        self._paused.set()

    def close(self) -> None:
        """Stop following and answering."""
        self._closing.set()
        self._paused.set()
        self._open.put(None)
        self._answering.join()
        super().close()

    def know(self, request: Request) -> None:
        """Take in a request that is over, unless the stream has told of it."""
        with self._changed:
            self._latest.setdefault(request["request"], request)
            self._changed.notify_all()

    def _take(self, request: Request) -> None:
        super()._take(request)
        if request["state"] == "open" and request["request"] not in self._answered:
            self._answered.add(request["request"])
            self._open.put(request)

    def _answer_all(self) -> None:
        while (request := self._open.get()) is not None:
            answer = request["act"]["path"].split("/")[2]
            self._paused.wait()
            if answer in ("approve", "deny"):
                self._answer(request, answer)
            elif answer == "die":
                self._kill(request["act"]["process"]["pid"])

    def _answer(self, request: Request, answer: str) -> None:
        """Answer until it is known that the answer counts, or that it is over without one."""
        while not self._closing.is_set():
            try:
                response = httpx.post(
                    f"{self._url}/api/v1/requests/{request['request']}/decision",
                    headers=Centre.auth(self._token),
                    json={"answer": answer, "reason": "a test", "digest": request["digest"]},
                    timeout=30,
                )
            except httpx.TransportError as error:
                print(f"reviewer: {error!r}")  # the collector is away
            else:
                if response.status_code in (200, 409):
                    return
                print(f"reviewer: {response.status_code} {response.text}")
            # What is away gives no other sign that it is back than an answer that is taken.
            self._closing.wait(_AGAIN_S)


class Site:
    """A host of a centre. One agent after another runs on the same disk and held map."""

    def __init__(self, directory: Path, made: Centre, *, spool_limit_mib: int = 256) -> None:
        self.directory = directory
        self.centre = made
        self._nats_url = made.nats_url
        self.token = made.token("ann@example.com", "reviewer")
        self._actors: list[Actor] = []
        self._agents: list[MortalAgent] = []
        self._dying: list[Child] = []
        self.held = directory / "held"
        make_held_files(self.held)
        self.state = directory / "state"
        bundle = made.enroll("web-1")
        self.identity = directory / "host.toml"
        identity.join(bundle, self.identity)
        (directory / "rules.yaml").write_text(RULES, encoding="utf-8")
        self.config = directory / "agent.toml"
        self.config.write_text(
            f"identity = {json.dumps(str(self.identity))}\n"
            f"state = {json.dumps(str(self.state))}\n"
            f'run = "run"\nbpffs = "holdfast-test-bpf"\nrules = ["rules.yaml"]\n'
            f"spool_limit_mib = {spool_limit_mib}\n"
            '[[subjects]]\nname = "ai-worker"\nusers = [4242]\nresponsible = "owner@example.com"\n',
            encoding="utf-8",
        )
        self.reviewer = Reviewer(made.api_url, self.token, self._kill)

    @property
    def newest(self) -> MortalAgent:
        """The agent that was started last."""
        return self._agents[-1]

    @property
    def actors(self) -> list[Actor]:
        """Every process that has acted."""
        return list(self._actors)

    def use_nats(self, url: str) -> None:
        """Have agents reach NATS elsewhere from now on."""
        text = self.identity.read_text(encoding="utf-8")
        self.identity.write_text(text.replace(self._nats_url, url), encoding="utf-8")
        self._nats_url = url

    def start(self, *, die_at: str = "", count: int = 0, namespace: str = "") -> MortalAgent:
        """Start an agent; see MortalAgent."""
        setup = Setup(
            config=self.config,
            held=self.held,
            log=self.directory / "agent.log",
            namespace=namespace,
        )
        made = MortalAgent(setup, die_at=die_at, count=count)
        self._agents.append(made)
        return made

    def act(self, *paths: str, stops: bool = True) -> Actor:
        """Have a new process do these acts, one after the other."""
        done = self.directory / f"ran-{len(self._actors)}"
        actor = Actor(self.held, done, [f"/faults/{path}" for path in paths], stops=stops)
        self._actors.append(actor)
        return actor

    def _kill(self, pid: int) -> None:
        next(actor for actor in self._actors if actor.pid == pid).kill()

    def request_of(self, actor: Actor, path: str) -> Request:
        """Wait until the request for an act of this process is open, and return it."""
        return self.reviewer.wait(lambda one: _is(one, actor, path) and one["state"] == "open")

    def over(self, actor: Actor, path: str) -> Request:
        """Wait until the host has closed the request for an act, and return it."""
        try:
            return self.reviewer.wait(
                lambda one: (
                    _is(one, actor, path)
                    and (one["outcome"] is not None or one["state"] == "cancelled")
                )
            )
        except AssertionError as error:
            told = self.sql(
                "SELECT h.pid, s.state FROM holds h LEFT JOIN hold_states s USING (hold)"
            )
            told = [row for row in told if row[0] == actor.pid]
            raise AssertionError(f"{path} of {actor.pid} is not over; the trail: {told}") from error

    def post(self, path: str, body: object) -> dict[str, Any]:
        """Say something to the centre, which must take it."""
        url = f"{self.centre.api_url}/api/v1{path}"
        response = httpx.post(url, headers=Centre.auth(self.token), json=body, timeout=30)
        assert response.is_success, response.text
        return cast("dict[str, Any]", response.json())

    def sql(self, text: str) -> list[list[Any]]:
        """Ask the trail."""
        response = httpx.post(
            f"{self.centre.api_url}/api/v1/trail/query",
            headers=Centre.auth(self.token),
            json={"sql": text, "limit": 10_000},
            timeout=30,
        )
        assert response.status_code == 200, response.text
        return cast("list[list[Any]]", response.json()["rows"])

    def sql_until(self, wanted: list[list[Any]], text: str) -> None:
        """Ask until the answer is `wanted`: events give no other sign that they were taken in."""
        for _ in range(20 * WAIT_S):
            if (rows := self.sql(text)) == wanted:
                return
            threading.Event().wait(0.05)
        assert rows == wanted

    def log_says(self, text: str) -> None:
        """Wait until the agents have written this into their log."""
        for _ in range(20 * WAIT_S):
            if text in (self.directory / "agent.log").read_text(encoding="utf-8"):
                return
            threading.Event().wait(0.05)
        raise AssertionError(f"the agent never said {text!r}")

    def start_dying_collector(self, point: str) -> Child:
        """Start a collector that kills itself at a point (see mortal_collector), and follow it."""
        dying = Child(
            [sys.executable, "-m", "tests.support.mortal_collector", point,
             str(self.centre.config)],
            self.directory / "dying.log",
        )  # fmt: skip
        self._dying.append(dying)
        self.centre.api_url = dying.wait_for("ready api=").split()[1].removeprefix("api=")
        self.follow_again()
        return dying

    def follow_again(self) -> None:
        """Follow the requests of a collector that was started anew.

        A person takes longer than the collector needs to read what was said before; so do we.
        """
        self.reviewer.close()
        asyncio.run(self._taken_in(subjects.VOTES))
        self.reviewer = Reviewer(self.centre.api_url, self.token, self._kill)
        # What is over by now, the stream no longer tells.
        for state in ("approved", "denied", "expired", "cancelled"):
            response = httpx.get(
                f"{self.centre.api_url}/api/v1/requests",
                params={"state": state, "limit": 500},
                headers=Centre.auth(self.token),
                timeout=30,
            )
            assert response.status_code == 200, response.text
            for request in response.json()["requests"]:
                self.reviewer.know(request)

    async def _taken_in(self, stream: str) -> None:
        settings = load(self.centre.config)
        client = await connect(
            url=settings.nats.url, seed_file=Path(settings.nats.seed_file), once=True
        )
        async with asyncio.timeout(WAIT_S):
            while True:
                found = await client.jetstream().consumers_info(stream)
                if not any(one.num_pending or one.num_ack_pending for one in found):
                    break
                await asyncio.sleep(0.02)
        await client.close()

    def close(self) -> None:
        """End what was started."""
        for agent in self._agents:
            agent.stop()
        for actor in self._actors:
            actor.close()
        for collector in self._dying:
            collector.stop()
        self.reviewer.close()


def _is(request: Request, actor: Actor, path: str) -> bool:
    act = request["act"]
    return bool(act["process"]["pid"] == actor.pid and act["path"] == f"/faults/{path}")


@contextmanager
def site(directory: Path, *, spool_limit_mib: int = 256) -> Iterator[Site]:
    """Give a running centre and a host that has joined it; no agent runs yet."""
    with centre(directory) as made:
        place = directory / "host"
        place.mkdir()
        built = Site(place, made, spool_limit_mib=spool_limit_mib)
        try:
            yield built
        finally:
            built.close()
