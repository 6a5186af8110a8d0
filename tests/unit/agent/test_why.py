"""The socket on which sessions say why: whose word counts, how much, and what is read back."""

import asyncio
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.errors import WhyError
from agent.holds.model import Doom, Hold, Why
from agent.why.claims import LONGEST_TEXT, NOTHING, Claims
from agent.why.denials import Denials
from agent.why.server import SOCKET, WhyServer, prepare
from tests.support.centre import REPOSITORY
from tests.support.holds import hold_of
from tests.support.wire_host import exec_act
from wire.messages import Ground, KillScope

WHY = (sys.executable, str(REPOSITORY / "holdfast_why" / "__init__.py"))
HOOKS = REPOSITORY / "deploy" / "hooks"
NOW_NS = 10**18
MINE, THEIRS = "100-5000", "200-6000"


@dataclass
class Site:
    """A running server. Every process but those named is of session `MINE`."""

    directory: Path
    claims: Claims
    denials: Denials
    sessions: dict[int, str | None] = field(default_factory=dict)

    def claim(self, session: str = MINE) -> str:
        """Return what a session says."""
        return self.claims.of(session, time.time_ns()).text

    async def run(self, words: Sequence[str], given: str = "") -> tuple[int, str, str]:
        """Run a program that says why; return its exit code and both outputs."""
        process = await asyncio.create_subprocess_exec(
            *words,
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={
                "HOLDFAST_WHY_SOCKET": str(self.directory / SOCKET),
                "PYTHONPATH": str(REPOSITORY),
                "PATH": "/usr/bin:/bin",
            },
        )
        out, errors = await process.communicate(given.encode())
        assert process.returncode is not None
        return process.returncode, out.decode(), errors.decode()

    async def hook(self, event: dict[str, Any]) -> dict[str, Any]:
        """Run the hook with one event; return what it answers."""
        code, out, _ = await self.run(
            ["/usr/bin/python3", str(HOOKS / "holdfast_hook.py")], json.dumps(event)
        )
        assert code == 0
        found: dict[str, Any] = json.loads(out)
        return found

    async def say(self, line: bytes) -> bytes:
        """Say a line from this very process; return what comes back."""
        reader, writer = await asyncio.open_unix_connection(str(self.directory / SOCKET))
        writer.write(line)
        await writer.drain()
        try:
            return await reader.read()
        finally:
            writer.close()


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[Site]:
    """Serve for as long as the block lasts."""
    denials = Denials(prepare(directory))
    site = Site(directory, Claims(), denials)
    server = WhyServer(
        directory,
        site.claims,
        denials,
        find=lambda pid: site.sessions.get(pid, MINE),
        now_ns=time.time_ns,
    )
    server.start()
    try:
        yield site
    finally:
        await server.close()
    assert not (directory / SOCKET).exists()


def denied(ground: Ground, *, reason: str = "", session: str = MINE, **changes: Any) -> Hold:
    """Return a hold that was denied."""
    fate = Doom(Why(ground=ground, by="ann", reason=reason), KillScope.PROCESS)
    return hold_of(session=session, fate=fate, **changes)


async def test_a_session_says_why_and_every_user_may(tmp_path: Path) -> None:
    """The command needs no token and no root; a later word replaces an earlier one."""
    async with serving(tmp_path / "why") as site:
        assert stat.S_IMODE((site.directory / SOCKET).stat().st_mode) == 0o666
        assert stat.S_IMODE(site.directory.stat().st_mode) == 0o755
        assert (await site.run([*WHY, "to lint", "--session", "issue-214"]))[0] == 0
        claim = site.claims.of(MINE, time.time_ns())
        assert (claim.text, claim.name) == ("to lint", "issue-214")
        assert (await site.run([*WHY, "to test"]))[0] == 0
        claim = site.claims.of(MINE, time.time_ns())
        assert (claim.text, claim.name) == ("to test", "issue-214")


