"""Labels: who is watched, and that nothing which descends from it gets out of sight."""

import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from agent.sensor.bpf import Map
from agent.sensor.interface import Subject
from agent.sensor.labels import _LABEL, cgroup_mount, started_ns
from tests.support.sensors import environment
from tests.support.started import Started, state, wait_state
from tests.support.tiny_elf import write_creator
from tests.support.watched import PINS, Watched
from wire.acts import Act

pytestmark = pytest.mark.kernel

CHECKOUT = Path(__file__).resolve().parents[2]
RULES = """
rules:
  - id: secret
    description: A secret file.
    severity: high
    match: { open: { path: "{place}/secret" } }
    action: ask
  - id: tiny
    description: A program.
    severity: high
    match: { exec: { path: tiny } }
    action: ask
"""
OPEN = "open('{place}/secret')\nsay('on')\n"
# Waits for a word first, so that the test can change something in between.
WHEN_TOLD = "sys.stdin.readline()\n" + OPEN
Watch = Callable[[Sequence[Subject]], None]


@pytest.fixture
def secret(watched: Watched) -> Path:
    """A file that is held for whoever is watched."""
    watched.rules(RULES)
    path = watched.place / "secret"
    path.touch()
    path.chmod(0o666)
    write_creator(watched.place / "tiny", watched.place / "made")
    return path


@pytest.fixture
def watch(watched: Watched, secret: Path) -> Iterator[Watch]:
    """Start again with other subjects, and with the usual one when the test is over."""
    yield watched.again
    watched.again()


@pytest.fixture
def labels(watched: Watched) -> Iterator[Map]:
    """The kernel's map of labels."""
    one = Map(PINS / "maps" / "hf_labels", 4, _LABEL.size)
    yield one
    one.close()


def label_of(start_ns: int) -> bytes:
    """Return the label of a process that started then, as a child of process 1."""
    return struct.pack("<QQIH", start_ns, 1, 1, 1).ljust(_LABEL.size, b"\0")


def code(watched: Watched, text: str = OPEN) -> str:
    """Return code with the directory put in."""
    return text.replace("{place}", str(watched.place))


def held(watched: Watched, child: Started) -> Act:
    """Return the act by which a child is held."""
    found = watched.next_hold(child).act
    child.wait_stopped()
    return found


def goes_unseen(watched: Watched, child: Started) -> None:
    """Fail if a child is held, or seen, before its end."""
    assert child.rest() == "on\n"
    assert child.process.returncode == 0
    assert watched.holds() == []
    assert watched.acts() == []


def test_the_same_acts_of_a_user_that_is_not_watched_go_unseen(
    watched: Watched, secret: Path
) -> None:
    """Neither held nor observed: not the command, not the file."""
    other = watched.accounts.other
    child = watched.run(code(watched), user=other.pw_uid, group=other.pw_gid)
    goes_unseen(watched, child)
    child = watched.run([watched.place / "tiny"], user=other.pw_uid, group=other.pw_gid)
    assert child.end() == 0
    assert watched.execs() == []


@pytest.mark.parametrize("ids", ["WATCHED, OTHER, OTHER", "OTHER, WATCHED, OTHER"])
def test_the_real_or_the_effective_user_is_enough(watched: Watched, secret: Path, ids: str) -> None:
    """Whoever acts for the user or in its name is watched; the saved one alone says nothing."""
    people = watched.accounts
    numbers = ids.replace("WATCHED", str(people.watched.pw_uid))
    numbers = numbers.replace("OTHER", str(people.other.pw_uid))
    child = watched.run(code(watched, f"os.setresuid({numbers})\n" + OPEN), user=0)
    assert held(watched, child).subject == "ai"


def test_a_saved_user_alone_is_not_watched(watched: Watched, secret: Path) -> None:
    """The saved user is a right to change, not who acts."""
    other, ours = watched.accounts.other.pw_uid, watched.accounts.watched.pw_uid
    child = watched.run(code(watched, f"os.setresuid({other}, {other}, {ours})\n" + OPEN), user=0)
    goes_unseen(watched, child)


