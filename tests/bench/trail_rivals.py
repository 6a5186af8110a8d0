"""The same events in other programs: loaded, weighed, and asked the same four questions.

Questions are functions of one SQL each; what a program cannot say it has no answer to.
"""

import datetime as dt
import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from tests.bench.tools import running
from tests.bench.trail_made import Made
from tests.bench.trail_shape import BEGIN_NS, DAY_NS, directory_size

_COLUMNS = (
    "host, number, time_ns, kind, subject, session, pid, tid, uid, gid, program, "
    "array_to_string(argv, ' ') AS argv, path, device, inode, flags, transport, address, port, "
    'result, guarantee, "action", rule, hold, "count", detail, second_path, operation'
)
_HOLDS = "request, host, opened_ns, rule, subject, session, digest, executable"
_DECISIONS = 'request, answer, "by", reason, time_ns'
_INDEXES = (
    "CREATE INDEX events_time ON events (time_ns)",
    "CREATE INDEX events_session ON events (session, time_ns)",
    "CREATE INDEX events_path ON events (path, time_ns)",
    "CREATE INDEX holds_request ON holds (request)",
    "CREATE INDEX decisions_request ON decisions (request)",
)
_NUMBERS = frozenset(
    "number time_ns pid tid uid gid device inode port result count opened_ns".split()
)
DAY = 15


@dataclass(frozen=True, slots=True)
class Asked:
    """What the questions are about, taken from the trail: so each has an answer."""

    request: str
    session: str
    path: str

    @property
    def span(self) -> tuple[int, int]:
        """The day, in nanoseconds."""
        return BEGIN_NS + DAY * DAY_NS, BEGIN_NS + (DAY + 1) * DAY_NS

    @property
    def questions(self) -> Mapping[str, str]:
        """SQL that SQLite and PostgreSQL both take."""
        day = "time_ns >= {} AND time_ns < {}".format(*self.span)
        return {
            "who authorised this": 'SELECT d.answer, d."by", d.reason, d.time_ns FROM holds h '  # noqa: S608
            f"JOIN decisions d ON d.request = h.request WHERE h.request = '{self.request}'",
            "all that a session did, in order": "SELECT time_ns, kind, argv, path, address "  # noqa: S608
            f"FROM events WHERE session = '{self.session}' ORDER BY time_ns",
            "which sessions opened a path in a day": "SELECT DISTINCT session FROM events "  # noqa: S608
            f"WHERE path = '{self.path}' AND {day}",
            "counts by program in a day": 'SELECT program, sum("count") FROM events '  # noqa: S608
            f"WHERE kind = 'exec' AND {day} GROUP BY program",
        }


@dataclass(frozen=True, slots=True)
class Loaded:
    """A program with the events in it; `ask` returns nanoseconds, None: it has no answer."""

    name: str
    events: int
    load_s: float
    bytes: int
    ask: Callable[[str], float | None]


def asked(made: Made) -> Asked:
    """Choose a request that people approved, a session and a path of the day."""
    with duckdb.connect(str(made.views), read_only=True) as trail:
        first, last = BEGIN_NS + DAY * DAY_NS, BEGIN_NS + (DAY + 1) * DAY_NS
        (request,) = _one(trail, "SELECT request FROM decisions ORDER BY time_ns LIMIT 1", [])
        session, path = _one(
            trail,
            "SELECT session, path FROM events WHERE kind = 'open' AND path LIKE '/etc/%'"
            " AND time_ns >= ? AND time_ns < ? ORDER BY time_ns LIMIT 1",
            [first, last],
        )
    return Asked(str(request), str(session), str(path))


@contextmanager
def holdfast(made: Made, what: Asked) -> Iterator[Loaded]:
    """The trail, opened by the ordinary client for each question."""
    sql = dict(what.questions)
    sql["all that a session did, in order"] = (
        f"FROM session_timeline WHERE session = '{what.session}'"
    )
    sql["who authorised this"] = f"FROM who_allowed WHERE request = '{what.request}'"

    def ask(question: str) -> float:
        begun = time.perf_counter_ns()
        with duckdb.connect(str(made.views), read_only=True) as trail:
            trail.execute(sql[question]).fetchall()
        return time.perf_counter_ns() - begun

    size = directory_size(made.directory)
    assert made.events_s is not None and made.tables_s is not None, "it was made in this run"
    yield Loaded("Holdfast", made.shape.total, made.events_s + made.tables_s, size, ask)


