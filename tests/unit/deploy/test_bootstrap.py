"""The set-up of a bare machine: what it finds, what it says, and what it does when cut off."""

import io
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.bootstrap import bpffs, packages, quiet, system
from deploy.bootstrap.commands import interruptible, run, uninterrupted
from deploy.bootstrap.environment import Environment
from deploy.bootstrap.errors import CommandError, Interrupted, UnsupportedError
from deploy.bootstrap.progress import Progress

BOOKWORM = {"ID": "debian", "VERSION_ID": "12", "PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)"}
UBUNTU = {"ID": "ubuntu", "ID_LIKE": "debian", "PRETTY_NAME": "Ubuntu 24.04"}
HERE = Path(__file__)


def test_debian_12_is_supported() -> None:
    """There is nothing to say about the system that Holdfast is made for."""
    assert system.check_system(BOOKWORM, "6.1.0-26-amd64", HERE, "deploy/try") == ""


@pytest.mark.parametrize(
    ("release", "kernel", "types", "reason"),
    [
        ({"ID": "fedora", "PRETTY_NAME": "Fedora Linux 41"}, "6.11.4", HERE, "Fedora Linux 41"),
        (BOOKWORM | {"VERSION_ID": "11"}, "6.1.0", HERE, "needs Debian 12"),
        (BOOKWORM, "5.4.0-100-generic", HERE, "5.4.0-100-generic is too old"),
        (BOOKWORM, "6.1.0", Path("/no/such/btf"), "CONFIG_DEBUG_INFO_BTF"),
        ({}, "6.1.0", HERE, "an unknown system"),
    ],
)
def test_an_unsupported_system_is_told_why_in_one_line(
    release: dict[str, str], kernel: str, types: Path, reason: str
) -> None:
    """The line names the command, what is wrong, and what would be right."""
    with pytest.raises(UnsupportedError) as caught:
        system.check_system(release, kernel, types, "deploy/try")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("deploy/try: ")


def test_a_relative_of_debian_goes_on_with_a_remark() -> None:
    """Ubuntu is not refused, and not called tested."""
    assert "not tested" in system.check_system(UBUNTU, "6.8.0-45", HERE, "deploy/try")


def test_os_release_is_read_with_and_without_quotes(tmp_path: Path) -> None:
    """Both forms occur, comments and blank lines too."""
    file = tmp_path / "os-release"
    file.write_text('# comment\n\nID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12"\n')
    assert system.os_release(file) == {
        "ID": "debian",
        "VERSION_ID": "12",
        "PRETTY_NAME": "Debian 12",
    }
    assert system.os_release(tmp_path / "absent") == {}


def test_only_packages_that_dpkg_does_not_have_are_missing() -> None:
    """A second run finds nothing to install."""
    assert packages.missing(["dpkg", "holdfast-no-such-package"]) == ["holdfast-no-such-package"]
    assert packages.missing(["dpkg"]) == []


def test_no_package_starts_a_service_while_it_must_not(tmp_path: Path) -> None:
    """What dpkg asks says no, and is gone afterwards."""
    policy = tmp_path / "policy-rc.d"
    with quiet.nothing_starts(policy):
        assert subprocess.run([policy, "auditd", "start"], check=False).returncode == 101
    assert not policy.exists()


def test_the_policy_of_the_machine_is_left_alone(tmp_path: Path) -> None:
    """Who has one of their own keeps it."""
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 104\n")
    with quiet.nothing_starts(policy):
        assert "104" in policy.read_text()
    assert "104" in policy.read_text()


def test_an_installed_service_does_not_start_at_the_next_boot(tmp_path: Path) -> None:
    """Its unit is disabled; a package without a unit is no error."""
    units = tmp_path / "lib/systemd/system"
    wanted = tmp_path / "etc/systemd/system/multi-user.target.wants"
    units.mkdir(parents=True)
    wanted.mkdir(parents=True)
    (units / "one.service").write_text("[Install]\nWantedBy=multi-user.target\n")
    (wanted / "one.service").symlink_to("/lib/systemd/system/one.service")
    quiet.not_at_boot(["one", "other"], tmp_path)
    assert (wanted / "one.service").is_symlink() is (shutil.which("systemctl") is None)


@pytest.mark.parametrize(
    ("mounts", "expected"),
    [
        ("bpffs /sys/fs/bpf bpf rw,relatime 0 0\n", True),
        ("none /sys/fs/bpf bpf rw 0 0\nproc /proc proc rw 0 0\n", True),
        ("tmpfs /sys/fs/bpf tmpfs rw 0 0\n", False),
        ("bpffs /sys/fs/bpf/other bpf rw 0 0\n", False),
        ("", False),
    ],
)
def test_the_bpf_file_system_is_found_where_it_is_mounted(mounts: str, expected: bool) -> None:
    """Whether it was there decides whether it is unmounted at the end."""
    assert bpffs.is_mounted(mounts) is expected


