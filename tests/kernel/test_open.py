"""open: stopped when the call returns, before the process can use what it opened."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rules.model import Action
from tests.support.sensors import GATE, guarantee
from tests.support.started import Started
from tests.support.tiny_elf import write_old_opener
from tests.support.watched import Watched
from wire.acts import Act, Guarantee, Kind

pytestmark = pytest.mark.kernel

RULES = """
rules:
  - id: secret
    description: A secret file.
    severity: high
    match: { open: { path: "{place}/vault/**" } }
    action: ask
"""
# Opens by numbers of system calls: each expression is the descriptor.
HOW = {
    "open": "call(2, b'vault/secret\\0', 0)",
    "openat": "call(257, -100, b'vault/secret\\0', 0)",
    "openat2": "call(437, -100, b'vault/secret\\0', struct.pack('QQQ', 0, 0, 0), 24)",
    "dirfd": "call(257, os.open('vault', os.O_PATH), b'secret\\0', 0)",
    "dots": "call(2, b'./vault/../vault/./secret\\0', 0)",
    "link": "call(2, b'link\\0', 0)",
    "cwd": "[os.chdir('vault'), call(2, b'secret\\0', 0), os.chdir('..')][1]",
    "proc": "call(2, b'/proc/self/cwd/vault/secret\\0', 0)",
    "reopened": "call(2, b'/proc/self/fd/%d\\0' % os.open('vault/secret', os.O_PATH), 0)",
}


@pytest.fixture
def secret(watched: Watched) -> Path:
    """A secret file, and a symbolic link to it outside of its directory."""
    watched.rules(RULES)
    vault = watched.place / "vault"
    vault.mkdir()
    vault.chmod(0o777)
    (vault / "secret").write_text("s3cret")
    (vault / "secret").chmod(0o666)
    (watched.place / "link").symlink_to("vault/secret")
    return vault / "secret"


def after(expression: str, then: str = "open('after', 'w')") -> str:
    """Return code that opens by an expression and then leaves a mark."""
    return f"fd = {expression}\n{then}\n"


def held_act(watched: Watched, child: Started) -> Act:
    """Return the held open, once the process is stopped and has not got on."""
    held = watched.next_hold(child)
    child.wait_stopped()
    assert held.act.kind is Kind.OPEN
    assert not (watched.place / "after").exists()
    return held.act


@pytest.mark.parametrize("how", HOW)
def test_every_way_to_open_a_file_is_held_by_its_real_path(
    watched: Watched, secret: Path, how: str
) -> None:
    """Whatever call and whatever name: the act has the resolved path, and nothing got on."""
    child = watched.run(after(HOW[how]))
    held = watched.next_hold(child)
    child.wait_stopped()
    act = held.act
    assert not (watched.place / "after").exists()
    assert (act.kind, act.guarantee) == (Kind.OPEN, guarantee(Guarantee.STOPPED))
    assert (act.path, act.path_resolved, act.path_cut) == (str(secret), True, False)
    stat = secret.stat()
    assert (act.device, act.inode) == (stat.st_dev, stat.st_ino)
    assert act.flags == ("read",)
    assert act.executable == os.path.realpath("/usr/bin/python3")
    if GATE:  # there is no descriptor yet
        assert act.result is None
    else:
        assert act.result is not None
        assert os.readlink(f"/proc/{child.pid}/fd/{act.result}") == str(secret)
    assert watched.ruling(act).action is Action.ASK
    watched.let_go(held, child)
    assert child.end() == 0
    assert (watched.place / "after").exists()


def test_a_process_that_is_killed_at_an_open_never_gets_on(watched: Watched, secret: Path) -> None:
    """A denied open: the process has not read the file and does nothing more."""
    child = watched.run(after(HOW["openat"], "open('after', 'wb').write(os.read(fd, 100))"))
    watched.next_hold(child)
    child.wait_stopped()
    assert Path(f"/proc/{child.pid}/fdinfo").is_dir()
    child.kill()
    assert not (watched.place / "after").exists()


def test_opens_in_a_row_are_held_one_by_one(watched: Watched, secret: Path) -> None:
    """An approval covers one act: the next open of the same file by the same process is held."""
    child = watched.run("for n in range(5):\n  call(2, b'vault/secret\\0', 0)\n  say(n)\n")
    for turn in range(5):
        held = watched.next_hold(child)
        watched.let_go(held, child)
        assert child.line() == str(turn)
    assert child.end() == 0


def test_a_hard_link_is_the_same_file(watched: Watched, secret: Path) -> None:
    """A rule that names a file in full holds its inode, by whatever name it is opened."""
    os.link(secret, watched.place / "innocent")
    watched.rules(RULES.replace("vault/**", "vault/secret"))
    child = watched.run(after("call(2, b'innocent\\0', 0)"))
    act = held_act(watched, child)
    assert act.path == str(watched.place / "innocent")
    assert act.inode == secret.stat().st_ino


@pytest.fixture
def bound(watched: Watched, secret: Path) -> Iterator[Path]:
    """The vault, bound to another place."""
    other = watched.place / "holdfast-test-bound"
    other.mkdir()
    subprocess.run(["mount", "--bind", secret.parent, other], check=True)
    try:
        yield other
    finally:
        subprocess.run(["umount", "--lazy", other], check=True)


def test_a_bind_mount_is_the_same_file(watched: Watched, secret: Path, bound: Path) -> None:
    """The path is where it was opened; the inode tells the agent that it is the named file."""
    watched.rules(RULES.replace("vault/**", "vault/secret"))
    child = watched.run(after(f"call(2, b'{bound}/secret\\0', 0)"))
    act = held_act(watched, child)
    assert act.path == str(bound / "secret")
    assert (act.device, act.inode) == (secret.stat().st_dev, secret.stat().st_ino)


def test_a_path_through_a_mount_is_told_whole(watched: Watched, secret: Path, bound: Path) -> None:
    """The walk goes through the mount's root to the directory that it is mounted on."""
    watched.rules(RULES.replace("vault/**", "holdfast-test-bound/**"))
    child = watched.run(after(f"call(2, b'{bound}/secret\\0', 0)"))
    assert held_act(watched, child).path == str(bound / "secret")