@contextmanager
def sqlite(made: Made, what: Asked, directory: Path) -> Iterator[Loaded]:
    """SQLite, with the settings that it has of itself."""
    file = directory / "events.sqlite"
    begun = time.monotonic()
    with duckdb.connect(str(made.views), read_only=True) as trail:
        connection = sqlite3.connect(file)
        for table, columns in _tables():
            found = trail.execute(f"SELECT {columns} FROM {table}")  # noqa: S608
            names = [one[0] for one in found.description or ()]
            connection.execute(_ddl(table, names, "INTEGER"))
            marks = ", ".join("?" for _ in names)
            while rows := found.fetchmany(20_000):
                with connection:
                    connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)  # noqa: S608
    for statement in (*_INDEXES, "ANALYZE"):
        connection.execute(statement)
    connection.commit()
    load_s = time.monotonic() - begun

    def ask(question: str) -> float:
        start = time.perf_counter_ns()
        connection.execute(what.questions[question]).fetchall()
        return time.perf_counter_ns() - start

    try:
        yield Loaded("SQLite", made.shape.total, load_s, file.stat().st_size, ask)
    finally:
        connection.close()


@contextmanager
def postgresql(made: Made, what: Asked, directory: Path) -> Iterator[Loaded]:
    """PostgreSQL with the settings that it has of itself, for this run alone, on a socket here."""
    user = pwd.getpwnam("postgres")
    directory.mkdir()
    os.chown(directory, user.pw_uid, user.pw_gid)
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda one: int(one.parent.name))
    as_user = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
    data = directory / "data"
    initdb = [*as_user, str(programs / "initdb"), "-D", str(data), "-A", "trust", "-U", "postgres"]
    subprocess.run(initdb, check=True, capture_output=True)
    serve = [*as_user, str(programs / "postgres"), "-D", str(data), "-k", str(directory)]
    socket = directory / ".s.PGSQL.5432"
    ask_it = [*as_user, str(programs / "psql"), "-X", "-q", "-h", str(directory), "-U", "postgres"]

    def psql(*statements: str) -> str:
        said = subprocess.run(
            ask_it, input="\n".join(statements), text=True, capture_output=True, check=True
        )
        assert not said.stderr, said.stderr
        return said.stdout

    def ready(_: int) -> bool:
        return (
            socket.exists()
            and not subprocess.run(
                [str(programs / "pg_isready"), "-q", "-h", str(directory)], check=False
            ).returncode
        )

    with running([*serve, "-c", "listen_addresses="], directory / "log", ready, signal.SIGINT):
        begun = time.monotonic()
        for table, columns in _tables():
            csv = directory / f"{table}.csv"
            with duckdb.connect(str(made.views), read_only=True) as trail:
                names = [
                    one[0]
                    for one in trail.execute(f"SELECT {columns} FROM {table} LIMIT 0").description  # noqa: S608
                    or ()
                ]
                trail.execute(f"COPY (SELECT {columns} FROM {table}) TO '{csv}' (HEADER false)")  # noqa: S608
            csv.chmod(0o644)
            psql(_ddl(table, names, "bigint") + ";", f"\\copy {table} FROM '{csv}' (FORMAT csv)")
            csv.unlink()
        psql(*(f"{one};" for one in (*_INDEXES, "VACUUM ANALYZE")))
        load_s = time.monotonic() - begun

        def ask(question: str) -> float:
            said = psql("\\timing on", "\\o /dev/null", f"{what.questions[question]};")
            return float(said.split("Time: ")[-1].split()[0]) * 1e6

        yield Loaded("PostgreSQL", made.shape.total, load_s, directory_size(data / "base"), ask)


