"""Gate mode and files: a held call has not happened, then happens once, or fails, or never does."""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.gate_rules import asking
from tests.support.watched import Watched
from wire.acts import Guarantee, Kind

pytestmark = [pytest.mark.kernel, pytest.mark.gate]


def _is(path: str) -> Callable[[Path], bool]:
    return lambda kept: os.path.lexists(kept / path)


def _not(path: str) -> Callable[[Path], bool]:
    return lambda kept: not os.path.lexists(kept / path)


@dataclass(frozen=True)
class Case:
    """One call: what has to be so before it, and what after it. `there` has 5 bytes."""

    name: str
    kind: Kind
    code: str
    before: Callable[[Path], bool]
    after: Callable[[Path], bool]
    operation: str = ""
    second: str = ""

    def __str__(self) -> str:
        return self.name


def _size(path: str, size: int) -> Callable[[Path], bool]:
    return lambda kept: (kept / path).stat().st_size == size


def _mode(path: str, mode: int) -> Callable[[Path], bool]:
    return lambda kept: (kept / path).stat().st_mode & 0o7777 == mode


CASES = [
    Case(
        "open-creates",
        Kind.CREATE,
        "open('kept/new', 'x').close()",
        _not("new"),
        _is("new"),
        "file",
    ),
    Case("mkdir", Kind.CREATE, "os.mkdir('kept/new')", _not("new"), _is("new"), "directory"),
    Case("mkfifo", Kind.CREATE, "os.mkfifo('kept/new')", _not("new"), _is("new"), "fifo"),
    Case(
        "bind",
        Kind.CREATE,
        "socket.socket(socket.AF_UNIX).bind('kept/new')",
        _not("new"),
        _is("new"),
        "socket",
    ),
    Case(
        "truncate",
        Kind.TRUNCATE,
        "os.truncate('kept/there', 2)",
        _size("there", 5),
        _size("there", 2),
        "to 2 bytes",
    ),
    Case(
        "ftruncate",
        Kind.TRUNCATE,
        "os.ftruncate(writes, 3)",
        _size("there", 5),
        _size("there", 3),
        "to 3 bytes",
    ),
    Case("unlink", Kind.DELETE, "os.unlink('kept/there')", _is("there"), _not("there"), "file"),
    Case("rmdir", Kind.DELETE, "os.rmdir('kept/empty')", _is("empty"), _not("empty"), "directory"),
    Case(
        "rename",
        Kind.RENAME,
        "os.rename('kept/there', 'kept/new')",
        _not("new"),
        _not("there"),
        second="new",
    ),
    Case(
        "link",
        Kind.LINK,
        "os.link('kept/there', 'kept/new')",
        _not("new"),
        _is("new"),
        second="new",
    ),
    Case(
        "symlink",
        Kind.SYMLINK,
        "os.symlink('/etc/shadow', 'kept/new')",
        _not("new"),
        _is("new"),
    ),
    Case(
        "chmod",
        Kind.CHMOD,
        "os.chmod('kept/there', 0o600)",
        _mode("there", 0o644),
        _mode("there", 0o600),
        "0600",
    ),
    Case(
        "fchmod",
        Kind.CHMOD,
        "os.fchmod(writes, 0o4711)",
        _mode("there", 0o644),
        _mode("there", 0o4711),
        "4711",
    ),
]
CALL = """
writes = os.open('kept/there', os.O_WRONLY)
try:
    CODE
    say('done')
except OSError as error:
    say('failed', error.errno)
sys.stdin.readline()
"""


@pytest.fixture
def kept(watched: Watched) -> Path:
    """The directory that rules are about, with a file of the watched user in it."""
    kept = watched.place / "kept"
    kept.mkdir()
    (kept / "there").write_text("five.")
    (kept / "empty").mkdir()
    user = watched.accounts.watched
    for path in (kept, kept / "there", kept / "empty"):
        os.chown(path, user.pw_uid, user.pw_gid)
    (kept / "there").chmod(0o644)
    return kept


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    """One call."""
    found: Case = request.param
    return found