@pytest.mark.parametrize("count", [0, 1, 2, 63, 64, 65, 200])
def test_a_supplementary_group_is_found_among_others(
    watched: Watched, watch: Watch, count: int
) -> None:
    """Wherever it stands in the sorted list of a process's groups; and only where it stands."""
    gid, other = watched.accounts.group.gr_gid, watched.accounts.other
    watch([Subject(index=1, name="team", gids=(gid,))])
    for groups in (
        [gid - 1 - n for n in range(min(count, gid - 1))],
        [gid + 1 + n for n in range(count)],
    ):
        child = watched.run(
            code(watched), user=other.pw_uid, group=other.pw_gid, groups=[*groups, gid]
        )
        assert held(watched, child).subject == "team"
        child.kill()
        watched.sensor.forget(watched.holds()[0].key)
        child = watched.run(code(watched), user=other.pw_uid, group=other.pw_gid, groups=groups)
        goes_unseen(watched, child)


def test_the_primary_group_is_enough(watched: Watched, watch: Watch) -> None:
    """A process of the group is watched without being listed in it."""
    gid = watched.accounts.group.gr_gid
    watch([Subject(index=1, name="team", gids=(gid,))])
    child = watched.run(code(watched), user=watched.accounts.other.pw_uid, group=gid)
    act = held(watched, child)
    assert (act.subject, act.gid) == ("team", gid)


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A directory for a cgroup of version 2 that is not there yet; removed with what is below."""
    mount = cgroup_mount()
    assert mount is not None, (
        "no cgroup v2 is mounted: mount -t cgroup2 none /sys/fs/cgroup/unified"
    )
    path = mount / "holdfast-test"

    def remove() -> None:
        for directory in (path / "below" / "deep", path / "below", path):
            if directory.is_dir():
                directory.rmdir()

    remove()
    yield path
    remove()


def in_cgroup(watched: Watched, directory: Path) -> Started:
    """Start a process that nobody watches, and move it while it waits."""
    other = watched.accounts.other
    child = watched.run(code(watched, WHEN_TOLD), user=other.pw_uid, group=other.pw_gid)
    (directory / "cgroup.procs").write_text(str(child.pid))
    child.tell()
    return child


@pytest.mark.parametrize("below", ["", "below", "below/deep"])
@pytest.mark.parametrize("made", ["before", "after", "again"])
def test_a_process_that_is_moved_into_a_watched_cgroup_is_watched_from_its_next_act(
    watched: Watched, watch: Watch, cgroup: Path, made: str, below: str
) -> None:
    """Whether the cgroup was there at the start, came later, or went and came back."""
    if made != "after":
        cgroup.mkdir()
    watch([Subject(index=1, name="unit", cgroups=("/holdfast-test",))])
    if made == "again":
        cgroup.rmdir()
    (cgroup / below).mkdir(parents=True, exist_ok=True)
    child = in_cgroup(watched, cgroup / below)
    assert held(watched, child).subject == "unit"
    child.kill()


def test_a_cgroup_that_is_gone_is_forgotten(watched: Watched, watch: Watch, cgroup: Path) -> None:
    """A unit that restarts all day does not fill the kernel's map."""
    watch([Subject(index=1, name="unit", cgroups=("/holdfast-test",))])
    known = Map(PINS / "maps" / "hf_cgroups", 8, 4)
    try:
        for _ in range(3):
            cgroup.mkdir()
            assert known.all_keys() == [struct.pack("<Q", cgroup.stat().st_ino)]
            cgroup.rmdir()
            assert known.all_keys() == []
    finally:
        known.close()


