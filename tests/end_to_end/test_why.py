"""A watched session says why through a hook, its request shows that, and it reads its denial."""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.centre import REPOSITORY
from tests.support.house import House, house, place_for_all

pytestmark = pytest.mark.end_to_end

LABEL = "Says why (claim of the AI, not checked)"
# A coding agent: its hook before a tool, the tool, its hook after it; what came of both is printed.
SESSION = """
import json, os, subprocess, sys
place, program, said = {place!r}, {program!r}, {said!r}
environment = {{**os.environ, "HOLDFAST_WHY_SOCKET": place + "/holdfast-why/agent.sock"}}
def hook(event, **given):
    words = ["/usr/bin/python3", place + "/hooks/holdfast_hook.py"]
    event = json.dumps({{"hook_event_name": event, "session_id": "s-1", **given}}).encode()
    done = subprocess.run(words, input=event, stdout=subprocess.PIPE, env=environment)
    return json.loads(done.stdout)
if said:
    hook("PreToolUse", tool_name="Bash", tool_input={{"description": said}})
code = subprocess.run([program]).returncode
print(json.dumps({{"code": code, "told": hook("PostToolUseFailure")}}), flush=True)
"""


def rules(place: Path) -> str:
    """Return one rule that asks about one program."""
    return f"""
rules:
  - id: demo.export
    description: Writes an export.
    severity: high
    match: {{exec: {{path: {place}/export}}}}
    action: ask
"""


@pytest.fixture(scope="module")
def home() -> Iterator[House]:
    """One Holdfast for all tests of this file, and the hook where the watched user can run it."""
    with place_for_all() as place:
        program = place / "export"
        program.write_text("#!/bin/sh\nexit 0\n")
        program.chmod(0o755)
        hooks = place / "hooks"
        hooks.mkdir(mode=0o755)
        shutil.copy(REPOSITORY / "deploy" / "hooks" / "holdfast_hook.py", hooks)
        shutil.copy(REPOSITORY / "holdfast_why" / "__init__.py", hooks / "holdfast_why.py")
        for file in hooks.iterdir():
            file.chmod(0o644)
        with house(place, rules(place)) as built:
            yield built


def _session(home: House, said: str) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
    """Start a session and return it with its request, once that is open."""
    place = str(home.directory)
    source = SESSION.format(place=place, program=f"{place}/export", said=said)
    child = home.start(source)
    request = home.watcher.wait(
        lambda one: (
            one["act"]["session"].startswith(f"{child.pid}-")
            and one["state"] == "open"
            and one["rule"]["id"] == "demo.export"
        )
    )
    return child, request


def _facts(request: dict[str, Any]) -> dict[str, str]:
    return {fact["label"]: fact["text"] for fact in request["card"]["facts"]}


def _told(child: subprocess.Popen[bytes]) -> dict[str, Any]:
    out, _ = child.communicate(timeout=60)
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


def test_a_hook_says_why_and_tells_of_the_denial(home: House) -> None:
    """As a claim, made safe, last on the card; the model reads that a person said no, and why."""
    child, request = _session(home, "Write the export \x1b[2J\u202eof today")
    facts = _facts(request)
    assert list(facts)[-1] == LABEL
    assert facts[LABEL].startswith("Bash: Write the export ")
    assert "\x1b" not in facts[LABEL] and "\u202e" not in facts[LABEL]
    assert facts["Session"].endswith("(calls itself s-1)")
    home.answer(request, "deny", "use the staging copy")
    told = _told(child)
    assert told["code"] != 0
    words = told["told"]["hookSpecificOutput"]["additionalContext"]
    assert "A person denied it." in words
    assert "use the staging copy" in words
    assert "ann" not in words
    denials = home.directory / "holdfast-why" / "denials"
    file = denials / f"{request['act']['session']}.json"
    assert (file.stat().st_uid, file.stat().st_mode & 0o777) == (home.user.pw_uid, 0o400)
    rows = home.sql_until(
        f"SELECT claim, session_name FROM holds WHERE hold = '{request['request']}'",  # noqa: S608
        lambda found: bool(found),
    )
    assert rows[0][0].startswith("Bash: Write the export")
    assert rows[0][1] == "s-1"


def test_a_claim_is_of_its_own_session_alone(home: House) -> None:
    """Another session of the same user has said nothing, and its request claims nothing."""
    first, asked = _session(home, "Write the export")
    second, silent = _session(home, "")
    assert LABEL in _facts(asked)
    assert LABEL not in _facts(silent)
    for child, request in ((first, asked), (second, silent)):
        home.answer(request, "approve", "checked")
        assert _told(child) == {"code": 0, "told": {}}


def test_who_is_not_watched_speaks_for_nobody(home: House) -> None:
    """Not even root, who may control the agent."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.connect(str(home.directory / "holdfast-why" / "agent.sock"))
        peer.sendall(b'{"do": "why", "text": "as root"}\n')
        answer = json.loads(peer.makefile("rb").readline())
    assert os.geteuid() == 0
    assert not answer["ok"]
    assert "not watched" in answer["error"]
