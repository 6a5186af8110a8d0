"""Jobs that daemons of the system run for a subject: its manager of systemd, cron and at.

None of them descends from a process that was watched before: they are known by their user.
"""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.started import state
from tests.vm.soak.site import SECRETS, SUBJECT, Site, run

pytestmark = pytest.mark.timeout(900)

_OUT = "answer"


def as_subject(*command: str, given: str = "") -> None:
    """Run a command as the subject, with its own manager of systemd in reach."""
    place = f"XDG_RUNTIME_DIR=/run/user/{subject_id()}"
    done = subprocess.run(
        ["runuser", "-u", SUBJECT, "--", "env", place, *command],
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        cwd="/",
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}"


def subject_id() -> str:
    """Return the subject's number."""
    return run("id", "-u", SUBJECT).strip()


def by_systemd(line: str) -> None:
    """Have its own manager start a unit."""
    run("systemctl", "start", f"user@{subject_id()}.service")
    as_subject("systemd-run", "--user", "--quiet", "/bin/sh", "-c", line)


def by_cron(line: str) -> None:
    """Have cron run it in this minute."""
    run("systemctl", "start", "cron")
    as_subject("crontab", "-", given=f"* * * * * {line}\n")


def by_at(line: str) -> None:
    """Have at run it at once."""
    run("systemctl", "start", "atd")
    as_subject("at", "now", given=f"{line}\n")


@pytest.fixture
def answer(built: Site) -> Iterator[Path]:
    """Where a job of the subject writes what it was let read; no job is left afterwards."""
    place = Path(built.subject.pw_dir) / _OUT
    yield place
    subprocess.run(["crontab", "-r", "-u", SUBJECT], capture_output=True, check=False)
    run("systemctl", "stop", "cron", "atd", f"user@{subject_id()}.service")
    place.unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("job", "service"),
    [(by_systemd, "/user@"), (by_cron, "/cron.service"), (by_at, "/atd.service")],
    ids=["systemd-run", "cron", "at"],
)
def test_a_job_of_a_subject_is_held_whoever_runs_it(
    built: Site, answer: Path, job: Callable[[str], None], service: str
) -> None:
    """Its first read of a secret waits, and is done after the approval."""
    job(f"cat {SECRETS}/asked > {answer}")
    found = built.asked(lambda one: one["act"]["path"] == f"{SECRETS}/asked")
    pid = found["act"]["process"]["pid"]
    assert state(pid) == "T"
    assert service in Path(f"/proc/{pid}/cgroup").read_text()
    assert answer.read_text() == ""
    built.approve(pid)
    run("tail", f"--pid={pid}", "-f", "/dev/null")
    assert answer.read_text() == "asked"