def test_a_held_call_has_not_happened_and_then_happens_once(
    watched: Watched, kept: Path, case: Case
) -> None:
    """With its own result; the same call again is held anew."""
    watched.rules(asking(case.kind.value))
    child = watched.run(CALL.replace("CODE", case.code))
    held = watched.next_hold(child)
    child.wait_stopped()
    act = held.act
    assert (act.kind, act.guarantee, act.operation) == (case.kind, Guarantee.HELD, case.operation)
    assert act.path.startswith(f"{kept}/")
    assert act.executable == os.path.realpath("/usr/bin/python3")
    if case.second:
        assert act.second_path == str(kept / case.second)
    assert case.before(kept)
    watched.let_go(held, child)
    assert child.line() == "done"
    assert case.after(kept)
    assert watched.holds() == []


def test_a_refused_call_fails_and_the_process_goes_on(
    watched: Watched, kept: Path, case: Case
) -> None:
    """With EPERM, and nothing has happened."""
    watched.rules(asking(case.kind.value))
    child = watched.run(CALL.replace("CODE", case.code))
    held = watched.next_hold(child)
    watched.let_go(held, child, refuse=True)
    assert child.line() == f"failed {errno.EPERM}"
    assert case.before(kept)


def test_of_a_killed_process_nothing_remains(watched: Watched, kept: Path, case: Case) -> None:
    """Its call was never made."""
    watched.rules(asking(case.kind.value))
    child = watched.run(CALL.replace("CODE", case.code))
    held = watched.next_hold(child)
    child.wait_stopped()
    child.kill()
    assert case.before(kept)
    watched.sensor.forget(held.key)


def test_an_approval_is_for_one_call(watched: Watched, kept: Path) -> None:
    """The same file opened again, and another one, are held each anew."""
    (kept / "other").write_text("other")
    watched.rules(asking("open"))
    child = watched.run(
        "for name in ('there', 'there', 'other'): say(open('kept/' + name).read())\n"
    )
    for name, content in (("there", "five."), ("there", "five."), ("other", "other")):
        held = watched.next_hold(child)
        child.wait_stopped()
        assert held.act.path == str(kept / name)
        watched.let_go(held, child)
        assert child.line() == content
    assert child.end() == 0


def test_an_open_that_truncates_is_one_hold(watched: Watched, kept: Path) -> None:
    """Also if rules are about both, and it has truncated nothing while it is held."""
    watched.rules(asking("open", "truncate"))
    child = watched.run("open('kept/there', 'w').write('x')")
    held = watched.next_hold(child)
    child.wait_stopped()
    assert held.act.kind is Kind.OPEN
    assert set(held.act.flags) >= {"write", "truncate"}
    assert (kept / "there").read_text() == "five."
    watched.let_go(held, child)
    assert child.end() == 0
    assert (kept / "there").read_text() == "x"


def test_a_file_without_a_name_is_one_hold_for_its_directory(watched: Watched, kept: Path) -> None:
    """Each attempt at it is another inode; the approval is for one of them, in this directory."""
    (kept / "below").mkdir()
    (kept / "below").chmod(0o777)
    before = set(kept.iterdir())
    watched.rules(asking("open"))
    child = watched.run(
        "for place in ('kept', 'kept', 'kept/below'):\n"
        "    made = os.open(place, os.O_TMPFILE | os.O_RDWR, 0o600)\n"
        "    say(os.write(made, b'x'))\n"
    )
    for place in (kept, kept, kept / "below"):
        held = watched.next_hold(child)
        child.wait_stopped()
        assert Path(held.act.path).parent == place
        watched.let_go(held, child)
        assert child.line() == "1"
    assert child.end() == 0
    assert set(kept.iterdir()) == before