async def test_nobody_speaks_for_another_session(tmp_path: Path) -> None:
    """Whose process connects is the kernel's word; a session named in the text is only a name."""
    async with serving(tmp_path / "why") as site:
        site.sessions[os.getpid()] = THEIRS
        answer = json.loads(
            await site.say(b'{"do": "why", "text": "mine", "session": "%s"}\n' % MINE.encode())
        )
        assert answer == {"ok": True, "session": THEIRS}
        assert (site.claim(), site.claim(THEIRS)) == ("", "mine")
        site.denials.look(denied(Ground.DECISION, reason="secret"), NOW_NS)
        answer = json.loads(await site.say(b'{"do": "last", "session": "%s"}\n' % MINE.encode()))
        assert answer["denial"] is None


async def test_who_is_not_watched_has_no_session(tmp_path: Path) -> None:
    """It is told so, and nothing is kept."""
    async with serving(tmp_path / "why") as site:
        site.sessions[os.getpid()] = None
        answer = json.loads(await site.say(b'{"do": "why", "text": "x"}\n'))
        assert not answer["ok"]
        assert "not watched" in answer["error"]


async def test_a_process_that_is_gone_says_nothing(tmp_path: Path) -> None:
    """Its number may be another's by now: here that of a session which said nothing."""
    code = (
        "import os, socket, sys\n"
        "peer = socket.socket(socket.AF_UNIX); peer.connect(sys.argv[1])\n"
        "os.set_inheritable(peer.fileno(), True)\n"
        "if os.fork(): os._exit(0)\n"
        "os.setsid(); sys.stdin.read()\n"
        'peer.sendall(b\'{"do": "why", "text": "not me"}\\n\'); print(peer.recv(4096).decode())\n'
    )
    async with serving(tmp_path / "why") as site:
        path = str(site.directory / SOCKET)
        process = subprocess.Popen(  # noqa: ASYNC220 - waited for in a thread
            [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdin is not None and process.stdout is not None
        assert await asyncio.to_thread(process.wait) == 0
        process.stdin.close()  # its child speaks only now
        answer = json.loads(await asyncio.to_thread(process.stdout.read))
        process.stdout.close()
        assert (answer["ok"], site.claim()) == (False, "")
        assert "gone" in answer["error"]


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"junk\n",
        b"[]\n",
        b'{"do": "rm"}\n',
        b'{"do": "why"}\n',
        b'{"do": "why", "text": ""}\n',
        b'{"do": "why", "text": 7}\n',
        b'{"do": "why", "text": "\\ud800"}\n',
        b'{"do": "why", "text": "x", "session": []}\n',
        b'{"do": "why", "text": "' + b"x" * (LONGEST_TEXT + 1) + b'"}\n',
        b"x" * 5000 + b"\n",
        b"[" * 4000 + b"\n",
        b"\xff\xfe\n",
    ],
)
async def test_what_cannot_be_taken_is_refused_in_words(tmp_path: Path, line: bytes) -> None:
    """And the next question is answered."""
    async with serving(tmp_path / "why") as site:
        answer = json.loads(await site.say(line))
        assert not answer["ok"]
        assert answer["error"]
        assert json.loads(await site.say(b'{"do": "last"}\n'))["ok"]


async def test_a_flood_of_connections_keeps_nobody_out_for_good(tmp_path: Path) -> None:
    """Those that say nothing are cut off; who comes after them is served."""
    async with serving(tmp_path / "why") as site:
        path = str(site.directory / SOCKET)
        idle = [await asyncio.open_unix_connection(path) for _ in range(40)]
        assert json.loads(await site.say(b'{"do": "last"}\n'))["ok"]
        for _, writer in idle:
            writer.close()


def test_a_session_can_say_only_so_much_and_it_is_forgotten_in_time() -> None:
    """Each for itself; the oldest sessions go first, and what is an hour old counts no more."""
    claims = Claims()
    for _ in range(20):
        claims.state(MINE, "again", "", NOW_NS)
    with pytest.raises(WhyError, match="too much"):
        claims.state(MINE, "again", "", NOW_NS)
    claims.state(THEIRS, "hello", "", NOW_NS)
    claims.state(MINE, "later", "", NOW_NS + 10**9)
    assert claims.of(MINE, NOW_NS + 10**9).text == "later"
    assert claims.of(MINE, NOW_NS + 3602 * 10**9) == NOTHING
    for number in range(1100):
        claims.state(f"{number}-1", "many", "", NOW_NS)
    assert claims.of(THEIRS, NOW_NS) == NOTHING


