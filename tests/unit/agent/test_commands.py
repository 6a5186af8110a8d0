"""The command: exit codes, words, and that the documents name all of it."""

import argparse
import ast
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent import __main__ as command
from agent import commands, config, identity
from rules.modes import HostMode
from tests.unit.agent.test_config import BUNDLE, GOOD

CHECKOUT = Path(__file__).resolve().parents[3]
MANUAL = (CHECKOUT / "docs" / "agent.md").read_text(encoding="utf-8")
RULES = """
rules:
  - id: test.secret
    description: Reads a secret.
    severity: high
    subjects: [ai-worker, nobody-here]
    match: { open: { path: "/etc/shadow" } }
    action: ask
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a whole configuration; return the path of agent.toml."""
    paths = f'identity = "host.toml"\nrun = "run"\nstate = "state"\n{GOOD}'
    (tmp_path / "agent.toml").write_text(paths, encoding="utf-8")
    (tmp_path / "host.toml").write_text(BUNDLE, encoding="utf-8")
    (tmp_path / "host.toml").chmod(0o600)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "test.yaml").write_text(RULES, encoding="utf-8")
    return tmp_path / "agent.toml"


def test_check_says_what_is_good_and_what_is_odd(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rule for a subject that nobody watches is worth a warning."""
    assert command.main(["check", "--config", str(place)]) == 0
    out = capsys.readouterr().out
    assert "nobody-here" in out
    assert out.endswith(f"{place}: good\n")


def test_check_says_which_rules_the_mode_cannot_put_into_effect(place: Path) -> None:
    """In one line, however many; and what a rule in effect cannot do, by its place."""
    file = place.parent / "rules" / "test.yaml"
    more = "".join(
        RULES.partition("rules:\n")[2]
        .replace("test.secret", f"test.{kind}")
        .replace("open:", f"{kind}:")
        for kind in ("delete", "chmod")
    )
    text = RULES.replace("    action: ask\n", "    action: ask\n    on_deny: refuse\n") + more
    file.write_text(text, encoding="utf-8")
    out = io.StringIO()
    assert commands.check(place, out, HostMode.STOP) == 0
    said = out.getvalue()
    assert (
        "warning: stop mode cannot put these rules into effect here: test.chmod, test.delete\n"
        in said
    )
    assert "test.yaml:3:5: test.secret: on_deny: refuse is a kill here" in said
    out = io.StringIO()
    assert commands.check(place, out, HostMode.GATE) == 0
    assert "effect" not in out.getvalue() and "a kill here" not in out.getvalue()


def test_check_and_status_say_whose_subject_is_nobodys(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It works, and who reviews must know."""
    text = place.read_text().replace('responsible = "alice@example.com"\n', "")
    place.write_text(text, encoding="utf-8")
    assert command.main(["check", "--config", str(place)]) == 0
    assert "warning: nobody is responsible for 'ai-worker'" in capsys.readouterr().out


def test_check_reports_everything_that_is_wrong_at_once(place: Path) -> None:
    """Identity, subjects and rules, each with its place."""
    (place.parent / "host.toml").chmod(0o644)
    place.write_text(place.read_text().replace("[4242]", "[0]"), encoding="utf-8")
    (place.parent / "rules" / "test.yaml").write_text("rules: [1]", encoding="utf-8")
    out = io.StringIO()
    assert commands.check(place, out, HostMode.STOP) == 1
    for words in ("chmod 0600", "is root", "test.yaml:1:"):
        assert words in out.getvalue()


def test_a_status_without_an_agent_has_its_own_exit_code(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that a script can tell it from a failure."""
    assert command.main(["status", "--config", str(place)]) == 3
    assert "no agent runs here" in capsys.readouterr().err


def test_a_release_needs_all_and_a_reason(place: Path) -> None:
    """Nobody lets everything go by a slip of the finger."""
    for words in (["release", "--all"], ["release", "--reason", "x"]):
        with pytest.raises(SystemExit) as ended:
            command.main([*words, "--config", str(place)])
        assert ended.value.code == 2
    assert command.main(["release", "--all", "--reason", " ", "--config", str(place)]) == 1


def test_rules_are_checked_and_explained(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without an agent, a configuration or root."""
    rules = str(place.parent / "rules" / "test.yaml")
    assert command.main(["rules", "check", rules]) == 0
    assert "1 rules, " in capsys.readouterr().out
    act = ["open: /etc/shadow read", "--subject", "ai-worker"]
    assert command.main(["rules", "explain", rules, *act]) == 0
    assert "test.secret" in capsys.readouterr().out
    assert command.main(["rules", "explain", rules, "nonsense"]) == 1
    assert "not an act" in capsys.readouterr().err


def test_an_example_that_does_not_hold_fails_the_check(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its line, its rule and which way it is wrong."""
    rules = place.parent / "rules" / "test.yaml"
    examples = """    examples:
      match: ["open: /etc/hosts"]
      no_match: ["open: /etc/shadow"]
"""
    rules.write_text(RULES + examples, encoding="utf-8")
    assert command.main(["rules", "check", str(rules)]) == 1
    out = capsys.readouterr().out
    assert f"{rules}:10:15: error: test.secret: " in out
    assert "'open: /etc/hosts' does not match the rule" in out
    assert "'open: /etc/shadow' matches the rule" in out


def test_join_says_who_the_host_is_now(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And where its centre is."""
    bundle = tmp_path / "bundle.toml"
    bundle.write_text(BUNDLE, encoding="utf-8")
    place = tmp_path / "host.toml"
    assert command.main(["join", str(bundle), "--identity", str(place)]) == 0
    assert "joined as web-1" in capsys.readouterr().out
    assert place.stat().st_mode & 0o777 == 0o600


def _verbs(parser: argparse.ArgumentParser, path: str = "") -> Iterator[tuple[str, list[str]]]:
    """Yield every command and option of a parser."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                yield from _verbs(child, f"{path} {name}".strip())
    yield path, [word for action in parser._actions for word in action.option_strings]


def test_the_manual_names_every_command_and_option() -> None:
    """A reader finds all of it, spelled as it is."""
    known = dict(_verbs(command._parser()))
    assert {"run", "unload", "rules explain"} <= known.keys()
    for verb, options in known.items():
        assert not verb or f"`{verb}" in MANUAL or verb == "rules", verb
        for option in options:
            assert option in {"-h", "--help"} or option in MANUAL, f"{verb} {option}"


@pytest.mark.parametrize("shape", [config._File, config._Subject, identity._File])
def test_the_manual_names_every_key(shape: type[msgspec.Struct]) -> None:
    """Of agent.toml and of host.toml."""
    for field in msgspec.structs.fields(shape):
        assert f"`{field.name}`" in MANUAL or f"[[{field.name}]]" in MANUAL, field.name


def test_the_manual_names_every_notice() -> None:
    """What the trail can say, a reader can look up."""
    found = {
        node.args[0].value
        for path in (CHECKOUT / "agent").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "notice"
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    }
    assert "verdict_refused" in found
    assert [name for name in found if f"`{name}`" not in MANUAL] == []


def test_an_agent_is_light() -> None:
    """What only the centre needs is never loaded on a host."""
    heavy = ("fastapi", "typer", "rich", "pyarrow", "duckdb", "uvicorn", "httpx", "bcc")
    code = (
        "import sys, agent.__main__, agent.events\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
