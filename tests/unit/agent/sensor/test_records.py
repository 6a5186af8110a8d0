"""Records of the kernel as values: nothing made up, nothing passed off as whole."""

import os
import struct
from dataclasses import replace

import pytest

from agent.sensor import records
from agent.sensor.records import (
    ACT,
    PROCESS,
    ActFields,
    act_of_facts,
    act_of_observed,
    arguments,
    environment_facts,
    open_flag_names,
    text,
)
from wire.acts import Act, Guarantee, Kind, Process, Transport

FIELDS = ActFields(
    boot_ns=5_000_000_000,
    start_ns=4_000_000_000,
    root_start_ns=3_000_000_000,
    result=0,
    root_tgid=40,
    tgid=42,
    tid=43,
    uid=4_000_000_123,
    gid=1001,
    login_uid=records.NO_LOGIN,
    comm=b"worker\0xyz".ljust(16, b"\0"),
    inode=77,
    device=8 << 20 | 17,
    open_flags=os.O_RDWR | os.O_APPEND,
    messages=0,
    marks=0,
    subject=1,
    port=0,
    kind=1,
    guarantee=1,
    transport=0,
    address_family=0,
    address=bytes(16),
    path_bytes=4,
    grant=0,
    number=0,
)
SUBJECTS = ["", "ai"]
OFFSET = 1_700_000_000_000_000_000


def facts(
    fields: ActFields,
    *,
    argv: bytes = b"",
    environment: bytes = b"",
    ancestors: list[tuple[int, int, int, bytes]] | None = None,
    argv_total: int | None = None,
    environment_total: int | None = None,
    target: tuple[int, int, int, bytes] | None = None,
) -> bytes:
    """Return the bytes of a struct facts; argv ends it, as in the ring."""
    raw = ACT.pack(*fields)
    raw += b"/opt/tool\0rest".ljust(records.PATH_BYTES, b"\0")
    raw += b"/usr/bin/python3".ljust(records.DIRECTORY_BYTES, b"\0")
    raw += b"./tool".ljust(records.FILENAME_BYTES, b"\0")
    raw += b"/srv/app".ljust(records.DIRECTORY_BYTES, b"\0")
    rows = ancestors or []
    raw += b"".join(PROCESS.pack(*row) for row in rows).ljust(records.ANCESTORS * 32, b"\0")
    raw += PROCESS.pack(*(target or (0, 0, 0, b"")))
    total = len(argv) if argv_total is None else argv_total
    all_of_it = len(environment) if environment_total is None else environment_total
    raw += struct.pack("<4I", total, len(argv), all_of_it, len(environment))
    raw += environment.ljust(records.ENVIRONMENT_BYTES, b"\0")
    return raw + argv


def act(fields: ActFields = FIELDS, **parts: object) -> Act:
    """Return the act of such bytes."""
    return act_of_facts(facts(fields, **parts), SUBJECTS, OFFSET)  # type: ignore[arg-type]


def test_an_exec_has_all_that_the_kernel_told() -> None:
    """Every field from its own place in the record."""
    found = act(
        argv=b"./tool\0-x\0\0",
        environment=b"HOME=/root\0PATH=/bin\0LD_PRELOAD=/x\0",
        ancestors=[(3_500_000_000, 41, 0, b"sh"), (1, 1, 0, b"init")],
    )
    assert found == Act(
        kind=Kind.EXEC,
        guarantee=Guarantee.HELD,
        time_ns=OFFSET + 5_000_000_000,
        boot_ns=5_000_000_000,
        subject="ai",
        session="40-3000000000",
        process=Process(
            pid=42,
            start_ns=4_000_000_000,
            comm="worker",
            uid=4_000_000_123,
            argv=("./tool", "-x", ""),
        ),
        tid=43,
        ancestors=(
            Process(pid=41, start_ns=3_500_000_000, comm="sh", uid=0),
            Process(pid=1, start_ns=1, comm="init", uid=0),
        ),
        gid=1001,
        executable="/opt/tool",
        filename="./tool",
        argv=("./tool", "-x", ""),
        argv_bytes=11,
        cwd="/srv/app",
        environment={"PATH": "/bin", "LD_PRELOAD": "/x"},
        path="/opt/tool",
        device=os.makedev(8, 17),
        inode=77,
    )


def test_an_open_names_the_program_that_acts_and_no_arguments_of_its_own() -> None:
    """The path is the file's; the arguments belong to the process, not to the act."""
    found = act(FIELDS._replace(kind=2, guarantee=3, result=7), argv=b"python3\0x.py\0")
    assert (found.kind, found.guarantee, found.result) == (Kind.OPEN, Guarantee.LATE, 7)
    assert (found.path, found.executable) == ("/opt/tool", "/usr/bin/python3")
    assert found.flags == ("read", "write", "append")
    assert (found.argv, found.argv_bytes, found.filename) == ((), 0, "")
    assert found.environment is None
    assert found.process.argv == ("python3", "x.py")