def test_a_chroot_does_not_hide_where_a_file_is(watched: Watched, secret: Path) -> None:
    """The path is that of the whole file system, not of the caller's root."""
    code = (
        "os.chroot('.')\n"
        "os.setresgid(*[int(sys.stdin.readline())] * 3)\n"
        "os.setresuid(*[int(sys.stdin.readline())] * 3)\n"
        + after("call(2, b'/vault/secret\\0', 0)", "open('/after', 'w')")
    )
    child = watched.run(code, user=0, group=0)
    child.tell(str(watched.accounts.watched.pw_gid))
    child.tell(str(watched.accounts.watched.pw_uid))
    assert held_act(watched, child).path == str(secret)


FLAGS = {
    "os.O_RDONLY": (("read",), Guarantee.STOPPED),
    "os.O_WRONLY": (("write",), Guarantee.STOPPED),
    "os.O_RDWR": (("read", "write"), Guarantee.STOPPED),
    "os.O_WRONLY | os.O_APPEND": (("write", "append"), Guarantee.STOPPED),
    "os.O_WRONLY | os.O_CREAT": (("write", "create"), Guarantee.LATE),
    "os.O_RDWR | os.O_TRUNC": (("read", "write", "truncate"), Guarantee.LATE),
}


@pytest.mark.parametrize("flags", FLAGS)
def test_flags_and_guarantee_say_what_may_have_happened(
    watched: Watched, secret: Path, flags: str
) -> None:
    """Opens that change nothing by themselves are stopped; those that may have are late."""
    child = watched.run(after(f"os.open('vault/secret', {flags})"))
    act = held_act(watched, child)
    assert (act.flags, act.guarantee) == FLAGS[flags]


def test_an_open_that_truncates_has_truncated_and_says_so(watched: Watched, secret: Path) -> None:
    """Stop mode comes after the call: the content is gone, and the card must not hide it."""
    child = watched.run(after("os.open('vault/secret', os.O_WRONLY | os.O_TRUNC)"))
    act = held_act(watched, child)
    assert secret.read_text() == ""
    assert act.guarantee is Guarantee.LATE
    assert "truncate" in act.flags


