"""The control socket answers root, and nobody who is watched."""

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent import control, procfs
from agent.errors import AgentError
from agent.peers import watched
from agent.sensor.interface import Subject
from tests.support.children import Child, child

# Becomes a watched user, and its child becomes root again.
BACK_TO_ROOT = """
import os, time
os.setresuid(4242, 4242, 0)
pid = os.fork()
if pid == 0:
    os.setresuid(0, 0, 0)
    print(os.getpid(), flush=True)
time.sleep(3600)
"""


def subject(**who: Any) -> Subject:
    """Return a subject."""
    return Subject(index=1, name="ai-worker", **who)


def nobody() -> frozenset[int]:
    """Return that nothing is held."""
    return frozenset()


@asynccontextmanager
async def serving(path: Path, is_watched: Callable[[int], bool]) -> AsyncIterator[list[str]]:
    """Serve one request, `release_all`; yield the list of who was obeyed."""
    obeyed: list[str] = []

    def release_all(request: Mapping[str, Any], by: str) -> Mapping[str, Any]:
        obeyed.append(by)
        return {"released": 0}

    server = control.ControlServer(path, {"release_all": release_all}, is_watched=is_watched)
    await server.start()
    try:
        yield obeyed
    finally:
        await server.close()


async def test_a_watched_process_is_refused_whatever_its_user(tmp_path: Path) -> None:
    """This test asks as the agent's own user, as root in a watched cgroup would."""
    path, asked = tmp_path / "agent.sock", list[int]()

    def is_watched(pid: int) -> bool:
        asked.append(pid)
        return True

    async with serving(path, is_watched) as obeyed:
        with pytest.raises(AgentError, match="is watched by this agent"):
            await asyncio.to_thread(control.ask, path, {"do": "release_all"})
    assert asked == [os.getpid()]
    assert obeyed == []


async def test_a_process_that_is_not_watched_is_answered(tmp_path: Path) -> None:
    """By the subjects that a host has, of which this test is none."""
    path = tmp_path / "agent.sock"
    async with serving(path, watched([subject(uids=(4242,), cgroups=("/ai",))], nobody)) as obeyed:
        await asyncio.to_thread(control.ask, path, {"do": "release_all"})
    assert len(obeyed) == 1


def test_a_process_is_watched_by_user_and_by_group(one: Child) -> None:
    """As the subject says."""
    assert watched([subject(uids=(os.geteuid(),))], nobody)(one.pid)
    assert watched([subject(gids=(os.getegid(),))], nobody)(one.pid)
    assert not watched([subject(uids=(4242,), gids=(4242,))], nobody)(one.pid)


@pytest.mark.parametrize(
    ("cgroup", "found"),
    [("/ai", True), ("/ai/below", True), ("/ai2", False), ("/", False), ("", False)],
)
def test_a_process_is_watched_in_the_cgroup_and_below(
    one: Child, monkeypatch: pytest.MonkeyPatch, cgroup: str, found: bool
) -> None:
    """Whole names count, not how they begin."""
    look = procfs.owner

    def owner(pid: int) -> procfs.Owner | None:
        seen = look(pid)
        return seen and replace(seen, cgroup=cgroup)

    monkeypatch.setattr(procfs, "owner", owner)
    assert watched([subject(cgroups=("/ai",))], nobody)(one.pid) is found


def test_the_cgroup_is_the_one_that_the_kernel_shows(one: Child) -> None:
    """The line of cgroup v2, which has neither number nor controller."""
    shown = Path(f"/proc/{one.pid}/cgroup").read_text(encoding="utf-8").splitlines()
    seen = procfs.owner(one.pid)
    assert seen is not None
    assert f"0::{seen.cgroup}" in shown or not seen.cgroup


def test_a_process_below_a_held_one_is_watched(one: Child) -> None:
    """This test itself stands for one that is held; the child is below it."""
    assert watched([], lambda: {os.getpid()})(one.pid)
    assert not watched([], nobody)(one.pid)


def test_a_process_that_is_gone_is_taken_as_watched(one: Child) -> None:
    """Whose it was can no longer be known. Pid 0 is a process of another namespace."""
    one.end()
    assert watched([], nobody)(one.pid)
    assert watched([], nobody)(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root: sudo tests/run")
def test_who_comes_from_a_watched_user_is_watched_also_as_root() -> None:
    """As with sudo: the process is root's, its parent is not."""
    with child((sys.executable, "-c", BACK_TO_ROOT)) as parent:
        pid = int(parent.line())
        descriptor = os.pidfd_open(pid)
        try:
            seen = procfs.owner(pid)
            assert seen is not None
            assert 4242 not in seen.uids
            assert watched([subject(uids=(4242,))], nobody)(pid)
        finally:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            os.close(descriptor)


async def send(path: Path, data: bytes) -> dict[str, Any]:
    """Send bytes and the end of them; return the answer."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(data)
    writer.write_eof()
    answer: dict[str, Any] = json.loads(await reader.readline())
    writer.close()
    return answer


async def test_any_bytes_are_answered_and_obeyed_by_nobody(tmp_path: Path) -> None:
    """One error that says what a request is; the next one is served as ever."""
    path = tmp_path / "agent.sock"
    dice = random.Random(3)
    hostile = [
        b"",
        b"\n",
        b"null",
        b"[" * 60_000 + b"\n",
        b'{"do":' + b"[" * 60_000 + b"\n",
        b"x" * 200_000 + b"\n",
        b'{"do": "release_all", "reason": "\\ud800"}\n',
        b'{"do": ["release_all"]}\n',
        b'{"do": null}\n',
        b'{"do": "' + b"9" * 5_000 + b'"}\n',
        b"9" * 5_000 + b"\n",
        b'{"do": "release_all"',
        '{"do": "release_all"}\n'.encode("utf-16"),
        *(dice.randbytes(dice.randrange(80)) + b"\n" for _ in range(50)),
    ]
    async with serving(path, lambda pid: False) as obeyed:
        for data in hostile:
            answer = await send(path, data)
            assert answer["ok"] is False
            assert "not a request" in answer["error"]
        assert obeyed == []
        assert (await send(path, b'{"do": "release_all"}\n'))["ok"] is True
        assert len(obeyed) == 1


@pytest.mark.parametrize(
    "answer", [b"", b"[]\n", b"7\n", b"[" * 60_000, b"{", b"\xff\n", b'{"ok": 0}\n']
)
async def test_an_answer_that_is_none_is_an_error(tmp_path: Path, answer: bytes) -> None:
    """Whoever has the socket, the command ends in words."""
    path = tmp_path / "agent.sock"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    with pytest.raises(AgentError):
        await asyncio.to_thread(control.ask, path, {"do": "status"})
    server.close()
    await server.wait_closed()
