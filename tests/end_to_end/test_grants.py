"""Approved for a time: the same act again passes at once, and anything else is held anew."""

import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rules.modes import HostMode
from tests.support.house import House, Request, house, place_for_all
from tests.support.sensors import MODE
from tests.support.tiny_elf import write_creator

pytestmark = pytest.mark.end_to_end

# A worker that runs what it is told, one command after the other: one session.
_WORKER = """
import os, subprocess, sys
for line in sys.stdin:
    words = line.split()
    if words[0] == "open":
        os.close(os.open(words[1], os.O_RDONLY))
        code = 0
    else:
        code = subprocess.run(words, executable=words[0], env={"PATH": "/usr/bin:/bin"}).returncode
    print(code, flush=True)
"""


def rules(place: Path) -> str:
    """Return the rules that the tests here live by."""
    return f"""
rules:
  - id: demo.export
    description: Writes an export of the customer database.
    severity: high
    match: {{exec: {{path: {place}/export}}}}
    action: ask
  - id: demo.script
    description: Runs a script.
    severity: high
    match: {{exec: {{argv: "*{place}/script*"}}}}
    action: ask
  - id: demo.secret
    description: Reads the secrets of this test.
    severity: critical
    match: {{open: {{path: {place}/secrets/**}}}}
    action: ask
"""


class Worker:
    """One session of the watched user, which does acts one after the other."""

    def __init__(self, home: House) -> None:
        self.home = home
        self.child = home.start(_WORKER)

    def do(self, *words: object) -> None:
        """Have it begin an act; it may be held."""
        assert self.child.stdin is not None
        self.child.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self.child.stdin.flush()

    def done(self) -> int:
        """Wait until the act is over; return its exit code."""
        assert self.child.stdout is not None
        return int(self.child.stdout.readline())

    def session(self) -> str:
        """Return the pid that begins the name of its session."""
        return f"{self.child.pid}-"


@pytest.fixture(scope="module")
def home() -> Iterator[House]:
    """One Holdfast for all tests of this file."""
    with place_for_all() as place:
        shutil.copy("/usr/bin/true", place / "export")
        (place / "secrets").mkdir()
        (place / "secrets" / "one").write_text("the password is swordfish")
        with house(place, rules(place)) as built:
            yield built


@pytest.fixture(autouse=True)
def clean(home: House) -> Iterator[None]:
    """End each test without anything that would count in another."""
    yield
    # First, since what forks away holds the pipes that are read to their end below.
    if (out := home.directory / "out").exists():
        out.rename(home.directory / "gone")  # where nobody finds it, and ends
    for child in home.children:
        child.kill()
        child.communicate()
    home.children.clear()
    shutil.rmtree(home.directory / "gone", ignore_errors=True)
    for grant in home.call("GET", "/grants").json()["grants"]:
        home.call("POST", f"/grants/{grant['grant']}/revoke", body={"reason": "the test is over"})
    for one in home.call("GET", "/quarantines").json()["quarantines"]:
        home.call("POST", f"/quarantines/{one['quarantine']}/lift", body={"reason": "over"})


def approve(home: House, request: Request, **grant: Any) -> dict[str, Any]:
    """Approve a request for a time, and return the grant."""
    body = {
        "answer": "approve",
        "reason": "nightly export",
        "digest": request["digest"],
        "grant": {"minutes": 15, "uses": 3} | grant,
    }
    response = home.call("POST", f"/requests/{request['request']}/decision", body=body)
    assert response.status_code == 200, response.text
    made: dict[str, Any] = response.json()["granted"]
    home.settled(request)
    return made


def asked(home: House, worker: Worker) -> Request:
    """Wait until an act of a worker's session is asked about."""
    return home.watcher.wait(
        lambda one: one["act"]["session"].startswith(worker.session()) and one["state"] == "open"
    )


def granted(home: House, worker: Worker, *words: object, **grant: Any) -> dict[str, Any]:
    """Do an act that is approved for a time; return the grant, which its host has by then."""
    worker.do(*words)
    made = approve(home, asked(home, worker), **grant)
    assert worker.done() == 0
    taken(home, made["grant"])
    return made


def taken(home: House, order: str) -> None:
    """Wait until the host has an order, as its own record says."""
    in_journal(home, "SELECT 1 FROM orders WHERE id = ?", order)


def in_journal(home: House, query: str, value: object) -> None:
    """Wait until the host's own record has a row for a query."""
    journal = home.directory / "agent" / "journal.db"
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as database:
            if database.execute(query, [value]).fetchone():
                return
        time.sleep(0.02)
    raise AssertionError(f"the host has nothing for {query} with {value}")


def refuse(home: House, worker: Worker) -> Request:
    """See that the act of a worker is asked about, and deny it."""
    request = asked(home, worker)
    home.answer(request, "deny", "not this")
    return request