@pytest.mark.parametrize(
    ("ground", "who"),
    [
        (Ground.DECISION, "person"),
        (Ground.TIMEOUT_POLICY, "silence"),
        (Ground.RULE, "rule"),
        (Ground.EMERGENCY, "operator"),
    ],
)
async def test_a_denial_is_read_back_with_who_and_why(
    tmp_path: Path, ground: Ground, who: str
) -> None:
    """A person's reason, but not their name; silence is not called a refusal."""
    async with serving(tmp_path / "why") as site:
        hold = denied(ground, reason="not today")
        site.denials.seen(hold.id, exec_act("rm", "-rf", "/srv"))
        site.denials.look(hold, NOW_NS)
        code, out, _ = await site.run([*WHY, "--last", "--json"])
        found = json.loads(out)
        assert (code, found["who"], found["what"]) == (0, who, "exec: rm -rf /srv")
        assert found["reason"] == ("not today" if who == "person" else "")
        assert "ann" not in out
        file = site.directory / "denials" / f"{MINE}.json"
        assert json.loads(file.read_text()) == found
        assert stat.S_IMODE(file.stat().st_mode) == 0o400
        if os.geteuid() == 0:
            assert file.stat().st_uid == exec_act().process.uid


def test_denials_of_many_sessions_do_not_fill_the_disk(tmp_path: Path) -> None:
    """The newest files are kept; a session is never a path."""
    denials = Denials(prepare(tmp_path))
    for number in range(1030):
        denials.look(denied(Ground.RULE, session=f"{number}-1"), NOW_NS)
    denials.look(denied(Ground.RULE, session="../../etc/x"), NOW_NS)
    assert len(list((tmp_path / "denials").iterdir())) == 1024
    assert denials.last("../denials/1029-1") is None
    assert denials.last("1029-1") is not None


@pytest.mark.parametrize(
    ("event", "claim"),
    [
        (
            {
                "hook_event_name": "PreToolUse",
                "session_id": "abc",
                "tool_name": "Bash",
                "tool_input": {"command": "make", "description": "Build the project"},
            },
            "Bash: Build the project",
        ),
        (
            {
                "hook_event_name": "BeforeTool",
                "session_id": "abc",
                "tool_name": "run_shell_command",
                "tool_input": {"command": "make"},
            },
            "run_shell_command: make",
        ),
        (
            {
                "hook_event_name": "beforeShellExecution",
                "conversation_id": "abc",
                "generation_id": "g-1",
                "model": "gpt-4",
                "cursor_version": "2.0.77",
                "workspace_roots": ["/srv"],
                "user_email": None,
                "command": "make",
                "cwd": "/srv",
            },
            "shell: make",
        ),
        (
            {
                "hook_event_name": "beforeMCPExecution",
                "conversation_id": "abc",
                "tool_name": "query",
                "tool_input": '{"query": "DELETE FROM customer"}',
                "command": "npx -y some-database-server",
            },
            "query: DELETE FROM customer",
        ),
        (
            {
                "hook_event_name": "beforeMCPExecution",
                "conversation_id": "abc",
                "tool_name": "restart",
                "tool_input": "{}",
                "url": "https://mcp.example.com",
            },
            "restart, without a purpose given",
        ),
    ],
    ids=["claude-code", "gemini-cli", "cursor", "cursor-mcp", "cursor-mcp-of-a-server"],
)
async def test_the_hook_says_why_under_the_systems_python(
    tmp_path: Path, event: dict[str, Any], claim: str
) -> None:
    """It answers nothing that would allow or refuse a tool."""
    async with serving(tmp_path / "why") as site:
        assert await site.hook(event) == {}
        assert site.claim() == claim
        assert site.claims.of(MINE, time.time_ns()).name == "abc"