def test_a_connection_that_is_not_over_has_no_result() -> None:
    """A number that stands for "not known" must not be read as an error."""
    fields = FIELDS._replace(
        kind=3,
        guarantee=2,
        transport=1,
        port=443,
        address_family=4,
        address=bytes([192, 0, 2, 7]) + bytes(12),
        result=records.NOT_OVER,
    )
    found = act(fields)
    assert found.result is None
    assert (found.transport, found.address, found.port) == (Transport.TCP, "192.0.2.7", 443)
    six = fields._replace(address_family=6, address=bytes(15) + b"\1")
    assert act(six).address == "::1"


@pytest.mark.parametrize(
    ("mark", "field", "value"),
    [
        (records.MARK_PATH_CUT, "path_cut", True),
        (records.MARK_UNRESOLVED, "path_resolved", False),
        (records.MARK_ARGV_CUT, "argv_cut", True),
        (records.MARK_ADDRESSES_CUT, "addresses_cut", True),
    ],
)
def test_every_mark_reaches_the_act(mark: int, field: str, value: bool) -> None:
    """What was cut or not resolved says so, and nothing else does."""
    assert getattr(act(FIELDS._replace(marks=mark)), field) is value
    assert getattr(act(), field) is not value


def test_cut_arguments_are_those_that_were_read_with_the_length_of_all() -> None:
    """The last one is a part; an empty one after it would be made up."""
    cut = FIELDS._replace(marks=records.MARK_ARGV_CUT)
    found = act(cut, argv=b"tool\0par", argv_total=5000)
    assert found.argv == ("tool", "par")
    assert found.argv_bytes == 5000
    assert act(cut, argv=b"tool\0", argv_total=5000).argv == ("tool", "")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", ()),
        (b"\0", ("",)),
        (b"a\0", ("a",)),
        (b"a\0\0", ("a", "")),
        (b"a\0\0b\0", ("a", "", "b")),
        (b"a", ("a",)),
        (b"\xff\xfe\0", ("\\xff\\xfe",)),
        ("ß\0".encode(), ("ß",)),
    ],
)
def test_arguments_are_split_at_zero_bytes_only(raw: bytes, expected: tuple[str, ...]) -> None:
    """Empty arguments stay; what is no UTF-8 appears escaped."""
    assert arguments(raw, cut=False) == expected


def test_of_an_environment_only_named_variables_are_kept() -> None:
    """No value of another one leaves the host, whatever it looks like."""
    raw = b"SECRET=x\0PATH=/bin\0PATHX=y\0=PATH\0PATH\0IFS= =\0\xff=PATH=z\0"
    assert environment_facts(raw, total=len(raw)) == {"PATH": "/bin", "IFS": " ="}


def test_an_environment_that_was_not_read_whole_says_so() -> None:
    """The variable that was cut is not shown as if it were whole."""
    fields = FIELDS._replace(marks=records.MARK_ENVIRONMENT_CUT)
    found = act(fields, environment=b"PATH=/bin\0LD_PRELOAD=/li", environment_total=9000)
    assert found.environment == {"PATH": "/bin", "(not read)": "8976 of 9000 bytes"}


def test_a_text_ends_at_its_first_zero_byte() -> None:
    """What lies behind it in the buffer is of an earlier record."""
    assert text(b"now\0before") == "now"


@pytest.mark.parametrize(
    ("flags", "marks", "names"),
    [
        (os.O_RDONLY, 0, ("read",)),
        (os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0, ("write", "create", "truncate")),
        (os.O_RDWR | os.O_CREAT, records.MARK_CREATED, ("read", "write", "create", "created")),
        (os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK, 0, ("read",)),
        (3, 0, ()),
    ],
)
def test_open_flags_by_name(flags: int, marks: int, names: tuple[str, ...]) -> None:
    """Only those that say what an open can do."""
    assert open_flag_names(flags, marks) == names


def test_a_subject_that_nobody_knows_is_told_without_a_name() -> None:
    """A label of a configuration that is gone; the act is told all the same."""
    assert act(FIELDS._replace(subject=9)).subject == ""


def test_an_observed_act_is_the_same_without_what_only_a_hold_records() -> None:
    """Who, what and where; no program, directory or ancestors."""
    fields = FIELDS._replace(kind=2, guarantee=2, result=-2, login_uid=0, marks=2)
    record = ACT.pack(*fields)[8:] + b"/etc/x\0yyy".ljust(records.SHORT_PATH_BYTES, b"\0")
    found = act_of_observed(fields.boot_ns, record, SUBJECTS, OFFSET)
    assert found == replace(found, boot_ns=fields.boot_ns, time_ns=fields.boot_ns + OFFSET)
    assert (found.path, found.path_resolved, found.result) == ("/etc/x", False, -2)
    assert (found.login_uid, found.login_user) == (0, "root")
    assert (found.executable, found.cwd, found.ancestors) == ("", "", ())
    assert found.process == Process(
        pid=42, start_ns=4_000_000_000, comm="worker", uid=4_000_000_123
    )