def test_an_open_that_creates_has_created_and_says_so(watched: Watched, secret: Path) -> None:
    """The new file is there, empty, while its maker is held; `created` tells it from `create`."""
    child = watched.run(after("call(85, b'vault/new\\0', 0o600)"))
    act = held_act(watched, child)
    assert (secret.parent / "new").read_text() == ""
    assert act.guarantee is Guarantee.LATE
    assert act.flags == ("write", "create", "truncate", "created")
    assert act.path == str(secret.parent / "new")


MODES = {
    # access: held under rules about (reading, writing)
    "os.O_RDONLY": (True, False),
    "os.O_WRONLY": (False, True),
    "os.O_RDWR": (True, True),
    "os.O_RDONLY | os.O_CREAT": (True, True),
    "os.O_WRONLY | os.O_APPEND": (False, True),
}


@pytest.mark.parametrize("mode", ["read", "write"])
@pytest.mark.parametrize("flags", MODES)
def test_a_rule_about_a_mode_holds_opens_of_that_mode_only(
    watched: Watched, secret: Path, flags: str, mode: str
) -> None:
    """Reading is not held by a rule about writing, nor the other way round."""
    watched.rules(RULES.replace('vault/**"', f'vault/**", mode: {mode}'))
    child = watched.run(after(f"os.open('vault/secret', {flags})"))
    if MODES[flags][mode == "write"]:
        act = held_act(watched, child)
        assert watched.ruling(act).action is Action.ASK
    else:
        assert child.end() == 0
        assert watched.holds() == []


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("vault/none", errno.ENOENT),
        ("vault/closed", errno.EACCES),
        ("vault/secret/x", errno.ENOTDIR),
    ],
)
def test_a_failed_open_is_recorded_with_its_error_and_never_held(
    watched: Watched, secret: Path, name: str, code: int
) -> None:
    """Nothing happened, so nothing waits; that it was tried is in the record."""
    (secret.parent / "closed").touch(mode=0o600)
    path = f"{watched.place}/{name}"
    child = watched.run(
        f"try: call(2, b'{path}\\0', 1)\nexcept OSError as error: sys.exit(error.errno)\n"
    )
    assert child.end() == code
    assert watched.holds() == []
    assert [(a.path, a.result, a.path_resolved, a.flags) for a in watched.acts()] == [
        (path, -code, False, ("write",))
    ]


def test_a_failed_open_is_known_by_a_name_or_an_ending_too(watched: Watched, secret: Path) -> None:
    """Patterns without a beginning find what was tried, also by a relative name."""
    watched.rules(RULES.replace('"{place}/vault/**"', '["**/.aws/*", "*.pem"]'))
    child = watched.run(
        "for name in (b'/none/.aws/credentials', b'.aws/x', b'none/key.pem', b'none/other'):\n"
        "  try: call(2, name + b'\\0', 0)\n"
        "  except OSError: pass\n"
    )
    assert child.end() == 0
    found = [
        act.path for act in watched.acts() if act.path.endswith(("credentials", "x", "m", "r"))
    ]
    assert found == ["/none/.aws/credentials", ".aws/x", "none/key.pem"]


def test_a_descriptor_for_the_path_only_is_not_held(watched: Watched, secret: Path) -> None:
    """O_PATH gives no access to the content; opening it for real is a further open."""
    child = watched.run("os.open('vault/secret', os.O_PATH)\nsay('on')\n")
    assert child.rest() == "on\n"
    assert watched.holds() == []


def test_a_path_deeper_than_the_walk_is_marked_and_held(watched: Watched, secret: Path) -> None:
    """What the kernel side cannot see to its root could be under any prefix: a person decides."""
    depth = 70
    child = watched.run(
        f"os.mkdir('deep'); os.chdir('deep')\n"
        f"for n in range({depth}): os.mkdir('d'); os.chdir('d')\n"
        "fd = os.open('file', os.O_RDWR | os.O_CREAT, 0o600)\n"
        f"open('{watched.place}/after', 'w')\n"
    )
    act = held_act(watched, child)
    assert act.path_cut
    assert act.path.endswith("/d/d/file")
    assert watched.ruling(act).action is Action.ASK


