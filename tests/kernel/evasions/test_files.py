"""Ways to what is in a file, other than opening it by its name."""

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.evasions import and_asking
from tests.support.sensors import GATE, guarantee
from tests.support.started import Started
from tests.support.watched import Watched
from wire.acts import Guarantee, Kind

pytestmark = pytest.mark.kernel

# The threads know the number that the descriptor will have.
RACE = """
number = os.dup(0)
os.close(number)
def race():
    while True:
        try: os.pread(number, 1, 0); say('read')
        except OSError: pass
for _ in range(3): threading.Thread(target=race, daemon=True).start()
os.open('vault/secret', os.O_RDONLY)
"""


def test_threads_that_wait_for_a_descriptor_are_stopped_as_well(
    watched: Watched, secret: Path
) -> None:
    """In gate mode there is no descriptor yet; in stop mode one is, and a thread may be faster."""
    child = watched.run(RACE)
    held = watched.next_hold(child)
    child.wait_stopped()
    assert held.act.guarantee is guarantee(Guarantee.STOPPED)
    assert (secret in open_files(child)) is not GATE
    child.kill()
    if GATE:
        assert child.rest() == ""


def open_files(child: Started) -> list[Path]:
    """Return what the descriptors of a child lead to."""
    found = []
    for link in Path(f"/proc/{child.pid}/fd").iterdir():
        with suppress(OSError):
            found.append(link.readlink())
    return found


NEW_NAMES = {
    "rename": "os.rename('vault/other', 'innocent')",
    "link": "os.link('vault/other', 'innocent')",
}


@pytest.mark.parametrize("kind", NEW_NAMES)
def test_a_file_with_a_new_name_is_no_longer_under_its_pattern(
    watched: Watched, secret: Path, kind: str
) -> None:
    """Gate mode can ask about the new name; in stop mode only a file named in full is known."""
    watched.rules(and_asking(f'{kind}: {{ path: "{{place}}/vault/**" }}'))
    os.chown(secret.with_name("other"), watched.accounts.watched.pw_uid, -1)
    child = watched.run(f"{NEW_NAMES[kind]}\nsay(os.read(os.open('innocent', 0), 99).decode())")
    if GATE:
        held = watched.next_hold(child)
        child.wait_stopped()
        assert held.act.kind is Kind(kind)
        assert not (watched.place / "innocent").exists()
        watched.let_go(held, child)
    assert child.rest() == "swordfish\n"
    assert watched.holds() == []


def test_own_code_does_what_a_command_does(watched: Watched, secret: Path) -> None:
    """No rm is run: gate mode asks about the deletion itself, stop mode does not see one."""
    watched.rules(and_asking('delete: { path: "{place}/vault/**" }'))
    child = watched.run("os.unlink('vault/secret')")
    if GATE:
        held = watched.next_hold(child)
        child.wait_stopped()
        assert held.act.kind is Kind.DELETE
        assert secret.exists()
        watched.let_go(held, child)
    assert child.end() == 0
    assert not secret.exists()
    assert watched.holds() == []


OVERLAY = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
uid, gid = os.getuid(), os.getgid()
call(272, 0x10000000 | 0x20000)
for name, text in ('setgroups', 'deny'), ('uid_map', f'0 {uid} 1'), ('gid_map', f'0 {gid} 1'):
    with open('/proc/self/' + name, 'w') as file: file.write(text)
def mount(*arguments):
    if libc.mount(*arguments): raise OSError(ctypes.get_errno(), 'mount')
mount(b'none', b'over', b'tmpfs', 0, None)
for name in ('upper', 'work', 'merged'): os.mkdir('over/' + name)
options = b'lowerdir=vault,upperdir=over/upper,workdir=over/work,userxattr'
mount(b'overlay', b'over/merged', b'overlay', 0, options)
say(os.read(os.open('over/merged/secret', os.O_RDONLY), 99).decode())
"""


def test_an_overlay_shows_the_file_as_another(watched: Watched, secret: Path) -> None:
    """With a path and inode of its own, in both modes; gate mode can ask about what it takes."""
    (watched.place / "over").mkdir()
    (watched.place / "over").chmod(0o777)
    child = watched.run(OVERLAY)
    assert child.rest() == "swordfish\n"
    assert watched.holds() == []
    if GATE:
        watched.rules(and_asking("namespace: { operation: '*' }"))
        child = watched.run(OVERLAY)
        held = watched.next_hold(child)
        child.wait_stopped()
        assert (held.act.kind, held.act.operation) == (Kind.NAMESPACE, "unshare mount,user")


def inherited(watched: Watched, code: str, descriptor: int) -> Started:
    """Start code with a descriptor that was open before."""
    return watched.run(f"fd = {descriptor}\n{code}", pass_fds=[descriptor])


def passed(watched: Watched, code: str, descriptor: int) -> Started:
    """Start code that is sent a descriptor over a socket."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        child = watched.run(
            f"one = socket.socket(fileno={theirs.fileno()})\n"
            f"fd = socket.recv_fds(one, 1, 1)[1][0]\n{code}",
            pass_fds=[theirs.fileno()],
        )
        socket.send_fds(ours, [b"x"], [descriptor])
    return child


@pytest.mark.parametrize("way", [inherited, passed])
def test_a_descriptor_from_somebody_else_is_read_without_an_act(
    watched: Watched, secret: Path, way: Callable[[Watched, str, int], Started]
) -> None:
    """Nothing is opened, in any mode; opening it anew by its number is an act again."""
    descriptor = os.open(secret, os.O_RDONLY)
    try:
        child = way(
            watched,
            "say(os.read(fd, 99).decode())\n"
            "os.open(f'/proc/self/fd/{fd}', os.O_RDONLY)\nsay('again')\n",
            descriptor,
        )
    finally:
        os.close(descriptor)
    assert child.line() == "swordfish"
    held = watched.next_hold(child)
    assert held.act.path == str(secret)
    watched.let_go(held, child)
    assert child.rest() == "again\n"