async def test_the_hook_tells_the_model_of_a_denial_once_it_is_news(tmp_path: Path) -> None:
    """An old denial is not told of again."""
    event = {"hook_event_name": "PostToolUseFailure", "tool_name": "Bash", "tool_input": {}}
    async with serving(tmp_path / "why") as site:
        assert await site.hook(event) == {}
        site.denials.look(denied(Ground.DECISION, reason="use staging"), time.time_ns())
        said = (await site.hook(event))["hookSpecificOutput"]
        assert said["hookEventName"] == "PostToolUseFailure"
        assert await site.hook(event) == {}, "it was told of after an earlier tool"
        assert "A person denied it." in said["additionalContext"]
        assert "use staging" in said["additionalContext"]
        site.denials.look(denied(Ground.DECISION), NOW_NS)
        assert await site.hook(event) == {}


@pytest.mark.parametrize("given", ["", "junk", "[]", "{}", '{"hook_event_name": "PreToolUse"}'])
async def test_a_hook_never_fails_a_tool(tmp_path: Path, given: str) -> None:
    """Whatever it is given, and where no agent runs."""
    site = Site(tmp_path / "nowhere", Claims(), Denials(None))
    code, out, _ = await site.run(["/usr/bin/python3", str(HOOKS / "holdfast_hook.py")], given)
    assert (code, json.loads(out)) == (0, {})


async def test_the_mcp_server_takes_an_intent_and_reads_a_denial(tmp_path: Path) -> None:
    """As a client speaks to it: initialize, list, call; notifications get no answer."""
    asked: list[dict[str, Any]] = [
        {"id": 1, "method": "initialize", "params": {"protocolVersion": "2025-03-26"}},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/list"},
        {
            "id": 3,
            "method": "tools/call",
            "params": {"name": "state_intent", "arguments": {"why": "to build", "session": "s"}},
        },
        {"id": 4, "method": "tools/call", "params": {"name": "last_denial"}},
        {"id": 5, "method": "tools/call", "params": {"name": "approve"}},
        {"id": 6, "method": "resources/list"},
    ]
    async with serving(tmp_path / "why") as site:
        site.denials.look(denied(Ground.TIMEOUT_POLICY), time.time_ns())
        given = "".join(json.dumps({"jsonrpc": "2.0", **one}) + "\n" for one in asked)
        code, out, errors = await site.run(
            ["/usr/bin/python3", str(HOOKS / "holdfast_mcp.py")], given + "junk\n"
        )
        assert code == 0, errors
        answers = {one["id"]: one for one in map(json.loads, out.splitlines())}
        assert list(answers) == [1, 2, 3, 4, 5, 6, None]
        assert answers[1]["result"]["protocolVersion"] == "2025-03-26"
        names = [tool["name"] for tool in answers[2]["result"]["tools"]]
        assert names == ["state_intent", "last_denial"]
        assert (answers[3]["result"]["isError"], site.claim()) == (False, "to build")
        assert "Nobody answered in time" in answers[4]["result"]["content"][0]["text"]
        assert answers[5]["result"]["isError"]
        assert answers[6]["error"]["code"] == -32601


@pytest.mark.parametrize("file", sorted(HOOKS.glob("*.json")), ids=lambda file: str(file.name))
def test_ready_settings_name_the_files_that_the_page_installs(file: Path) -> None:
    """Each is JSON, and runs the hook or the server under the system's Python."""
    text = file.read_text(encoding="utf-8")
    json.loads(text)
    assert "/usr/local/lib/holdfast/holdfast_" in text


def test_the_entry_of_the_command_line_is_quick_to_say_why() -> None:
    """`holdfast why` imports nothing that a host may not have."""
    code = (
        "import sys; sys.argv = ['holdfast', 'why', '--help']\n"
        "from collector.cli.entry import main\n"
        "try: main()\n"
        "except SystemExit: print([n for n in ('typer', 'httpx', 'rich') if n in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("[]\n")
