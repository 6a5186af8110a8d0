"""Gemini CLI itself, watched and with our hooks: it says why, waits, and reads what was denied.

What is replaced is the model that it asks, and nothing else of it. It reaches loopback alone.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import node
from tests.support.centre import REPOSITORY
from tests.support.gemini_api import Call, Model, gemini_api
from tests.support.house import House, house, place_for_all

pytestmark = pytest.mark.end_to_end

LABEL = "Says why (claim of the AI, not checked)"
DENIED_S = 90
HOOKS = REPOSITORY / "deploy" / "hooks"
INSTALLED = "/usr/local/lib/holdfast/"
SETTINGS = {
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
    "general": {"enableAutoUpdate": False},
}


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
    """One Holdfast for all tests of this file, with the hooks where the watched user runs them."""
    node.node("end_to_end", major=20)
    with place_for_all() as place:
        program = place / "export"
        program.write_text("#!/bin/sh\necho it is exported\n")
        program.chmod(0o755)
        hooks = place / "hooks"
        hooks.mkdir(mode=0o755)
        for name in ("holdfast_hook.py", "holdfast_mcp.py"):
            shutil.copy(HOOKS / name, hooks)
        shutil.copy(REPOSITORY / "holdfast_why" / "__init__.py", hooks / "holdfast_why.py")
        agent = node.packages(node.AGENTS) / "node_modules" / "@google" / "gemini-cli"
        # The checkout may be where the watched user cannot go.
        shutil.copytree(agent, place / "gemini-cli")
        with house(place, rules(place)) as built:
            yield built


def _configured(home: House, name: str) -> Path:
    """Return a home directory of the watched user with what docs/why.md says to put there."""
    made = home.directory / name.removesuffix(".json")
    (made / ".gemini").mkdir(parents=True)
    text = (HOOKS / name).read_text().replace(INSTALLED, f"{home.directory}/hooks/")
    settings = SETTINGS | json.loads(text)
    (made / ".gemini" / "settings.json").write_text(json.dumps(settings))
    for one in (made, made / ".gemini", made / ".gemini" / "settings.json"):
        shutil.chown(one, home.user.pw_uid, home.user.pw_gid)
    return made


def _started(home: House, own: Path, model: Model) -> subprocess.Popen[bytes]:
    environment = {
        "HOME": str(own),
        "HOLDFAST_WHY_SOCKET": f"{home.directory}/holdfast-why/agent.sock",
        "GEMINI_API_KEY": "of-no-use",
        "GOOGLE_GEMINI_BASE_URL": model.url,
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
        # Whatever it would reach but the stand-in goes to a closed port.
        **dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY"), "http://127.0.0.1:9"),
        "NO_PROXY": "127.0.0.1",
    }
    words = [f"{key}={value}" for key, value in environment.items()]
    agent = [node.node(), f"{home.directory}/gemini-cli/bundle/gemini.js"]
    child = home.start(
        [
            "/usr/bin/env",
            *words,
            *agent,
            "--approval-mode",
            "yolo",
            "--model",
            "stand-in",
            "-p",
            "go",
        ],
        cwd=own,
    )
    assert child.stdin is not None
    child.stdin.close()
    child.stdin = None
    return child


def _asked(home: House, child: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Return the request of the agent's session once it is open."""
    return home.watcher.wait(
        lambda one: one["state"] == "open" and one["act"]["session"].startswith(f"{child.pid}-")
    )


def _facts(request: dict[str, Any]) -> dict[str, str]:
    return {fact["label"]: fact["text"] for fact in request["card"]["facts"]}


def _ended(child: subprocess.Popen[bytes]) -> None:
    out, _ = child.communicate(timeout=DENIED_S)
    assert child.returncode == 0, out.decode()
    assert out.decode().rstrip().endswith("done"), out.decode()


def _shell(home: House) -> Call:
    return (
        "run_shell_command",
        {"command": f"{home.directory}/export", "description": "Write the export of today"},
    )


def test_its_hook_says_why_before_a_tool_and_tells_the_model_of_a_denial(home: House) -> None:
    """The configuration that docs/why.md gives, unchanged; the model reads who said no, and why."""
    own = _configured(home, "gemini-cli.json")
    with gemini_api([_shell(home)]) as model:
        child = _started(home, own, model)
        request = _asked(home, child)
        facts = _facts(request)
        assert facts[LABEL].startswith("run_shell_command: Write the export of today")
        assert "calls itself " in facts["Session"]
        home.answer(request, "deny", "use the staging copy")
        _ended(child)
        (told,) = model.results
        assert "A person denied it." in told
        assert "use the staging copy" in told
        assert "it is exported" not in told
        child = _started(home, own, model)
        home.answer(_asked(home, child), "approve", "checked")
        _ended(child)
        (told,) = model.results
        assert "it is exported" in told
        assert "denied" not in told


def test_its_client_of_mcp_has_both_tools(home: House) -> None:
    """The model states its intent and reads its denial by the server of docs/why.md."""
    calls = [
        ("state_intent", {"why": "The report needs the export", "session": "report-7"}),
        _shell(home),
        ("last_denial", {}),
    ]
    own = _configured(home, "mcp.json")
    with gemini_api(calls) as model:
        child = _started(home, own, model)
        request = _asked(home, child)
        facts = _facts(request)
        assert facts[LABEL].startswith("The report needs the export")
        assert facts["Session"].endswith("(calls itself report-7)")
        home.answer(request, "deny", "not today")
        _ended(child)
        noted, _, told = model.results
        assert "approves nothing by itself" in noted
        assert "A person denied it." in told
        assert "not today" in told