def _environment(tmp_path: Path, **stamp: object) -> Environment:
    """Return the environment of a checkout that says it is installed, changed by `stamp`."""
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    environment = Environment(tmp_path)
    environment.python.parent.mkdir(parents=True)
    environment.python.touch()
    text = {"digest": environment.digest(), "sets": ["collector", "nats-server"], **stamp}
    (environment.place / "holdfast-stamp.json").write_text(json.dumps(text))
    return environment


def test_an_environment_with_its_stamp_needs_nothing(tmp_path: Path) -> None:
    """This is why a second run starts at once."""
    environment = _environment(tmp_path)
    assert environment.ready(["collector", "nats-server"])
    assert not environment.ready(["collector", "dev"])


def test_an_environment_is_stale_when_the_settings_change(tmp_path: Path) -> None:
    """A new dependency in pyproject.toml is installed at the next run."""
    environment = _environment(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'y'\n")
    assert not environment.ready(["collector"])


@pytest.mark.parametrize("stamp", [{"digest": "0" * 64}, {"sets": None}])
def test_a_stamp_that_does_not_fit_counts_as_none(tmp_path: Path, stamp: dict[str, object]) -> None:
    """A checkout that was moved, or a stamp that was cut, is installed again."""
    assert not _environment(tmp_path, **stamp).ready(["collector"])


def test_an_environment_without_an_interpreter_is_not_ready(tmp_path: Path) -> None:
    """Half an environment is none."""
    environment = _environment(tmp_path)
    environment.python.unlink()
    assert not environment.ready(["collector"])


def test_a_command_that_fails_is_told_with_its_last_words() -> None:
    """Whoever reads the error sees what the command itself said."""
    with pytest.raises(CommandError) as caught:
        run(["sh", "-c", "echo out; echo bad >&2; exit 7"])
    text = str(caught.value)
    assert "exit code 7" in text
    assert "out" in text
    assert "bad" in text


def test_a_step_is_one_line_where_there_is_no_terminal() -> None:
    """Logs of continuous integration hold no control characters."""
    stream = io.StringIO()
    progress = Progress(stream)
    with progress.step("make the thing") as step:
        step.detail("half of it")
    with pytest.raises(ValueError, match="broken"), progress.step("break it"):
        raise ValueError("broken")
    first, second = stream.getvalue().splitlines()
    assert first.startswith("  ✓ make the thing (")
    assert second.startswith("  ✗ break it (")


def _in_a_process(body: str) -> subprocess.CompletedProcess[str]:
    """Run `body` in a Python of its own, where signals may be played with."""
    return subprocess.run(
        [sys.executable, "-c", body],
        capture_output=True,
        text=True,
        check=False,
        cwd=HERE.parents[3],
        timeout=60,
    )


def test_an_interruption_ends_the_command_that_runs() -> None:
    """Ctrl-C reaches a command in a session of its own, and nothing goes on after it."""
    done = _in_a_process(
        """
import os, signal
from deploy.bootstrap.commands import interruptible, run
from deploy.bootstrap.errors import Interrupted
interruptible()
try:
    run(["sh", "-c", f"kill -INT {os.getpid()}; exec sleep 1000"])
except Interrupted as error:
    print(error, error.exit_code)
"""
    )
    assert (done.stdout, done.stderr) == ("SIGINT 130\n", "")


def test_a_command_that_must_be_whole_ends_before_the_interruption_is_heard() -> None:
    """dpkg is not cut off in the middle of a package."""
    done = _in_a_process(
        """
import os
from deploy.bootstrap.commands import interruptible, run
from deploy.bootstrap.errors import Interrupted
interruptible()
try:
    run(["sh", "-c", f"kill -TERM {os.getpid()}; echo unpacked >&{2}"], whole=True)
    print("not reached")
except Interrupted as error:
    print(error)
"""
    )
    assert (done.stdout, done.stderr) == ("SIGTERM\n", "")


def test_a_signal_that_arrives_while_undoing_is_delivered_after_it() -> None:
    """A second Ctrl-C does not leave the work of the first one half done."""
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    interruptible()
    undone = []
    try:
        with pytest.raises(Interrupted), uninterrupted():
            os.kill(os.getpid(), signal.SIGHUP)
            undone.append("everything")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert undone == ["everything"]


def test_the_digest_names_the_python_and_the_place(tmp_path: Path) -> None:
    """The same settings elsewhere, or under another Python, are another environment."""
    digests = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pyproject.toml").write_text("[project]\n")
        digests.add(Environment(tmp_path / name).digest())
    assert len(digests) == 2, platform.python_version()
