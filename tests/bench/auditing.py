"""auditd for the bench: a daemon and rules of our own, for test users alone, and gone afterwards.

Once audit has been enabled, the kernel sets every new process up for it until the next boot, rules
or not. `left_alone` excepts the test users, so that what is measured beside auditd is measured as
on a host that never had it.
"""

import pwd
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.tools import running

KEY = "holdfast-test"
CALLS = ("open", "openat", "openat2", "execve", "execveat", "connect")
# What Debian's package ships, in a directory of our own.
SETTINGS = """
local_events = yes
write_logs = yes
log_file = {directory}/audit.log
log_group = root
log_format = ENRICHED
flush = INCREMENTAL_ASYNC
freq = 50
max_log_file = 8
num_logs = 5
priority_boost = 4
name_format = NONE
max_log_file_action = ROTATE
space_left = 75
space_left_action = IGNORE
admin_space_left = 50
admin_space_left_action = IGNORE
disk_full_action = SUSPEND
disk_error_action = SUSPEND
distribute_network = no
q_depth = 2000
overflow_action = IGNORE
plugin_dir = {directory}/plugins.d
end_of_event_timeout = 2
"""
# As in the rules that Debian's package ships.
_BACKLOG = (("backlog_limit", "-b", "8192"), ("backlog_wait_time", "--backlog_wait_time", "60000"))


def status() -> dict[str, int]:
    """Return the kernel's audit state: enabled, pid, lost, backlog_limit, and the like."""
    words = (line.split() for line in auditctl("-s").splitlines())
    return {word[0]: int(word[1]) for word in words if len(word) > 1 and word[1].isdigit()}


def check_unused() -> None:
    """Fail if somebody else uses audit here: the kernel knows one daemon and one set of rules."""
    auditctl("-D", "-k", KEY)  # of a run that was cut off, and so are these
    for uid in re.findall(r"^-a never,task -F uid=(\d+)$", auditctl("-l"), re.MULTILINE):
        if of_tests(int(uid)):
            auditctl("-d", "never,task", "-F", f"uid={uid}")
    rules, pid = auditctl("-l").strip(), status()["pid"]
    assert pid == 0, f"an audit daemon runs (pid {pid}); stop it: systemctl stop auditd"
    assert rules == "No rules", f"audit rules are loaded; remove them for the bench:\n{rules}"


@contextmanager
def left_alone(*uids: int) -> Iterator[None]:
    """Have the kernel set up nothing for audit in what these users fork."""
    rules: list[tuple[str, ...]] = [("never,task", "-F", f"uid={_test_uid(uid)}") for uid in uids]
    with _loaded(rules):
        yield


class Auditd:
    """What `auditd` gives: whether it has seen something, and what was lost."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._lost = status()["lost"]

    def lost(self) -> int:
        """Return how many records the kernel could not deliver since it began."""
        return status()["lost"] - self._lost

    def saw(self, path: Path) -> bool:
        """Return whether a path, and our rules, are in the logs; for sure once it has ended."""
        logs = [log.read_bytes() for log in self._log.parent.glob("audit.log*")]
        return any(str(path).encode() in log for log in logs) and any(
            f'key="{KEY}"'.encode() in log for log in logs
        )


@contextmanager
def auditd(directory: Path, uid: int) -> Iterator[Auditd]:
    """Have auditd run with rules about what a test user opens, executes and connects to."""
    (directory / "plugins.d").mkdir(parents=True)
    directory.chmod(0o700)
    config = directory / "auditd.conf"
    config.write_text(SETTINGS.format(directory=directory).lstrip())
    config.chmod(0o640)
    calls = [word for call in CALLS for word in ("-S", call)]
    rule = ("always,exit", "-F", "arch=b64", *calls, "-F", f"uid={_test_uid(uid)}", "-k", KEY)
    before = status()
    # Without -f, which sends the events to standard output and not to the log.
    command = ["auditd", "-n", "-c", str(directory)]
    try:
        with running(
            command,
            directory / "auditd.out",
            lambda pid: status()["pid"] == pid,
            signal.SIGTERM,  # SIGINT it ignores
        ):
            for _, option, value in _BACKLOG:
                auditctl(option, value)
            with _loaded([rule]):
                yield Auditd(directory / "audit.log")
    finally:
        for name, option, _ in _BACKLOG:
            auditctl(option, str(before[name]))
        auditctl("-e", str(before["enabled"]))


@contextmanager
def _loaded(rules: list[tuple[str, ...]]) -> Iterator[None]:
    there = []
    try:
        for rule in rules:
            auditctl("-a", *rule)
            there.append(rule)
        yield
    finally:
        for rule in there:
            auditctl("-d", *rule)


def of_tests(uid: int) -> bool:
    """Return whether a user is one that tests make, or is gone, as theirs are after a run."""
    try:
        return pwd.getpwuid(uid).pw_name.startswith("holdfast-test")
    except KeyError:
        return True


def _test_uid(uid: int) -> int:
    assert uid > 0 and of_tests(uid)
    return uid


def auditctl(*words: str) -> str:
    done = subprocess.run(["auditctl", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"auditctl {' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout
