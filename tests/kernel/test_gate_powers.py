"""Gate mode and powers: over other processes, over what a process may do, over the kernel."""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.sensor.interface import HeldAct
from tests.support.started import Started
from tests.support.watched import Watched
from wire.acts import Guarantee, Kind

pytestmark = [pytest.mark.kernel, pytest.mark.gate]


def asking(kind: str) -> str:
    """Return rules that ask about everything of a kind."""
    condition = {"mount": "path: [/**]"}.get(kind, 'operation: "*"')
    return (
        f"rules:\n  - id: ask\n    description: A {kind}.\n    severity: high\n"
        f"    match: {{ {kind}: {{ {condition} }} }}\n    action: ask\n"
    )


# From here on a user of no rights has those of root, and keeps them.
ABLE = """
_libc.prctl(8, 1, 0, 0, 0)
os.setgroups([])
os.setresgid(GID, GID, GID)
os.setresuid(UID, UID, UID)
capabilities = struct.pack('<6I', 2**32 - 1, 2**32 - 1, 0, 0x1ff, 0x1ff, 0)
call(126, struct.pack('<II', 0x20080522, 0), capabilities)
"""


def run_able(watched: Watched, code: str) -> Started:
    """Start code as the watched user that may do what root may."""
    user = watched.accounts.watched
    begin = ABLE.replace("UID", str(user.pw_uid)).replace("GID", str(user.pw_gid))
    return watched.run(begin + code, user=0, group=0)


def hold_of(watched: Watched, child: Started, wanted: str) -> HeldAct:
    """Return the hold of an operation or a path; what comes before it is let go."""
    while True:
        held = watched.next_hold(child)
        child.wait_stopped()
        if wanted in (held.act.operation.split()[0:1] or [""]) + [held.act.path]:
            return held
        watched.let_go(held, child)


@pytest.fixture
def traceable() -> Iterator[None]:
    """Any process of a user may trace another, as on a kernel without Yama."""
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    before = scope.read_text()
    scope.write_text("0")
    yield
    scope.write_text(before)


TRY = """
try:
    CODE
    say('done')
except OSError as error:
    say('failed', error.errno)
sys.stdin.readline()
"""


@pytest.mark.usefixtures("traceable")
def test_a_trace_of_another_process_is_held(watched: Watched) -> None:
    """The other one is named, and is untouched until the answer."""
    watched.rules(asking("trace"))
    target = watched.run("say('here'); sys.stdin.readline()")
    assert target.line() == "here"
    tracer = watched.run(TRY.replace("CODE", f"call(101, 0x4206, {target.pid}, 0, 0)"))
    held = watched.next_hold(tracer)
    tracer.wait_stopped()
    act = held.act
    assert (act.kind, act.operation, act.guarantee) == (Kind.TRACE, "seize", Guarantee.HELD)
    assert act.target is not None
    assert act.target.pid == target.pid
    status = Path(f"/proc/{target.pid}/status")
    assert "TracerPid:\t0\n" in status.read_text()
    watched.let_go(held, tracer)
    assert tracer.line() == "done"
    assert f"TracerPid:\t{tracer.pid}\n" in status.read_text()


@pytest.mark.usefixtures("traceable")
def test_who_reaches_into_another_s_memory_is_refused_and_told_of(watched: Watched) -> None:
    """The kernel does not hand on what is answered, so no call could be made again."""
    watched.may_lose = True
    watched.rules(asking("trace"))
    target = watched.run("say('here'); sys.stdin.readline()")
    assert target.line() == "here"
    reader = watched.run(TRY.replace("CODE", f"open('/proc/{target.pid}/mem', 'rb')"))
    assert reader.line() in (f"failed {errno.EACCES}", f"failed {errno.EPERM}")
    (told,) = watched.execs()
    assert (told.kind, told.operation) == (Kind.TRACE, "access")
    assert told.target is not None
    assert told.target.pid == target.pid


@pytest.mark.parametrize(
    ("code", "operation"),
    [
        ("os.setuid(os.getuid() + 1)", "setuid"),
        ("os.setgid(os.getgid() + 1)", "setgid"),
        ("os.setgroups([4])", "setgroups"),
    ],
)
def test_another_identity_is_held(watched: Watched, code: str, operation: str) -> None:
    """It has the old one until the answer."""
    watched.rules(asking("identity"))
    child = run_able(watched, TRY.replace("CODE", code))
    held = hold_of(watched, child, operation)
    assert held.act.kind is Kind.IDENTITY
    watched.let_go(held, child)
    assert child.line() == "done"


