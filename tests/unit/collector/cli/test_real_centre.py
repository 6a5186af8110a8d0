"""The command against a real collector on a real nats-server, with a host that obeys."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.centre import REPOSITORY, Centre, centre
from tests.support.orders import PROGRAM
from tests.support.wire_host import exec_act, opened, wire_host
from wire.orders import Grant, GrantRevoked, Quarantine, QuarantineLifted

pytestmark = pytest.mark.nats

EVIL = "\x1b]0;owned\x07\x85\u2028\u202e"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Centre]:
    """A centre for the tests of this module."""
    with centre(tmp_path_factory.mktemp("centre")) as made:
        yield made


class Person:
    """Someone at a shell with a token."""

    def __init__(self, running: Centre, directory: Path, name: str, role: str) -> None:
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("HOLDFAST_")},
            "HOLDFAST_URL": running.api_url,
            "HOLDFAST_TOKEN": running.token(name, role),
            "XDG_CONFIG_HOME": str(directory),
            "COLUMNS": "200",
        }

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        """Start `holdfast` with these words."""
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "collector.cli", *words),
            cwd=REPOSITORY,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=1 << 22,
        )

    async def run(self, *words: str) -> tuple[int, str, str]:
        """Return exit code, output and errors of `holdfast` with these words."""
        process = await self.start(*words)
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def json(self, *words: str) -> Any:
        """Return the output of a command that succeeds, from JSON."""
        code, out, err = await self.run(*words, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator["Watch"]:
        """Follow the requests."""
        process = await self.start("watch", "--json")
        try:
            yield Watch(process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


class Watch:
    """The lines of `holdfast watch --json`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def until(self, request: str, **wanted: object) -> dict[str, Any]:
        """Return the first line about this request that has these values."""
        assert self._process.stdout is not None
        while True:
            line = await asyncio.wait_for(self._process.stdout.readline(), 60)
            found: dict[str, Any] = json.loads(line)
            if found["request"] == request and wanted.items() <= found.items():
                return found


async def test_a_hold_is_seen_approved_and_confirmed(running: Centre, tmp_path: Path) -> None:
    """From the host to the person, back to the host, and into the trail."""
    ann = Person(running, tmp_path, "ann@example.com", "reviewer")
    async with wire_host(running.enroll("web-1")) as host, ann.watching() as watch:
        await host.record()
        hold = await host.open(act=exec_act("psql", "-c", EVIL))
        seen = await watch.until(hold.hold, state="open")
        assert seen["act"]["argv"] == ["psql", "-c", EVIL]
        assert [one["request"] for one in (await ann.json("pending"))["requests"]] == [hold.hold]
        code, out, err = await ann.run("show", hold.hold[:8])
        assert (code, err) == (0, "")
        assert not set(EVIL) & set("\x1b\x07\x85\u2028\u202e") & set(out)
        assert r"\x1b]0;owned\x07\u0085\u2028\u202e" in out
        assert (await ann.json("comment", hold.hold, "looking"))["comments"][0]["text"] == "looking"
        code, out, err = await ann.run("approve", hold.hold[:8], "--reason", "nightly export")
        assert (code, err) == (0, "")
        assert "waiting for the host to confirm" in out
        verdict = await host.verdict()
        assert (verdict.by, verdict.via, verdict.reason, verdict.digest) == (
            *("ann@example.com", "cli", "nightly export"),
            hold.digest,
        )
        await host.obey(hold, verdict)
        done = await watch.until(hold.hold, outcome="released")
        assert done["card"]["state_line"].endswith("approved by ann@example.com")
        code, _, err = await ann.run("deny", hold.hold, "-r", "second thoughts")
        assert code == 5
        assert "approved by ann@example.com" in err


async def test_who_may_not_decide_is_told_so(running: Centre, tmp_path: Path) -> None:
    """Roles, one's own request, and what is not there; nothing reaches the host."""
    vera = Person(running, tmp_path, "vera@example.com", "viewer")
    olga = Person(running, tmp_path, "olga@example.com", "reviewer")
    async with wire_host(running.enroll("web-2")) as host, vera.watching() as watch:
        hold = await host.open(owner="olga@example.com")
        await watch.until(hold.hold, state="open")
        assert (await vera.run("approve", hold.hold, "-r", "x"))[0] == 3
        assert (await olga.run("approve", hold.hold, "-r", "x"))[0] == 7
        assert (await olga.run("approve", hold.hold))[0] == 7
        assert (await olga.run("approve", "0" * 32, "-r", "x"))[0] == 4
        listed = (await vera.json("pending", "--host", "web-2"))["requests"]
        assert [one["state"] for one in listed] == ["open"]


