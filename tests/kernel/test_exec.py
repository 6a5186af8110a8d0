"""exec: held before the first instruction, and told as the kernel has committed to it."""

import os
import shutil
from pathlib import Path

import pytest

from rules.model import Action
from tests.support.started import wait_state
from tests.support.tiny_elf import write_creator
from tests.support.watched import Watched
from wire.acts import Act, Guarantee, Kind

pytestmark = pytest.mark.kernel

RULES = """
rules:
  - id: tiny
    description: The tiny program.
    severity: high
    match: { exec: { path: [tiny, tiny-link, tiny-script, "memfd:*", "/dev/fd/**"] } }
    action: ask
"""


@pytest.fixture
def made(watched: Watched) -> Path:
    """Where the tiny program puts its file."""
    watched.rules(RULES)
    write_creator(watched.place / "tiny", watched.place / "made")
    return watched.place / "made"


def test_no_instruction_of_the_new_program_runs_before_the_answer(
    watched: Watched, made: Path
) -> None:
    """20 times: the first act of the program has not happened while it is held, nor ever after a
    kill; after SIGCONT it happens."""
    for turn in range(20):
        child = watched.run([watched.place / "tiny", str(turn)])
        held = watched.next_hold(child)
        child.wait_stopped()
        assert not made.exists()
        if turn % 2:
            child.kill()
            assert not made.exists()
            watched.sensor.forget(held.key)
        else:
            watched.let_go(held, child)
            assert child.end() == 0
            assert made.exists()
            made.unlink()
        assert held.act.kind is Kind.EXEC
        assert held.act.guarantee is Guarantee.HELD
        assert held.act.argv[1] == str(turn)
        assert watched.holds() == []


def test_the_facts_of_an_exec_are_those_of_the_operating_system(
    watched: Watched, made: Path
) -> None:
    """Who, where from and under whom, compared with /proc while the process is stopped."""
    directory = watched.place / "a directory"
    directory.mkdir(mode=0o755)
    child = watched.run([watched.place / "tiny"], cwd=directory)
    act = watched.next_hold(child).act
    child.wait_stopped()
    stat = os.stat(watched.place / "tiny")
    assert act.executable == os.readlink(f"/proc/{child.pid}/exe")
    assert act.cwd == os.readlink(f"/proc/{child.pid}/cwd") == str(directory)
    assert (act.device, act.inode) == (stat.st_dev, stat.st_ino)
    assert (act.process.pid, act.tid, act.process.comm) == (child.pid, child.pid, "tiny")
    assert (act.process.uid, act.gid) == (
        watched.accounts.watched.pw_uid,
        watched.accounts.watched.pw_gid,
    )
    assert (act.user, act.subject) == ("holdfast-test-ai", "ai")
    login = int(Path(f"/proc/{child.pid}/loginuid").read_text())
    assert act.login_uid == (None if login == 0xFFFFFFFF else login)
    ticks = int(Path(f"/proc/{child.pid}/stat").read_text().rsplit(")", 1)[1].split()[19])
    assert act.process.start_ns // 10_000_000 == ticks
    assert act.ancestors[0].pid == os.getpid()
    assert [one.pid for one in act.ancestors[:2]] == [os.getpid(), os.getppid()]
    assert act.session == f"{child.pid}-{act.process.start_ns}"
    assert watched.ruling(act).action is Action.ASK


def test_arguments_are_told_as_given(watched: Watched, made: Path) -> None:
    """Empty ones, spaces, newlines and bytes that are no UTF-8 arrive as they were given."""
    tiny = os.fsencode(watched.place / "tiny")
    child = watched.run([tiny, b"", b"two words", b"--line\nbreak", b"\xff\xfe", "é".encode(), b""])
    act = watched.next_hold(child).act
    shown = (str(watched.place / "tiny"), "", "two words", "--line\nbreak", "\\xff\\xfe", "é", "")
    assert act.argv == shown
    assert not act.argv_cut
    assert act.argv_bytes == len(tiny) + len("two words--line\nbreak") + 2 + 2 + 7


def test_a_program_without_arguments_has_none_made_up(watched: Watched, made: Path) -> None:
    """execve with an empty argv: the kernel gives the program one empty argument, and so do we."""
    child = watched.run(
        "path = ctypes.create_string_buffer(os.fsencode(sys.stdin.readline().strip()))\n"
        "none = (ctypes.c_char_p * 1)(None)\n"
        "call(59, path, none, none)\n"
    )
    child.tell(str(watched.place / "tiny"))
    act = watched.next_hold(child).act
    assert act.argv == ("",)
    assert act.argv_bytes == 1