def test_leaving_the_cgroup_does_not_take_the_label_off(
    watched: Watched, watch: Watch, cgroup: Path
) -> None:
    """A label is for life: it is not worked out again from where a process is."""
    cgroup.mkdir()
    watch([Subject(index=1, name="unit", cgroups=("/holdfast-test",))])
    other = watched.accounts.other
    child = watched.run(code(watched, WHEN_TOLD + WHEN_TOLD), user=other.pw_uid, group=other.pw_gid)
    for directory in (cgroup, cgroup.parent):
        (directory / "cgroup.procs").write_text(str(child.pid))
        child.tell()
        found = watched.next_hold(child)
        assert found.act.subject == "unit"
        watched.let_go(found, child)
        assert child.line() == "on"
    assert child.end() == 0


INHERIT = {
    "fork": "os.fork() and os._exit(os.wait()[1] >> 8)\n",
    "setsid": "os.fork() and os._exit(os.wait()[1] >> 8)\nos.setsid()\n",
    "double fork": "os.fork() and os._exit(0)\nos.setsid()\nos.fork() and os._exit(0)\n",
}


@pytest.mark.parametrize("how", INHERIT)
def test_children_keep_the_label(watched: Watched, secret: Path, how: str) -> None:
    """However far a process goes from who started it, it belongs to the same session."""
    child = watched.run(code(watched, "say(os.getpid())\n" + INHERIT[how] + OPEN))
    root = int(child.line())
    found = watched.next_hold()
    assert found.act.process.pid != root
    assert found.act.session.split("-")[0] == str(root)
    watched.let_go(found)
    assert child.rest() == "on\n"


@pytest.mark.parametrize("to", ["other", "root"])
def test_another_user_does_not_shake_the_label_off(watched: Watched, secret: Path, to: str) -> None:
    """Who was watched once and becomes another user is watched on."""
    people = watched.accounts
    uid = people.other.pw_uid if to == "other" else 0
    child = watched.run(
        code(
            watched,
            f"os.setresuid({people.watched.pw_uid}, 0, 0)\n"
            "os.fork() and os._exit(os.wait()[1] >> 8)\n"
            f"os.setresuid({uid}, {uid}, {uid})\n" + OPEN,
        ),
        user=0,
    )
    found = watched.next_hold()
    assert found.act.process.uid == uid
    assert found.act.subject == "ai"
    watched.let_go(found)
    assert child.rest() == "on\n"


@pytest.fixture
def sudoers(watched: Watched) -> Iterator[None]:
    """Let the watched user become anybody by sudo."""
    path = Path("/etc/sudoers.d/holdfast-test")
    if not Path("/usr/bin/sudo").exists():
        pytest.skip("sudo is not installed: sudo tests/run --only kernel installs it")
    path.write_text(
        f"Defaults:{watched.accounts.watched.pw_name} !pam_session\n"
        f"{watched.accounts.watched.pw_name} ALL=(ALL) NOPASSWD: ALL\n"
    )
    path.chmod(0o440)
    try:
        yield
    finally:
        path.unlink()


SUDO = {
    "sudo to root": ["sudo", "-n", "./tiny"],
    "sudo to another": ["sudo", "-n", "-u", "holdfast-test-other", "./tiny"],
    "su": ["sudo", "-n", "su", "holdfast-test-other", "-s", "/bin/sh", "-c", "./tiny"],
}


@pytest.mark.parametrize("how", SUDO)
def test_sudo_and_su_do_not_shake_the_label_off(
    watched: Watched, secret: Path, sudoers: None, how: str
) -> None:
    """The command that sudo or su runs is held as the watched user's, with the new identity."""
    made = watched.place / "made"
    child = watched.run(SUDO[how])
    found = watched.next_hold()
    act = found.act
    assert act.process.uid == (0 if how == "sudo to root" else watched.accounts.other.pw_uid)
    assert (act.subject, act.session.split("-")[0]) == ("ai", str(child.pid))
    assert child.pid in [one.pid for one in act.ancestors]
    wait_state(act.process.pid, "T")
    assert not made.exists()
    if how == "su":
        watched.let_go(found)
    else:
        # sudo stops itself together with its command, and passes on what continues it.
        child.wait_stopped()
        watched.sensor.unguard(act.process.pid)
        child.resume()
    assert child.end() == 0
    assert made.stat().st_uid == act.process.uid