async def test_the_record_can_be_asked(running: Centre, tmp_path: Path) -> None:
    """whoami, hosts, events and SQL, each as the real API gives it and as a table."""
    vera = Person(running, tmp_path, "vera2@example.com", "viewer")
    async with wire_host(running.enroll("web-3")) as host:
        await host.record()
        await host.events({"kind": "exec", "argv": ["curl", EVIL], "program": "/usr/bin/curl"})
        assert (await vera.json("whoami"))["role"] == "viewer"
        assert "web-3" in [one["name"] for one in (await vera.json("hosts"))["hosts"]]
        found = await vera.json("trail", "sql", "SELECT 1 AS one, 'x' AS two")
        assert [column["name"] for column in found["columns"]] == ["one", "two"]
        assert found["rows"] == [[1, "x"]]
        assert (await vera.run("trail", "sql", "DROP TABLE events"))[0] == 2
        for words in (("whoami",), ("hosts",), ("events",), ("trail", "sql", "SELECT 1")):
            code, out, err = await vera.run(*words)
            assert code == 0, err
            assert "\x1b" not in out
        assert "events" in await vera.json("events", "--host", "web-3", "--since", "1h")


async def test_reports_are_shown_and_kept_as_pages(running: Centre, tmp_path: Path) -> None:
    """As a table, as JSON and as a page; a wrong period or place is told with its remedy."""
    vera = Person(running, tmp_path, "vera5@example.com", "viewer")
    async with wire_host(running.enroll("web-9")) as host, vera.watching() as watch:
        hold = await host.open(act=exec_act("make"))
        await watch.until(hold.hold, state="open")
        code, out, err = await vera.run("trail", "report", "--from", "1h")
        assert (code, err) == (0, "") and "Holds by rule" in out and "net.upload" in out
        page = tmp_path / "soc2.html"
        words = ("trail", "evidence", "--framework", "soc2", "--from", "1h")
        code, out, err = await vera.run(*words, "-o", str(page))
        assert (code, out) == (0, "") and "written to" in err
        assert page.read_text().startswith("<!doctype html>") and "<svg" in page.read_text()
        found = await vera.json(*words)
        assert {one["finding"] for one in found["controls"]} <= {"observed", "gap", "not assessed"}
        assert (await vera.run("trail", "report", "--from", "1h", "--to", "2h"))[0] == 2
        assert (await vera.run("trail", "report", "-o", str(tmp_path / "no" / "x.html")))[0] == 1
        assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


async def test_a_grant_is_made_listed_and_revoked(running: Centre, tmp_path: Path) -> None:
    """`approve --for`, `grants` and `grants revoke`, against what the host is told."""
    ann = Person(running, tmp_path, "ann4@example.com", "reviewer")
    async with wire_host(running.enroll("web-4")) as host, ann.watching() as watch:
        facts: dict[str, Any] = {"executable": "/usr/bin/pg_dump", "environment": {"PATH": EVIL}}
        act = exec_act("pg_dump", EVIL, filename="/usr/bin/pg_dump", **facts)
        hold = replace(opened(host.id, act=act), program=PROGRAM, not_grantable="")
        await host.say(hold)
        await watch.until(hold.hold, state="open")
        words = ("approve", hold.hold[:8], "-r", "export", "--for")
        assert (await ann.run(*words, "15"))[0] == 2
        assert (await ann.run(*words, "9h"))[0] == 2
        code, out, err = await ann.run(*words, "15m", "--uses", "2", "--whole-subject")
        assert (code, err) == (0, "")
        assert "the same again passes until" in out
        grant = await host.order()
        assert isinstance(grant, Grant)
        assert (grant.uses, grant.session) == (2, "")
        code, out, err = await ann.run("grants")
        assert (code, err) == (0, "")
        assert grant.order[:8] in out
        assert "0 of 2" in out
        assert not set(out) & set("\x1b\x07\x85\u2028\u202e")
        revoked = await ann.json("grants", "revoke", grant.order[:8], "--reason", "enough")
        assert revoked["state"] == "revoked"
        assert isinstance(await host.order(), GrantRevoked)
        assert (await ann.run("grants", "revoke", grant.order[:8]))[0] == 5
        assert (await ann.run("grants", "revoke", "f" * 32))[0] == 4
        assert (await ann.run("grants", "revoke"))[0] == 2
        assert (await ann.json("grants"))["grants"] == []


async def test_a_quarantine_is_made_listed_and_lifted(running: Centre, tmp_path: Path) -> None:
    """`quarantine SUBJECT`, `quarantine` and `quarantine lift`, each with a reason."""
    ann = Person(running, tmp_path, "ann5@example.com", "reviewer")
    async with wire_host(running.enroll("web-5")) as host:
        assert (await ann.run("quarantine", "ai-worker", "--host", "web-5"))[0] == 2
        words = ("quarantine", "ai-worker", "--host", "web-5", "--reason", "it mails")
        code, out, err = await ann.run(*words)
        assert (code, err) == (0, "")
        assert "ai-worker, web-5: in force since" in out
        order = await host.order()
        assert isinstance(order, Quarantine)
        assert (order.reason, order.everywhere) == ("it mails", False)
        assert (await ann.run(*words))[0] == 5
        code, out, err = await ann.run("quarantine")
        assert (code, err) == (0, "")
        assert order.quarantine[:8] in out
        lifted = await ann.json("quarantine", "lift", order.quarantine[:8], "-r", "looked at")
        assert lifted["lifted_by"] == "ann5@example.com"
        assert isinstance(await host.order(), QuarantineLifted)
        assert (await ann.json("quarantine"))["quarantines"] == []