def test_a_path_longer_than_the_record_is_marked_and_held(watched: Watched, secret: Path) -> None:
    """Past 1024 bytes the beginning is missing, and with it what a prefix compares."""
    child = watched.run(
        "for n in range(5): os.mkdir('n' * 250); os.chdir('n' * 250)\n"
        "fd = os.open('file', os.O_RDWR | os.O_CREAT, 0o600)\n"
        f"open('{watched.place}/after', 'w')\n"
    )
    act = held_act(watched, child)
    assert act.path_cut
    assert act.path.endswith("n/file")
    assert watched.ruling(act).action is Action.ASK


def test_no_path_is_held_for_its_length_if_no_rule_could_name_it(
    watched: Watched, secret: Path
) -> None:
    """Rules that only observe make nothing stop, however deep it lies."""
    watched.rules(RULES.replace("ask", "observe"))
    child = watched.run(
        "for n in range(5): os.mkdir('n' * 250); os.chdir('n' * 250)\n"
        "os.open('file', os.O_RDWR | os.O_CREAT, 0o600)\n"
    )
    assert child.end() == 0
    assert [act.path_cut for act in watched.acts()] == [True]


def test_setting_up_io_uring_is_held_as_the_opening_of_its_ring(watched: Watched) -> None:
    """What goes through the ring later makes no system call, so the ring itself is the act."""
    watched.rules(RULES.replace("{place}/vault/**", "[[]io_uring]"))
    child = watched.run(after("call(425, 4, ctypes.create_string_buffer(120))"))
    act = held_act(watched, child)
    assert (act.path, act.flags) == ("[io_uring]", ("read", "write"))
    assert watched.ruling(act).action is Action.ASK


def test_a_32_bit_call_is_held_like_any_other(watched: Watched, secret: Path) -> None:
    """The other set of numbers and registers is no way around."""
    write_old_opener(watched.place / "old", secret, watched.place / "after")
    child = watched.run([watched.place / "old"])
    held = watched.next_hold(child)
    child.wait_stopped()
    assert not (watched.place / "after").exists()
    assert (held.act.path, held.act.flags) == (str(secret), ("read",))
    watched.let_go(held, child)
    assert child.end() == 0
    assert (watched.place / "after").exists()


def test_a_file_opened_by_its_handle_is_held(watched: Watched, secret: Path) -> None:
    """open_by_handle_at has no name at all; who became root by way of a watched user may use it."""
    code = (
        "handle = ctypes.create_string_buffer(struct.pack('Ii', 128, 0) + bytes(128))\n"
        "mount = ctypes.c_int()\n"
        "call(303, -100, b'vault/secret\\0', handle, ctypes.byref(mount), 0)\n"
        "directory = os.open('/', os.O_RDONLY)\n"
        "directory = os.open('vault', os.O_RDONLY)\n" + after("call(304, directory, handle, 0)")
    )
    # Root, with the watched user as its real one.
    child = watched.run("os.setresuid(int(sys.stdin.readline()), 0, 0)\n" + code, user=0, group=0)
    child.tell(str(watched.accounts.watched.pw_uid))
    act = held_act(watched, child)
    assert (act.device, act.inode) == (secret.stat().st_dev, secret.stat().st_ino)


def test_a_descriptor_that_another_thread_closes_at_once_does_not_hide_the_open(
    watched: Watched, secret: Path
) -> None:
    """If nobody can say any more which file it was, it counts as any that rules name."""
    child = watched.run(
        "stop = False\n"
        "def close():\n"
        "  while not stop:\n"
        "    _libc.close(3)\n"
        "threading.Thread(target=close, daemon=True).start()\n"
        "os.closerange(3, 10)\n"
        "for n in range(300):\n"
        "  _libc.open(b'vault/secret', 0)\n"
        "say('done')\n"
        "os._exit(0)\n"
    )
    count = 0
    while count < 300:
        held = watched.next_hold(child)
        assert held.act.path == str(secret) or (held.act.path_cut and not held.act.path)
        watched.let_go(held, child)
        count += 1
    assert child.rest() == "done\n"
    assert watched.holds() == []