def test_what_runs_already_is_labelled_at_the_start_with_its_children(
    watched: Watched, watch: Watch
) -> None:
    """A process of the user, and its child that has become another user: neither is overlooked."""
    watch([])
    people = watched.accounts
    child = watched.run(
        code(
            watched,
            "pid = os.fork()\n"
            "if pid == 0:\n"
            f"  os.setresuid(*[{people.other.pw_uid}] * 3)\n"
            "  sys.stdin.readline()\n  open('{place}/secret')\n  say('on'); os._exit(0)\n"
            f"os.setresuid(*[{people.watched.pw_uid}] * 3)\nsay(pid)\nos.wait()\n",
        ),
        user=0,
    )
    pid = int(child.line())
    watched.again()
    child.tell()
    found = watched.next_hold()
    assert found.act.process.pid == pid
    assert found.act.process.uid == people.other.pw_uid
    assert found.act.session.split("-")[0] == str(child.pid)
    assert found.act.ancestors[0].pid == child.pid
    # What belongs to the session is told with its arguments; what started it is not the AI's.
    assert found.act.ancestors[0].argv
    assert not found.act.ancestors[1].argv
    watched.let_go(found)
    assert child.rest() == "on\n"


LEADERLESS = (
    "def go():\n"
    "  while 'Z' not in open(f'/proc/{os.getpid()}/stat').read().rsplit(')')[1]: os.sched_yield()\n"
    "  say('gone')\n"
    "  sys.stdin.readline()\n"
    "  open('{place}/secret')\n"
    "  say('on')\n"
    "  os._exit(0)\n"
    "threading.Thread(target=go).start()\n"
    "call(60, 0)\n"  # exit(2) ends this thread only
)


@pytest.mark.parametrize("labelled", ["from the first", "at the start"])
def test_a_leader_that_exits_before_its_threads_takes_no_label_away(
    watched: Watched, watch: Watch, labelled: str
) -> None:
    """A process without its first thread is a process still, to the kernel and to the scan."""
    watch([] if labelled == "at the start" else watched.user_subject())
    before = ""
    if labelled == "from the first":
        # Labelled by forking, and nothing but the label tells later who it was.
        people = watched.accounts
        before = (
            f"os.setresuid({people.watched.pw_uid}, 0, 0)\n"
            "os.waitpid(os.fork() or os._exit(0), 0)\n"
            f"os.setresuid(*[{people.other.pw_uid}] * 3)\n"
        )
    user = 0 if before else None
    child = watched.run(code(watched, before + LEADERLESS), user=user)
    assert child.line() == "gone"
    if labelled == "at the start":
        watched.again()
    child.tell()
    found = watched.next_hold(child)
    assert found.act.tid != child.pid
    stopped = os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    assert stopped is not None
    assert stopped.si_code == os.CLD_STOPPED
    thread = Path(f"/proc/{child.pid}/task/{found.act.tid}/stat").read_text()
    assert thread.rsplit(")", 1)[1].split()[0] == "T"
    assert state(child.pid) == "Z"
    watched.sensor.unguard(child.pid)
    child.resume()
    assert child.rest() == "on\n"


def test_a_label_goes_with_its_process(watched: Watched, secret: Path, labels: Map) -> None:
    """It is there while a process lives, and not a moment longer."""
    child = watched.run(code(watched, "say('here')\n" + WHEN_TOLD))
    assert child.line() == "here"
    assert labels.get(struct.pack("<I", child.pid)) is not None
    child.kill()
    assert labels.get(struct.pack("<I", child.pid)) is None