def test_arguments_that_do_not_fit_are_marked_with_their_exact_length(
    watched: Watched, made: Path
) -> None:
    """What is cut is never passed off as whole, and what is not cut is not marked."""
    tiny = str(watched.place / "tiny")
    for extra, cut in (
        (4095 - len(tiny) - 2, False),
        (4097 - len(tiny) - 2, True),
        (100_000, True),
    ):
        child = watched.run([tiny, "x" * extra])
        act = watched.next_hold(child).act
        assert (act.argv_cut, act.argv_bytes) == (cut, len(tiny) + extra + 2)
        assert ("x" * extra).startswith(act.argv[1])
        assert (act.argv[1] == "x" * extra) is not cut
        child.kill()


def test_the_name_that_the_caller_used_is_told_beside_the_program(
    watched: Watched, made: Path
) -> None:
    """A symbolic link and a relative name are told as called; the program is the real file."""
    (watched.place / "tiny-link").symlink_to("tiny")
    for called in (
        str(watched.place / "tiny-link"),
        "./tiny-link",
        "../" + watched.place.name + "/tiny",
    ):
        child = watched.run([called, "argument"])
        act = watched.next_hold(child).act
        assert act.filename == called
        assert act.executable == str(watched.place / "tiny")
        assert act.argv == (called, "argument")
        child.kill()


def test_a_script_keeps_its_own_name_and_shows_its_interpreter(
    watched: Watched, made: Path
) -> None:
    """A rule that names a script holds it, though the program that runs is its interpreter."""
    script = watched.place / "tiny-script"
    script.write_text(f"#!/bin/sh -e\n: > {made}\n")
    script.chmod(0o755)
    child = watched.run([script, "argument"])
    held = watched.next_hold(child)
    assert held.act.filename == str(script)
    assert held.act.executable == os.path.realpath("/bin/sh")
    assert held.act.argv == ("/bin/sh", "-e", str(script), "argument")
    assert watched.ruling(held.act).action is Action.ASK
    child.wait_stopped()
    assert not made.exists()
    watched.let_go(held, child)
    assert child.end() == 0
    assert made.exists()


def test_of_the_environment_only_what_changes_meaning_is_told(watched: Watched, made: Path) -> None:
    """LD_PRELOAD and its like are shown; a secret in the environment does not leave the host."""
    environment = {"PATH": "/opt/x", "AWS_SECRET_ACCESS_KEY": "secret", "LD_PRELOAD": "/opt/x.so"}
    child = watched.run([watched.place / "tiny"], env=environment)
    act = watched.next_hold(child).act
    assert act.environment == {"PATH": "/opt/x", "LD_PRELOAD": "/opt/x.so"}
    assert "secret" not in repr(act)


def test_an_environment_too_long_to_be_read_says_how_much_was_not(
    watched: Watched, made: Path
) -> None:
    """A variable that changes meaning may be in the part that is missing."""
    child = watched.run([watched.place / "tiny"], env={"A": "x" * 5000, "LD_PRELOAD": "/opt/x.so"})
    act = watched.next_hold(child).act
    total = len(Path(f"/proc/{child.pid}/environ").read_bytes())
    assert act.environment == {"(not read)": f"{total - 4095} of {total} bytes"}


REWRITING = """
import mmap
shared = mmap.mmap(-1, 4096)
buffer = (ctypes.c_char * 4096).from_buffer(shared)
buffer.raw = b"true-argument\\0".ljust(4096, b"\\0")
caller = os.getpid()
if os.fork() == 0:
    # Writes over the caller's arguments for as long as it lives.
    while os.getppid() == caller:
        buffer.raw = b"fake-argument\\0".ljust(4096, b"\\0")
        buffer.raw = b"true-argument\\0".ljust(4096, b"\\0")
    os._exit(0)
path = ctypes.create_string_buffer(b"./tiny")
given = (ctypes.c_void_p * 3)(ctypes.addressof(path), ctypes.addressof(buffer), None)
call(59, path, given, ctypes.c_void_p(0))
"""


def test_arguments_that_another_process_rewrites_are_told_as_the_kernel_took_them(
    watched: Watched, made: Path
) -> None:
    """The arguments told are the copy that the program will see, whoever rewrites the caller's."""
    for _ in range(5):
        child = watched.run(REWRITING)
        act = watched.next_hold(child).act
        child.wait_stopped()
        seen = Path(f"/proc/{child.pid}/cmdline").read_bytes()
        assert act.argv == tuple(part.decode() for part in seen.split(b"\0")[:-1])
        assert act.argv[0] == "./tiny"
        assert {*act.argv[1]} <= {*"true-argument fake-argument"}
        child.kill()


