"""doctor on this very machine: what it says is what the machine does, and it changes nothing."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import leftovers

pytestmark = pytest.mark.kernel

CHECKOUT = Path(__file__).resolve().parents[2]
USER = "holdfast-test-doctor"
SUDOERS = Path("/etc/sudoers.d/holdfast-test-doctor")
RULE = f"{USER} ALL=(root) NOPASSWD: /usr/bin/true\n"


@pytest.fixture
def user() -> Iterator[str]:
    """A user that may run one command by sudo."""
    subprocess.run(["userdel", USER], check=False, capture_output=True)
    subprocess.run(
        ["useradd", "--system", "--user-group", "--home-dir", "/", USER],
        check=True,
        capture_output=True,
    )
    SUDOERS.write_text(RULE, encoding="utf-8")
    SUDOERS.chmod(0o440)
    try:
        yield USER
    finally:
        SUDOERS.unlink()
        subprocess.run(["userdel", USER], check=True, capture_output=True)


@pytest.fixture
def config(tmp_path: Path, user: str) -> Path:
    """A configuration that watches this user."""
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "loose.yaml").touch()
    (rules / "loose.yaml").chmod(0o666)
    path = tmp_path / "agent.toml"
    path.write_text(
        f'rules = ["rules"]\nidentity = "none"\nstate = "state"\nrun = "run"\ncache = "cache"\n'
        f'[[subjects]]\nname = "ai"\nusers = ["{user}"]\n',
        encoding="utf-8",
    )
    return path


def doctor(config: Path, *options: str, user: int = 0) -> "subprocess.CompletedProcess[str]":
    """Run the command."""
    return subprocess.run(
        [sys.executable, "-m", "agent", "doctor", *options, "--config", str(config)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        user=user,
    )


def test_it_says_what_this_machine_does_and_leaves_it_as_it_was(config: Path) -> None:
    """Tests of the kernel side run here, so that there is a mode; settings are the kernel's own."""
    before = leftovers.found()
    done = doctor(config, "--json")
    said: dict[str, Any] = json.loads(done.stdout)
    assert done.stderr == ""
    assert said["mode"] in {"gate", "stop"}
    assert said["host"]["kernel"] == Path("/proc/sys/kernel/osrelease").read_text().strip()
    found = {one["check"]: one for one in said["findings"]}
    links = Path("/proc/sys/fs/protected_hardlinks").read_text().strip()
    assert (found["hardlinks"]["level"] == "ok") is (links != "0")
    assert found["bcc"]["level"] == found["types"]["level"] == found["bpffs"]["level"] == "ok"
    assert found["sudo"]["level"] == "warning"
    assert "(root) NOPASSWD: /usr/bin/true" in found["sudo"]["what"]
    assert found["own_files"]["level"] == "problem"
    assert "loose.yaml" in found["own_files"]["what"]
    assert found["configuration"]["level"] == "problem"  # there is no identity
    assert done.returncode == 1
    assert said["problems"] == 2
    assert leftovers.left_since(before) == set()
    assert {path.name for path in config.parent.iterdir()} == {"rules", "agent.toml"}


def test_people_read_the_same(config: Path) -> None:
    """The mode first, and the count at the end."""
    done = doctor(config)
    lines = done.stdout.splitlines()
    assert lines[2].startswith("mode: ")
    assert lines[-1].startswith("2 problems, ")
    assert any(f"{USER} may run" in line for line in lines)


def test_who_is_not_root_is_told_so() -> None:
    """Half of the facts would be missing."""
    done = doctor(Path("/nonexistent/agent.toml"), user=65534)
    assert done.returncode == 1
    assert "use sudo" in done.stderr
    assert done.stdout == ""