def test_a_mount_is_held(watched: Watched) -> None:
    """Nothing is mounted until the answer, and it is by the very same call."""
    watched.rules(asking("mount"))
    place = watched.place / "there"
    place.mkdir()
    code = (
        "import ctypes\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "call(272, 0x20000)\n"
        "call(165, b'none', b'/', 0, 0x44000, 0)\n"
        "r = libc.mount(b'none', b'there', b'tmpfs', 6, None); say(r, ctypes.get_errno())\n"
        "r = libc.umount(b'there'); say(r, ctypes.get_errno())\n"
    )
    child = run_able(watched, code)
    held = hold_of(watched, child, "tmpfs")
    act = held.act
    assert (act.kind, act.path, act.operation) == (Kind.MOUNT, str(place), "tmpfs nosuid,nodev")
    assert act.second_path == "none"
    assert str(place) not in Path(f"/proc/{child.pid}/mounts").read_text()
    watched.let_go(held, child)
    assert child.line() == "0 0"
    held = watched.next_hold(child)
    assert held.act.operation == "umount"
    watched.let_go(held, child)
    assert child.line() == "0 0"


def test_a_user_namespace_is_held(watched: Watched) -> None:
    """There is none until the answer."""
    watched.rules(asking("namespace"))
    child = watched.run(TRY.replace("CODE", "call(272, 0x10000000)"))
    held = watched.next_hold(child)
    child.wait_stopped()
    assert (held.act.kind, held.act.operation) == (Kind.NAMESPACE, "unshare user")
    before = Path("/proc/self/ns/user").readlink()
    assert Path(f"/proc/{child.pid}/ns/user").readlink() == before
    watched.let_go(held, child)
    assert child.line() == "done"
    assert Path(f"/proc/{child.pid}/ns/user").readlink() != before


def test_a_child_in_a_user_namespace_is_held_before_it_is_there(watched: Watched) -> None:
    """clone, too, is made once after the answer."""
    watched.rules(asking("namespace"))
    child = watched.run("call(56, 0x10000000 | 17, 0, 0, 0, 0)\nsay('here')")
    held = watched.next_hold(child)
    child.wait_stopped()
    assert held.act.kind is Kind.NAMESPACE
    watched.let_go(held, child)
    assert child.rest().split() == ["here", "here"]


def test_bpf_is_held(watched: Watched) -> None:
    """By its command."""
    watched.rules(asking("bpf"))
    code = "call(321, 0, struct.pack('<IIII', 2, 4, 4, 1).ljust(128, bytes(1)), 128)"
    child = run_able(watched, TRY.replace("CODE", code))
    held = watched.next_hold(child)
    child.wait_stopped()
    assert (held.act.kind, held.act.operation) == (Kind.BPF, "map_create")
    watched.let_go(held, child)
    assert child.line() == "done"


def test_a_module_is_held(watched: Watched) -> None:
    """Before the kernel has read it: refused it is EPERM, approved it is what the file comes to."""
    watched.rules(asking("module"))
    module = watched.place / "module.ko"
    module.write_text("no module")
    module.chmod(0o644)
    code = "fd = os.open('module.ko', os.O_RDONLY); call(313, fd, b'', 0)"
    for refuse, number in ((True, errno.EPERM), (False, errno.ENOEXEC)):
        child = run_able(watched, TRY.replace("CODE", code))
        held = hold_of(watched, child, str(module))
        assert (held.act.kind, held.act.operation) == (Kind.MODULE, "load")
        watched.let_go(held, child, refuse=refuse)
        assert child.line() == f"failed {number}"


ONE_FILE = """
rules:
  - id: secret
    description: A secret.
    severity: high
    match: { open: { path: "{place}/secret" } }
    action: ask
"""


def test_a_watched_process_gets_no_ring(watched: Watched) -> None:
    """As on a kernel without them, so that libraries make plain calls."""
    watched.rules(ONE_FILE)
    child = watched.run(
        "import ctypes\n" + TRY.replace("CODE", "call(425, 8, ctypes.create_string_buffer(120))")
    )
    assert child.line() == f"failed {errno.ENOSYS}"


def test_a_rule_may_have_a_ring_asked_about(watched: Watched) -> None:
    """Then it is held like the open of a file of that name."""
    watched.rules(ONE_FILE.replace('"{place}/secret"', '"[[]io_uring]"'))
    child = watched.run(
        "import ctypes\n" + TRY.replace("CODE", "call(425, 8, ctypes.create_string_buffer(120))")
    )
    held = hold_of(watched, child, "[io_uring]")
    watched.let_go(held, child)
    assert child.line() == "done"
