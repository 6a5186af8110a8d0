"""Ways by which a process would have its act seen as another, or not at all."""

import os
import socket
from pathlib import Path

import pytest

from rules.model import Action
from tests.support.sensors import GATE, guarantee
from tests.support.watched import Watched
from wire.acts import Guarantee, Kind, Transport

pytestmark = pytest.mark.kernel

RULES = """
rules:
  - id: secret
    description: A secret file.
    severity: high
    match: { open: { path: "{place}/vault/**" } }
    action: ask
  - id: safe
    description: What may be read all the same.
    severity: info
    match: { open: { path: "{place}/vault/safe" } }
    action: allow
  - id: outside
    description: A socket of the system.
    severity: high
    match: { connect: { path: "{place}/bus" } }
    action: ask
"""


@pytest.fixture
def vault(watched: Watched) -> Path:
    """A directory of secrets."""
    watched.rules(RULES)
    made = watched.place / "vault"
    made.mkdir()
    made.chmod(0o777)
    for name in ("secret", "safe"):
        (made / name).write_text("s3cret")
        (made / name).chmod(0o666)
    return made


def test_a_shared_table_of_descriptors_makes_an_open_late(watched: Watched, vault: Path) -> None:
    """Another process has the descriptor at once, unless there is none before the answer."""
    child = watched.run(
        # clone(CLONE_FILES | SIGCHLD): a process of its own with the same descriptors
        "if call(56, 0x400 | 17, 0, 0, 0, 0) == 0:\n    import time; time.sleep(60)\n"
        f"os.open('{vault}/secret', os.O_RDONLY)\n"
    )
    act = watched.next_hold(child).act
    assert (act.guarantee, "shared" in act.flags) == (guarantee(Guarantee.LATE), not GATE)


def test_an_unshared_one_is_stopped_in_time(watched: Watched, vault: Path) -> None:
    """Threads of one process are stopped together and take nothing away from the guarantee."""
    child = watched.run(
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        f"os.open('{vault}/secret', os.O_RDONLY)\n"
    )
    act = watched.next_hold(child).act
    assert (act.guarantee, "shared" in act.flags) == (guarantee(Guarantee.STOPPED), False)


def test_a_directory_that_is_too_deep_is_not_given_in_part(watched: Watched, vault: Path) -> None:
    """The end of a long path can look like the path of another directory: all of it, or nothing."""
    child = watched.run(
        "for _ in range(80):\n    os.mkdir('deep'); os.chdir('deep')\n"
        f"os.open('{vault}/secret', os.O_RDONLY)\n"
    )
    while (held := watched.next_hold(child)).act.kind is not Kind.OPEN:
        # The gate asks about making a file, and a path that is cut could be that of any.
        assert held.act.kind is Kind.CREATE
        assert held.act.cwd in ("", os.readlink(f"/proc/{child.pid}/cwd"))
        watched.let_go(held, child)
    assert os.readlink(f"/proc/{child.pid}/cwd") == f"{watched.place}{'/deep' * 80}"
    assert held.act.cwd == ""


def test_mounts_of_its_own_satisfy_no_allow(watched: Watched, vault: Path) -> None:
    """A secret that is bound over an allowed name is still asked about."""
    child = watched.run(
        "libc = ctypes.CDLL(None)\n"
        "assert libc.unshare(0x10000000 | 0x20000) == 0\n"  # user and mount namespace
        f"assert libc.mount(b'{vault}/secret', b'{vault}/safe', None, 4096, None) == 0\n"
        f"os.open('{vault}/safe', os.O_RDONLY)\n"
    )
    act = watched.next_hold(child).act
    assert (act.path, act.path_resolved) == (str(vault / "safe"), False)
    assert watched.ruling(act).action is Action.ASK


def test_a_connect_whose_descriptor_is_gone_could_have_been_any(
    watched: Watched, vault: Path
) -> None:
    """Another thread replaces the descriptor during the call: stop mode holds the act as unknown.

    The gate is where the kernel itself has the two sockets, and needs no number.
    """
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(watched.place / "bus"))
    (watched.place / "bus").chmod(0o777)
    server.listen(0)
    full = socket.socket(socket.AF_UNIX)
    full.connect(str(watched.place / "bus"))
    with server, full:
        child = watched.run(
            "import socket, threading\nmain = threading.get_native_id()\n"
            "one = socket.socket(socket.AF_UNIX)\n"
            "kept, number = os.dup(one.fileno()), one.fileno()\n"
            # The queue is full, so connect waits; by then its number is another file's.
            "def lose():\n"
            "    while open(f'/proc/self/task/{main}/syscall').read().split()[0] != '42': pass\n"
            "    os.dup2(0, number)\n    print('lost', flush=True)\n"
            "threading.Thread(target=lose).start()\n"
            f"one.connect('{watched.place}/bus')\n"
        )
        assert child.line() == "lost"
        peer, _ = server.accept()
        peer.close()
        act = watched.next_hold(child).act
    known = Transport.UNIX if GATE else None
    assert (act.kind, act.transport, act.addresses_cut) == (Kind.CONNECT, known, not GATE)
    assert act.guarantee is guarantee(Guarantee.LATE)
    assert watched.ruling(act).action is Action.ASK


def test_the_login_user_is_that_of_the_label_not_what_the_process_says(
    watched: Watched, vault: Path
) -> None:
    """Whoever has no login id yet may set it to anyone's; nobody else answers for that."""
    child = watched.run(
        f"open('/proc/self/loginuid', 'w').write('4242')\nos.open('{vault}/secret', os.O_RDONLY)\n"
    )
    act = watched.next_hold(child).act
    assert Path(f"/proc/{child.pid}/loginuid").read_text() == "4242"
    assert act.login_uid is None


def test_root_that_takes_on_the_user_for_a_moment_is_not_the_ai(
    watched: Watched, vault: Path
) -> None:
    """A daemon like sshd reads a user's file in the user's name, and stays who it is."""
    uid = watched.accounts.watched.pw_uid
    child = watched.run(
        f"os.seteuid({uid})\nos.open('{vault}/secret', os.O_RDONLY)\nos.seteuid(0)\n"
        f"os.open('{vault}/secret', os.O_RDONLY)\nprint('done', flush=True)\n",
        user=0,
    )
    assert child.line() == "done"
    assert [held for held in watched.holds() if held.act.process.pid == child.pid] == []