def test_a_program_that_lives_in_memory_only_is_held(watched: Watched, made: Path) -> None:
    """memfd: the program has a name of no directory, and execveat by descriptor is an exec."""
    child = watched.run(
        "fd = os.memfd_create('no-file')\n"
        "os.write(fd, open('tiny', 'rb').read())\n"
        "empty = ctypes.create_string_buffer(b'')\n"
        "argv = (ctypes.c_char_p * 2)(b'named', None)\n"
        "call(322, fd, empty, argv, ctypes.c_void_p(0), 0x1000)\n"
    )
    held = watched.next_hold(child)
    assert held.act.executable == "memfd:no-file"
    assert held.act.filename.startswith("/dev/fd/")
    assert held.act.argv == ("named",)
    child.wait_stopped()
    assert not made.exists()
    watched.let_go(held, child)
    assert child.end() == 0
    assert made.exists()


def test_a_deleted_program_is_held_by_the_name_that_it_had(watched: Watched, made: Path) -> None:
    """Deleting the file before it is run by its descriptor does not hide it."""
    tiny = watched.place / "tiny"
    shutil.copy(tiny, watched.place / "kept")
    descriptor = os.open(tiny, os.O_PATH)
    try:
        tiny.unlink()
        child = watched.run([f"/proc/self/fd/{descriptor}"], pass_fds=[descriptor])
        act = watched.next_hold(child).act
    finally:
        os.close(descriptor)
    assert act.executable == str(tiny)
    assert act.filename == f"/proc/self/fd/{descriptor}"
    child.wait_stopped()
    assert not made.exists()


def test_execveat_relative_to_a_directory_is_held(watched: Watched, made: Path) -> None:
    """A name relative to a descriptor is resolved like any other."""
    child = watched.run(
        "at = os.open('.', os.O_RDONLY | os.O_DIRECTORY)\n"
        "os.chdir('/')\n"
        "name = ctypes.create_string_buffer(b'tiny')\n"
        "argv = (ctypes.c_char_p * 2)(b'tiny', None)\n"
        "call(322, at, name, argv, ctypes.c_void_p(0), 0)\n"
    )
    act = watched.next_hold(child).act
    assert act.executable == str(watched.place / "tiny")
    assert act.filename.startswith("/dev/fd/")
    assert act.filename.endswith("/tiny")


def test_the_parent_goes_on_while_its_vforked_child_is_held(watched: Watched, made: Path) -> None:
    """posix_spawn returns to the parent: only the new program waits for the answer."""
    child = watched.run(
        "pid = os.posix_spawn('./tiny', ['tiny'], {})\nsay(pid)\nprint(os.waitpid(pid, 0)[1])\n"
    )
    pid = int(child.line())
    held = watched.next_hold(pid)
    wait_state(pid, "T")
    assert not made.exists()
    assert held.act.ancestors[0].pid == child.pid
    watched.let_go(held)
    assert child.rest() == "0\n"
    assert made.exists()


def test_a_thread_that_is_not_the_first_may_exec_and_is_held(watched: Watched, made: Path) -> None:
    """The process keeps its number and label when another thread than its leader execs."""
    child = watched.run(
        "ready = threading.Event()\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "threading.Thread(target=lambda: os.execv('./tiny', ['tiny'])).start()\n"
        "threading.Event().wait()\n"
    )
    held = watched.next_hold(child)
    assert (held.act.process.pid, held.act.tid) == (child.pid, child.pid)
    child.wait_stopped()
    assert not made.exists()
    watched.let_go(held, child)
    assert child.end() == 0
    assert made.exists()


def test_an_exec_that_is_only_observed_runs_on_and_is_told_whole(
    watched: Watched, made: Path
) -> None:
    """The same facts reach the event ring, and nothing is stopped."""
    watched.rules(RULES.replace("ask", "observe"))
    child = watched.run([watched.place / "tiny", "a b", ""])
    assert child.end() == 0
    acts: list[Act] = watched.execs()
    assert [(act.process.pid, act.argv) for act in acts] == [
        (child.pid, (str(watched.place / "tiny"), "a b", ""))
    ]
    assert acts[0].executable == str(watched.place / "tiny")
    assert acts[0].environment == {"PATH": "/usr/bin:/bin"}
    assert watched.holds() == []


def test_a_name_too_long_to_be_read_whole_is_marked_and_held(watched: Watched, made: Path) -> None:
    """The end of a long name may be what a rule names, so the agent gets to see the act."""
    long = watched.place / ("d" * 200) / ("e" * 200)
    long.mkdir(parents=True)
    for directory in (long, long.parent):
        directory.chmod(0o755)
    write_creator(long / "other", made)
    child = watched.run([long / "other"])
    act = watched.next_hold(child).act
    assert act.path_cut
    assert act.executable == str(long / "other")
