"""deploy/try holds for real, obeys the answer, and says so in its exit code."""

import subprocess
from collections.abc import Iterator

import pytest

from deploy.tryout import places
from tests.tryout.terminal import Run, unattended, what_is_left

pytestmark = [pytest.mark.end_to_end, pytest.mark.usefixtures("clean_machine")]
HELD = "the kernel holds process"


def test_three_holds_are_approved_and_the_bpf_mount_is_undone() -> None:
    """Where no BPF file system is mounted, one is, and is gone with the rest at the end."""
    script = f"""
        set -e
        ! grep -q ' /sys/fs/bpf bpf ' /proc/mounts || umount /sys/fs/bpf
        "$@"
        ! grep ' /sys/fs/bpf bpf ' /proc/mounts
        test ! -e {places.ROOM}
    """
    done = unattended(
        "--answer", "approve", prefix=["unshare", "--mount", "sh", "-c", script, "sh"]
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(HELD) == 3
    assert done.stdout.count("✓ approved") == 3


def test_three_holds_are_denied() -> None:
    """Each process dies before its act has any effect, and the worker goes on to the next."""
    done = unattended("--answer", "deny")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(HELD) == 3
    assert done.stdout.count("✓ denied") == 3


def test_a_person_answers_by_key_and_reason(tryout: Run) -> None:
    """One yes, one no, one yes; the trail then says who, what and why."""
    for key, reason in (("a", "known export"), ("d", "not today"), ("a", "fine by me")):
        tryout.expect(HELD)
        tryout.answer(key, reason)
    tryout.expect("Who answered")
    for reason in ("known export", "not today", "fine by me"):
        tryout.expect(reason)
    assert tryout.exit_code() == 0, tryout.text


def test_without_a_terminal_and_without_an_answer_nothing_is_started() -> None:
    """A script that forgets --answer is told so, at once."""
    done = unattended()
    assert done.returncode == 2
    assert "--answer approve or deny" in done.stdout


@pytest.fixture
def namesake(clean_machine: None) -> Iterator[None]:
    """A user of the try-out's name that the try-out has not made."""
    subprocess.run(["useradd", "--system", "--comment", "holdfast-test", places.USER], check=True)
    yield
    subprocess.run(["userdel", places.USER], check=True)


@pytest.mark.usefixtures("namesake")
def test_a_namesake_is_refused_and_left_alone() -> None:
    """Whatever carries our name and is not ours stays as it was."""
    done = unattended("--answer", "approve")
    assert done.returncode == 1
    assert f"a user {places.USER} is on this machine that deploy/try has not made" in done.stdout
    assert places.ROOM.exists() is False


def test_clean_on_a_clean_machine_finds_nothing() -> None:
    """It may be called at any time, and twice; kept logs of earlier failures go with the first."""
    unattended("--clean")
    done = unattended("--clean")
    assert (done.returncode, done.stdout) == (0, "deploy/try: nothing was left to remove\n")
    assert what_is_left() == []