def test_the_same_command_passes_at_once_and_so_often_as_was_said(home: House) -> None:
    """Two uses are two runs; the third is asked about. The trail names the grant of each."""
    worker = Worker(home)
    grant = granted(home, worker, home.directory / "export", "--all", uses=2)
    for _ in range(2):
        worker.do(home.directory / "export", "--all")
        assert worker.done() == 0
    worker.do(home.directory / "export", "--all")
    refuse(home, worker)
    worker.done()
    use = [grant["grant"], "approved", "released"]
    home.sql_until(
        'SELECT "grant", state, outcome FROM grant_uses', lambda rows: rows.count(use) == 2
    )
    assert home.sql("SELECT * FROM releases WHERE NOT explained") == []
    listed = home.call("GET", "/grants?all=true").json()["grants"]
    found = next(one for one in listed if one["grant"] == grant["grant"])
    assert (found["state"], found["used"], found["uses"]) == ("used_up", 2, 2)


def test_nobody_is_asked_about_what_a_grant_covers(home: House) -> None:
    """From its first message on the request is approved and names the grant."""
    worker = Worker(home)
    grant = granted(home, worker, home.directory / "export", "--quiet")
    worker.do(home.directory / "export", "--quiet")
    assert worker.done() == 0
    request = home.watcher.wait(lambda one: one["grant"] == grant["grant"])
    assert request["state"] == "approved"
    assert not request["may_decide"]["allowed"]
    body = {"answer": "deny", "reason": "too late", "digest": request["digest"]}
    response = home.call("POST", f"/requests/{request['request']}/decision", body=body)
    assert (response.status_code, response.json()["error"]["code"]) == (409, "already_decided")


def test_other_arguments_are_held(home: House) -> None:
    """One more word makes another command."""
    worker = Worker(home)
    granted(home, worker, home.directory / "export", "--table", "a")
    worker.do(home.directory / "export", "--table", "a", "--drop")
    refuse(home, worker)


def test_another_session_is_held_unless_the_whole_subject_was_meant(home: House) -> None:
    """A grant is of the session that asked; `subject` is for all of them."""
    worker, other = Worker(home), Worker(home)
    granted(home, worker, home.directory / "export", "--mine")
    other.do(home.directory / "export", "--mine")
    refuse(home, other)
    other.done()
    granted(home, worker, home.directory / "export", "--ours", scope="subject")
    other.do(home.directory / "export", "--ours")
    assert other.done() == 0


def test_a_program_that_was_rewritten_is_held(home: House) -> None:
    """Whatever it has become, it is not what was approved."""
    worker = Worker(home)
    program = home.directory / "export"
    granted(home, worker, program, "--rewritten")
    content = program.read_bytes()
    program.write_bytes(content)
    worker.do(program, "--rewritten")
    refuse(home, worker)


def test_a_revoked_grant_covers_nothing(home: House) -> None:
    """The next run is asked about; to revoke it once more says that it was."""
    worker = Worker(home)
    grant = granted(home, worker, home.directory / "export", "--revoked")
    route = f"/grants/{grant['grant']}/revoke"
    assert home.call("POST", route, body={"reason": "enough"}).json()["state"] == "revoked"
    ends = home.sql_until(
        'SELECT "grant", order_id FROM grant_revocations',
        lambda rows: grant["grant"] in dict(rows),
    )
    taken(home, dict(ends)[grant["grant"]])
    worker.do(home.directory / "export", "--revoked")
    refuse(home, worker)
    assert home.call("POST", route, body={}).json()["error"]["code"] == "already_revoked"


def test_a_file_that_was_granted_opens_again(home: House) -> None:
    """A file is known by its path, its inode and how it is opened."""
    worker = Worker(home)
    granted(home, worker, "open", home.directory / "secrets" / "one")
    worker.do("open", home.directory / "secrets" / "one")
    assert worker.done() == 0


def test_each_use_of_a_granted_file_is_in_the_trail(home: House) -> None:
    """So many and no more; in gate mode it is the kernel that lets it pass, and nobody stops."""
    worker = Worker(home)
    grant = granted(home, worker, "open", home.directory / "secrets" / "one", uses=2)
    for _ in range(2):
        worker.do("open", home.directory / "secrets" / "one")
        assert worker.done() == 0
    worker.do("open", home.directory / "secrets" / "one")
    refuse(home, worker)
    assert worker.child.wait(60) == -signal.SIGKILL
    use = [grant["grant"], "approved", "released"]
    home.sql_until(
        'SELECT "grant", state, outcome FROM grant_uses', lambda rows: rows.count(use) == 2
    )
    assert home.sql("SELECT * FROM releases WHERE NOT explained") == []
    listed = home.call("GET", "/grants?all=true").json()["grants"]
    found = next(one for one in listed if one["grant"] == grant["grant"])
    assert (found["state"], found["used"], found["uses"]) == ("used_up", 2, 2)
    if MODE is HostMode.GATE:
        home.sql_until(
            "SELECT pid FROM events WHERE contains(detail, 'let pass by the kernel')",
            lambda rows: rows.count([worker.child.pid]) == 2,
        )


