"""Completion in the shell: ids from what is pending, silent when that fails, safe to evaluate."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.collector.cli.fake_centre import TOKEN, FakeCentre
from tests.unit.collector.cli.terminal import REPOSITORY
from tests.unit.collector.samples import make_act, make_opened
from wire.ids import HoldId
from wire.messages import RuleFacts, Severity

ONE = HoldId("1a2b3c4d" * 4)
TWO = HoldId("5e6f7a8b" * 4)


def complete(
    environment: dict[str, str], shell: str, *words: str
) -> subprocess.CompletedProcess[str]:
    """Return what the command tells a shell that completes the last of these words."""
    line = " ".join(("holdfast", *words))
    asked = {
        "_HOLDFAST_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words)),
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    return subprocess.run(
        [sys.executable, "-m", "collector.cli"],
        cwd=REPOSITORY,
        env={"PATH": "/usr/bin:/bin", **environment, **asked},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def environment(centre: FakeCentre, tmp_path: Path) -> dict[str, str]:
    """What signs a child in."""
    return {
        "HOLDFAST_URL": centre.url,
        "HOLDFAST_TOKEN": TOKEN,
        "XDG_CONFIG_HOME": str(tmp_path),
    }


@pytest.mark.parametrize("verb", ["show", "approve", "deny", "comment"])
def test_request_ids_complete_from_what_is_pending(
    centre: FakeCentre, environment: dict[str, str], verb: str
) -> None:
    """And only those that begin with what was typed."""
    centre.add()
    centre.add(make_opened(hold=TWO))
    assert complete(environment, "bash", verb, "5e").stdout.split() == ["5e6f7a8b"]
    assert set(complete(environment, "bash", verb, "").stdout.split()) == {"1a2b3c4d", "5e6f7a8b"}


def test_nobody_there_is_no_noise(environment: dict[str, str], tmp_path: Path) -> None:
    """A shell that completes must not be interrupted by an error."""
    gone = {**environment, "HOLDFAST_URL": "http://127.0.0.1:1"}
    signed_out = {name: value for name, value in environment.items() if name != "HOLDFAST_TOKEN"}
    for given in (gone, signed_out):
        done = complete(given, "bash", "show", "")
        assert (done.stdout.strip(), done.stderr) == ("", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_no_text_of_a_process_rule_or_host_reaches_the_shell_that_evaluates_it(
    centre: FakeCentre, environment: dict[str, str], shell: str
) -> None:
    """Completion scripts use eval: what is given to them is plain letters."""
    evil = r"""a\$(touch /x)`id`"';&|<>\\$IFS"""
    rule = RuleFacts(id=evil, description=evil, severity=Severity.LOW)
    centre.add(make_opened(make_act(argv=(evil,), user=evil), rule=rule, host_name=evil))
    out = complete(environment, shell, "show", "").stdout
    assert "1a2b3c4d" in out
    assert "touch /x" not in out
    assert not {"`", "$", "&", "|", "<", ">", ";"} & set(out.replace("$IFS", ""))
