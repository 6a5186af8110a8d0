"""Ways to have something done by another process, or to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.sensor.interface import Subject
from tests.support.evasions import and_asking
from tests.support.sensors import GATE
from tests.support.started import Started, python, wait_gone, wait_state
from tests.support.watched import PINS, Watched
from wire.acts import Kind

pytestmark = pytest.mark.kernel


@pytest.fixture
def traceable() -> Iterator[None]:
    """Any process of a user may reach into another, as on a kernel without Yama."""
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    if not scope.exists():
        yield
        return
    before = scope.read_text()
    scope.write_text("0")
    yield
    scope.write_text(before)


TARGET = """
text = ctypes.create_string_buffer(b'true')
say(ctypes.addressof(text))
THEN
say(text.value.decode())
"""
INTO = """
pid, there = PID, THERE
own = ctypes.create_string_buffer(b'fake', 4)
here, there = (struct.pack('<QQ', at, 4) for at in (ctypes.addressof(own), there))
try:
    CALL
    say('done')
except OSError as error:
    say('failed', error.errno)
"""
WAYS = {
    "process_vm_readv": "call(310, pid, here, 1, there, 1, 0)",
    "process_vm_writev": "call(311, pid, here, 1, there, 1, 0)",
    "pidfd_getfd": "call(438, os.pidfd_open(pid), 0, 0)",
}


def target(watched: Watched, then: str) -> tuple[Started, int]:
    """Start a process that has a text in its memory; return it and where that is."""
    child = watched.run(TARGET.replace("THEN", then))
    return child, int(child.line())


def into(watched: Watched, child: Started, there: int, way: str) -> Started:
    """Start a process that reaches into another."""
    code = INTO.replace("PID", str(child.pid)).replace("THERE", str(there))
    return watched.run(code.replace("CALL", WAYS[way]))


@pytest.mark.usefixtures("traceable")
def test_who_is_held_has_its_memory_written_in_stop_mode_only(
    watched: Watched, secret: Path
) -> None:
    """By process_vm_writev, for which no tracer is needed: in gate mode it fails."""
    child, there = target(watched, "os.open('vault/secret', os.O_RDONLY)")
    held = watched.next_hold(child)
    child.wait_stopped()
    other = into(watched, child, there, "process_vm_writev")
    assert other.rest() == ("failed 1\n" if GATE else "done\n")
    watched.let_go(held, child)
    assert child.rest() == ("true\n" if GATE else "fake\n")


@pytest.mark.usefixtures("traceable")
@pytest.mark.parametrize("way", WAYS)
def test_reaching_into_a_process_without_tracing_it_is_refused_in_gate_mode_only(
    watched: Watched, secret: Path, way: str
) -> None:
    """Where a rule asks about traces: the call fails, and is told. In stop mode none is seen."""
    watched.may_lose = GATE
    watched.rules(and_asking("trace: { operation: '*' }"))
    child, there = target(watched, "sys.stdin.readline()")
    other = into(watched, child, there, way)
    assert other.rest() == ("failed 1\n" if GATE else "done\n")
    told = [act for act in watched.execs() if act.kind is Kind.TRACE]
    assert [act.target.pid for act in told if act.target] == ([child.pid] if GATE else [])
    child.tell()
    assert child.rest() == ("fake\n" if way == "process_vm_writev" and not GATE else "true\n")


@pytest.mark.usefixtures("traceable")
def test_the_memory_file_of_another_process_is_a_file_that_rules_can_name(
    watched: Watched, secret: Path
) -> None:
    """In both modes."""
    watched.rules(and_asking('open: { path: "/proc/*/mem" }'))
    child, _ = target(watched, "sys.stdin.readline()")
    other = watched.run(f"os.open('/proc/{child.pid}/mem', os.O_RDWR)")
    held = watched.next_hold(other)
    assert held.act.path == f"/proc/{child.pid}/mem"
    child.kill()


def test_the_first_process_of_a_pid_namespace_is_held(watched: Watched, secret: Path) -> None:
    """It ignores the stop signals of its own user, and not the kernel's."""
    code = "os.open('vault/secret', os.O_RDONLY); say('on')"
    apart = ["/usr/bin/unshare", "--user", "--map-root-user", "--pid", "--fork"]
    child = watched.run([*apart, *python(code)])
    held = watched.next_hold()
    assert held.act.path == str(secret)
    wait_state(held.act.process.pid, "T")
    watched.let_go(held)
    assert child.rest() == "on\n"


DAEMON = """
job = sys.stdin.readline()
uid = int(sys.stdin.readline())
if os.fork() == 0:
    os.setsid()
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    os.execv('/bin/sh', ['sh', '-c', job])
os.wait()
say('done')
"""


def job(watched: Watched, uid: int) -> Started:
    """Have a daemon of root's do a job as a user, as cron, at and a service manager do."""
    daemon = watched.run(DAEMON, user=0, group=0)
    daemon.tell("cat vault/secret > /dev/null")
    daemon.tell(str(uid))
    return daemon


def test_a_job_that_a_daemon_runs_as_the_watched_user_is_watched(
    watched: Watched, secret: Path
) -> None:
    """By its user: it descends from nobody who was watched."""
    daemon = job(watched, watched.accounts.watched.pw_uid)
    held = watched.next_hold()
    assert (held.act.path, held.act.subject) == (str(secret), "ai")
    watched.let_go(held)
    assert daemon.line() == "done"


def test_a_job_that_a_daemon_runs_as_somebody_else_is_not(watched: Watched, secret: Path) -> None:
    """Nor one of a subject that is told by its cgroup; to ask about is handing the job over."""
    daemon = job(watched, watched.accounts.other.pw_uid)
    assert daemon.rest() == "done\n"
    watched.again([Subject(index=1, name="unit", cgroups=("/holdfast-test-unit",))])
    daemon = job(watched, watched.accounts.watched.pw_uid)
    assert daemon.rest() == "done\n"
    assert watched.holds() == []
    watched.again()


@pytest.mark.gate
def test_unpinning_by_who_became_root_is_a_deletion(watched: Watched, secret: Path) -> None:
    """The label stays, so that the pins of the programs are files that rules can name."""
    watched.rules(and_asking('delete: { path: "/sys/fs/bpf/**" }'))
    pin = next(path for path in sorted(PINS.rglob("*")) if not path.is_dir())
    uid = watched.accounts.watched.pw_uid
    child = watched.run(
        f"os.setresuid({uid}, 0, 0)\nos.fork() and os._exit(os.wait()[1] >> 8)\n"
        f"os.setresuid(0, 0, 0)\nos.unlink('{pin}')\n",
        user=0,
    )
    held = watched.next_hold()
    assert (held.act.kind, held.act.path) == (Kind.DELETE, str(pin))
    child.kill()
    watched.end_started()
    wait_gone(held.act.process.pid)
    assert pin.exists()