@contextmanager
def audit(made: Made, what: Asked, directory: Path, events: int) -> Iterator[Loaded]:
    """An audit log of the first events and those of the day, read by ausearch and aureport."""
    file = directory / "audit.log"
    begun = time.monotonic()
    with duckdb.connect(str(made.views), read_only=True) as trail, file.open("w") as log:
        found = trail.execute(
            "SELECT time_ns, kind, session, pid, uid, program, argv, path, result FROM ("
            " SELECT * FROM events WHERE session IS NOT NULL"
            " ORDER BY abs(time_ns - ?) LIMIT ?) ORDER BY time_ns",
            [sum(what.span) // 2, events],
        )
        number = 0
        while rows := found.fetchmany(20_000):
            for row in rows:
                number += 1
                log.write(_record(number, row))
    load_s = time.monotonic() - begun
    ends = [dt.datetime.fromtimestamp(end / 1e9) for end in what.span]
    day = ["-ts", *ends[0].strftime("%m/%d/%y %H:%M:%S").split(), "-te",
           *ends[1].strftime("%m/%d/%y %H:%M:%S").split()]  # fmt: skip
    commands: Mapping[str, Sequence[str]] = {
        "all that a session did, in order": ["ausearch", "--session", _number(what.session)],
        "which sessions opened a path in a day": ["ausearch", "-f", what.path, *day],
        "counts by program in a day": ["aureport", "-x", "--summary", *day],
    }

    def ask(question: str) -> float | None:
        if question not in commands:
            return None
        start = time.perf_counter_ns()
        said = subprocess.run([*commands[question], "-if", str(file)], check=False,
                              capture_output=True, stdin=subprocess.DEVNULL,
                              env=os.environ | {"LC_ALL": "C"})  # fmt: skip
        took = time.perf_counter_ns() - start
        assert said.stdout, said.stderr
        return took

    yield Loaded("audit log", number, load_s, file.stat().st_size, ask)


def there() -> bool:
    """Return whether the programs that are compared with are installed."""
    return shutil.which("ausearch") is not None and Path("/usr/lib/postgresql").exists()


def _record(number: int, row: tuple[object, ...]) -> str:
    """Return an event as the kernel's audit says it, in the records of a system call."""
    time_ns, kind, session, pid, uid, program, argv, path, result = row
    assert isinstance(time_ns, int)
    at = f"msg=audit({time_ns // 10**9}.{time_ns // 10**6 % 1000:03d}:{number}):"
    call = {"exec": 59, "connect": 42, "send": 44, "delete": 87, "rename": 82}.get(str(kind), 257)
    name = str(program)
    exe = name if name.startswith("/") else f"/usr/bin/{name}"
    lines = [
        f"type=SYSCALL {at} arch=c000003e syscall={call} success={'no' if result else 'yes'} "
        f"exit={result} a0=ffffff9c a1=7ffd a2=80000 a3=0 items=1 ppid=1 pid={pid} auid={uid} "
        f"uid={uid} gid={uid} euid={uid} suid={uid} fsuid={uid} egid={uid} sgid={uid} fsgid={uid} "
        f'tty=(none) ses={_number(str(session))} comm="{name.rpartition("/")[2][:15]}" '
        f'exe="{exe}" key="ai"'
    ]
    if isinstance(argv, list):
        words = " ".join(f"a{place}={str(word).encode().hex().upper()}"
                         for place, word in enumerate(argv))  # fmt: skip
        lines.append(f"type=EXECVE {at} argc={len(argv)} {words}")
    if path:
        lines.append(
            f'type=PATH {at} item=0 name="{path}" inode=1 dev=08:01 mode=0100644 ouid=0 ogid=0 '
            "rdev=00:00 nametype=NORMAL cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0"
        )
    return "\n".join(lines) + "\n"


def _number(session: str) -> str:
    return session.partition("-")[2][-9:]


def _tables() -> tuple[tuple[str, str], ...]:
    return ("events", _COLUMNS), ("holds", _HOLDS), ("decisions", _DECISIONS)


def _ddl(table: str, names: Sequence[str], number: str) -> str:
    columns = (f'"{name}" {number if name in _NUMBERS else "text"}' for name in names)
    return f"CREATE TABLE {table} ({', '.join(columns)})"


def _one(trail: duckdb.DuckDBPyConnection, sql: str, values: list[int]) -> tuple[object, ...]:
    row = trail.execute(sql, values).fetchone()
    assert row is not None
    return tuple(row)
