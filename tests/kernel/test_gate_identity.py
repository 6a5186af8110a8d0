"""Gate mode: an approval is for one act of one thread, and for what was shown of it."""

import os
import shutil
import time
from pathlib import Path

import pytest

from tests.support.gate_rules import asking
from tests.support.started import PYTHON, Started
from tests.support.watched import Watched

pytestmark = [pytest.mark.kernel, pytest.mark.gate]

SCRIPTS = """
rules:
  - id: script
    description: The script.
    severity: high
    match: { exec: { path: [script, link] } }
    action: ask
"""
SCRIPT = f"#!{PYTHON} -IS\nprint('approved', flush=True)\n"
READS = "say(open('kept/one').read())"
OTHER = f"#!{PYTHON} -IS\nprint('another', flush=True)\n"


@pytest.fixture
def kept(watched: Watched) -> Path:
    """Two files that rules are about, in a directory of the watched user."""
    kept = watched.place / "kept"
    kept.mkdir()
    for name in ("one", "two"):
        (kept / name).write_text(name)
        (kept / name).chmod(0o644)
    user = watched.accounts.watched
    os.chown(kept, user.pw_uid, user.pw_gid)
    return kept


def test_a_symlink_that_leads_elsewhere_by_then_is_held_anew(watched: Watched, kept: Path) -> None:
    """The file is what is approved, not the name for it."""
    watched.rules(asking("open"))
    link = watched.place / "link"
    link.symlink_to(kept / "one")
    child = watched.run("say(open('link').read())")
    held = watched.next_hold(child)
    child.wait_stopped()
    assert held.act.path == str(kept / "one")
    link.unlink()
    link.symlink_to(kept / "two")
    watched.let_go(held, child)
    again = watched.next_hold(child)
    child.wait_stopped()
    assert again.act.path == str(kept / "two")
    child.kill()


def test_an_argument_that_is_another_by_then_is_held_anew(watched: Watched, kept: Path) -> None:
    """A second process with the same memory writes the name while the call is held."""
    watched.rules(asking("delete"))
    child = watched.run(
        "import ctypes, mmap\n"
        "shared = mmap.mmap(-1, 4096)\n"
        "shared[:9] = b'kept/one\\0'\n"
        "name = ctypes.addressof(ctypes.c_char.from_buffer(shared))\n"
        "writer = os.fork()\n"
        "if not writer:\n"
        "    sys.stdin.readline(); shared[:9] = b'kept/two\\0'; say('written')\n"
        "    sys.stdin.readline(); os._exit(0)\n"
        "call(87, name); say('deleted')\n"
    )
    held = watched.next_hold(child)
    child.wait_stopped()
    assert held.act.path == str(kept / "one")
    child.tell()
    assert child.line() == "written"
    watched.let_go(held, child)
    again = watched.next_hold(child)
    child.wait_stopped()
    assert again.act.path == str(kept / "two")
    assert (kept / "one").exists()
    assert (kept / "two").exists()
    watched.let_go(again, child)
    assert child.line() == "deleted"
    assert not (kept / "two").exists()


def test_a_file_that_was_put_in_the_place_of_another_is_held_anew(
    watched: Watched, kept: Path
) -> None:
    """Its name and its content are the same; it is not the file that was approved."""
    watched.rules(asking("chmod"))
    user = watched.accounts.watched
    os.chown(kept / "one", user.pw_uid, user.pw_gid)
    child = watched.run("os.chmod('kept/one', 0o600)")
    held = watched.next_hold(child)
    child.wait_stopped()
    shutil.copy2(kept / "one", kept / "copy")
    os.chown(kept / "copy", user.pw_uid, user.pw_gid)
    (kept / "copy").rename(kept / "one")
    watched.let_go(held, child)
    again = watched.next_hold(child)
    assert again.act.path == held.act.path
    assert again.act.inode != held.act.inode
    child.kill()


def test_a_ticket_of_a_process_is_none_for_another(watched: Watched, kept: Path) -> None:
    """Also if that has its number and does the same: the time of its start is part of the act."""
    watched.rules(asking("open"))
    # Something else on the machine may be given the number first.
    for _ in range(10):
        child = watched.run(READS)
        held = watched.next_hold(child)
        child.wait_stopped()
        watched.sensor.admit(held.key)
        child.kill()
        watched.sensor.forget(held.key)
        other = run_as_number(watched, child.pid)
        again = watched.next_hold(other)
        other.wait_stopped()
        if other.pid == child.pid:
            assert again.act.process.start_ns != held.act.process.start_ns
            return
    pytest.fail("no process was given the number of the one before")


def run_as_number(watched: Watched, pid: int) -> Started:
    """Start one that reads what is kept, with the number `pid` if that is free."""
    last = Path("/proc/sys/kernel/ns_last_pid")
    before = last.read_text()
    try:
        last.write_text(str(pid - 1))
        return watched.run(READS)
    finally:
        last.write_text(before)


@pytest.fixture
def script(watched: Watched) -> Path:
    """A script of the watched user, and rules that ask about it."""
    watched.rules(SCRIPTS)
    script = watched.place / "script"
    script.write_text(SCRIPT)
    user = watched.accounts.watched
    os.chown(script, user.pw_uid, user.pw_gid)
    script.chmod(0o755)
    return script


def test_a_script_that_is_as_it_was_runs(watched: Watched, script: Path) -> None:
    """Its interpreter may look at it more than once."""
    child = watched.run([script])
    watched.let_go(watched.next_hold(child), child)
    assert child.line() == "approved"
    assert child.end() == 0


def test_a_script_that_is_rewritten_while_it_is_held_does_not_run(
    watched: Watched, script: Path
) -> None:
    """In place, with the same length and the old times put back."""
    watched.may_lose = True
    assert len(SCRIPT) == len(OTHER.replace("another", "modified"))
    child = watched.run([script])
    held = watched.next_hold(child)
    child.wait_stopped()
    before = script.stat()
    time.sleep(0.02)  # the clock of file systems is coarse
    script.write_text(OTHER.replace("another", "modified"))
    os.utime(script, ns=(before.st_atime_ns, before.st_mtime_ns))
    watched.let_go(held, child)
    assert child.line() == ""
    assert child.end() == -9


@pytest.mark.parametrize("way", ["renamed over", "symlink"])
def test_a_script_that_another_has_taken_the_place_of_does_not_run(
    watched: Watched, script: Path, way: str
) -> None:
    """Whether its name leads to another file, or its link to another name."""
    watched.may_lose = True
    other = watched.place / "other"
    other.write_text(OTHER)
    other.chmod(0o755)
    link = watched.place / "link"
    link.symlink_to(script)
    child = watched.run([link if way == "symlink" else script])
    held = watched.next_hold(child)
    child.wait_stopped()
    if way == "symlink":
        link.unlink()
        link.symlink_to(other)
    else:
        other.rename(script)
    watched.let_go(held, child)
    assert child.line() == ""
    assert child.end() == -9