def test_a_script_or_a_shell_is_never_granted(home: House) -> None:
    """What they do is not in what a grant compares; the request says so beforehand."""
    script = home.directory / "script"
    script.write_text("#!/bin/sh\ntrue\n")
    script.chmod(0o755)
    copy = home.directory / "script-tool"
    shutil.copy("/bin/sh", copy)
    for command in (script, copy):
        worker = Worker(home)
        worker.do(command)
        request = asked(home, worker)
        assert not request["grantable"]["allowed"], command
        body = {"answer": "approve", "reason": "x", "grant": {"minutes": 5, "uses": 1}}
        response = home.call("POST", f"/requests/{request['request']}/decision", body=body)
        assert response.json()["error"]["code"] == "not_grantable"
        home.answer(request, "approve", "once")


def test_a_grant_outlives_the_agent(home: House) -> None:
    """What was granted before a restart counts after it, and so does what was used."""
    worker = Worker(home)
    granted(home, worker, home.directory / "export", "--restart", uses=1)
    home.stop_agent()
    home.start_agent()
    worker.do(home.directory / "export", "--restart")
    assert worker.done() == 0
    home.stop_agent()
    home.start_agent()
    worker.do(home.directory / "export", "--restart")
    refuse(home, worker)


# A program that does nothing but fork away, until its directory is gone or it has done so often.
_FORKS = """
import os, sys, time
path = sys.argv[1]
for _ in range(20_000):
    if os.fork():
        os._exit(0)
    with open(path, "a") as file:
        file.write("x")
    time.sleep(0.002)
"""


def test_a_quarantine_stops_everybody_and_lifting_it_lets_them_go_on(home: House) -> None:
    """A busy loop that forks away, and a held command: the one stops, the other dies."""
    place = home.directory / "out"
    place.mkdir()
    os.chown(place, home.user.pw_uid, home.user.pw_gid)
    marks = place / "marks"
    home.start(["/usr/bin/python3", "-c", _FORKS, str(marks)])
    while not (marks.exists() and marks.stat().st_size > 20):
        time.sleep(0.01)
    worker = Worker(home)
    worker.do(home.directory / "export", "--open")
    request = asked(home, worker)

    body = {"subject": "ai-worker", "host": "db-7", "reason": "it forks"}
    made = home.call("POST", "/quarantines", body=body)
    assert made.status_code == 201, made.text
    settled = home.settled(request)
    assert (settled["state"], settled["outcome"]) == ("superseded", "killed")
    assert settled["states"][0]["order"]
    home.sql_until("SELECT 1 FROM events WHERE detail LIKE 'quarantined: %'", bool)
    stopped = marks.stat().st_size
    time.sleep(0.3)  # in which it would have gone on
    assert marks.stat().st_size == stopped

    home.stop_agent()  # and no restart of the agent ends it
    home.start_agent()
    assert marks.stat().st_size == stopped
    quarantine = made.json()["quarantine"]
    lifted = home.call("POST", f"/quarantines/{quarantine}/lift", body={"reason": "looked at"})
    assert lifted.status_code == 200, lifted.text
    while marks.stat().st_size == stopped:
        time.sleep(0.01)
    worker.do(home.directory / "export", "--after")
    home.answer(asked(home, worker), "approve", "again")


def test_nobody_who_comes_meanwhile_runs_an_instruction(home: House) -> None:
    """A hundred in a tight loop: each is stopped before its first; lifted, all go on."""
    place = home.directory / "came"
    place.mkdir()
    place.chmod(0o777)
    write_creator(place / "tiny", place / "made")
    quarantine = in_quarantine(home)
    came = [home.start([str(place / "tiny")]) for _ in range(100)]
    in_journal(home, "SELECT count(*) FROM quarantined HAVING count(*) = ?", len(came))
    assert all(child.poll() is None for child in came)
    assert not (place / "made").exists()
    lifted = home.call("POST", f"/quarantines/{quarantine}/lift", body={"reason": "looked at"})
    assert lifted.status_code == 200, lifted.text
    for child in came:
        assert child.wait(30) in (0, 1)  # the file is there for all but the first
    assert (place / "made").exists()


def in_quarantine(home: House) -> str:
    """Have everybody in quarantine, and the host know it; return its id."""
    body = {"subject": "ai-worker", "reason": "a look at it"}
    made = home.call("POST", "/quarantines", body=body).json()
    assert made["everywhere"]
    orders = home.sql_until("SELECT order_id FROM quarantines ORDER BY time_ns DESC", bool)
    taken(home, orders[0][0])
    quarantine: str = made["quarantine"]
    return quarantine


def test_a_new_process_of_a_quarantined_subject_is_stopped(home: House) -> None:
    """Whoever comes meanwhile is stopped soon, and what it would do is denied at once."""
    in_quarantine(home)
    child = home.start([str(home.directory / "export"), "--in-quarantine"])
    assert child.wait(30) == -9
    home.sql_until(
        "SELECT pid FROM events WHERE contains(detail, 'under quarantine')",
        lambda rows: [child.pid] in rows,
    )