def test_a_label_of_an_earlier_process_of_the_same_number_means_nothing(
    watched: Watched, secret: Path, labels: Map
) -> None:
    """A number that is given again does not make a stranger watched, nor hide who is watched."""
    stale = label_of(time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 2)
    other = watched.accounts.other
    stranger = watched.run(code(watched, WHEN_TOLD), user=other.pw_uid, group=other.pw_gid)
    labels.set(struct.pack("<I", stranger.pid), stale)
    stranger.tell()
    goes_unseen(watched, stranger)
    child = watched.run(code(watched, "say('here')\n" + WHEN_TOLD))
    assert child.line() == "here"
    labels.set(struct.pack("<I", child.pid), stale)
    child.tell()
    act = held(watched, child)
    assert (act.subject, act.session.split("-")[0]) == ("ai", str(child.pid))


def test_a_subject_keeps_its_name_when_the_configuration_changes(
    watched: Watched, watch: Watch
) -> None:
    """Who was labelled before is told by the name of then, though others come first now."""
    child = watched.run(code(watched, "say('here')\n" + WHEN_TOLD))
    assert child.line() == "here"
    people = watched.accounts
    watch(
        [
            Subject(index=1, name="first", uids=(people.other.pw_uid,)),
            Subject(index=2, name="renamed", uids=(people.watched.pw_uid,)),
        ]
    )
    child.tell()
    assert held(watched, child).subject == "ai"
    fresh = watched.run(code(watched))
    assert held(watched, fresh).subject == "renamed"
    fresh = watched.run(code(watched), user=people.other.pw_uid)
    assert held(watched, fresh).subject == "first"


def test_the_agent_itself_is_never_watched(watched: Watched, watch: Watch, labels: Map) -> None:
    """Not as a member of a watched group, nor with a label that it was born with."""
    people = watched.accounts
    rules = watched.place / "rules.yaml"
    agent = watched.run(
        [
            sys.executable,
            "-m",
            "tests.support.agent_process",
            str(PINS),
            str(people.watched.pw_uid),
            str(people.group.gr_gid),
            str(rules),
        ],
        user=0,
        group=0,
        groups=[people.group.gr_gid],
        cwd=CHECKOUT,
        env=environment(),
    )
    label = label_of(started_ns(agent.pid))
    labels.set(struct.pack("<I", agent.pid), label)
    assert agent.line() == "started"
    for _ in range(2):
        agent.tell(str(watched.place / "secret"))
        assert agent.line() == "opened"
        assert labels.get(struct.pack("<I", agent.pid)) in (None, label)
        # Not even if something labels it later.
        labels.set(struct.pack("<I", agent.pid), label)
    # While another member of the group is watched.
    child = watched.run(
        code(watched),
        user=people.other.pw_uid,
        group=people.other.pw_gid,
        groups=[people.group.gr_gid],
    )
    child.wait_stopped()


def test_a_child_of_the_agent_is_no_ai(watched: Watched, secret: Path) -> None:
    """What the agent's own process starts as root is not watched."""
    done = subprocess.run(["cat", secret], check=True, capture_output=True)
    assert done.returncode == 0
    assert watched.acts() == []


def test_who_belongs_to_a_subject_is_who_carries_its_label(watched: Watched, secret: Path) -> None:
    """The process, what it forks, and nobody of another user or of another name."""
    parent = watched.run("import subprocess\nsubprocess.run(['sleep', '60'])\n" + OPEN)
    other = watched.run(["/usr/bin/sleep", "60"], user=watched.accounts.other.pw_uid)
    while not (forked := psutil.Process(parent.pid).children()):
        time.sleep(0.01)
    found = {one.pid for one in watched.sensor.labelled("ai")}
    assert {parent.pid, forked[0].pid} <= found
    assert other.pid not in found
    assert watched.sensor.labelled("nobody") == []
