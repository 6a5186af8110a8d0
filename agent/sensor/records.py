"""The kernel's records as values of the wire. The layout is that of kernel/programs/records.h."""

import ipaddress
import os
import pwd
import struct
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from agent.errors import RecordError
from agent.sensor.interface import Resume
from agent.sensor.operations import operation
from wire.acts import KINDS_OF_PROCESSES, Act, Guarantee, Kind, Process, Transport

ACT = struct.Struct("<QQQq6I16sQ4I2H4B16sIIQ")
PROCESS = struct.Struct("<QII16s")
RESUME = struct.Struct("<QQQIIII16s")
PATH_BYTES, SHORT_PATH_BYTES, FILENAME_BYTES, DIRECTORY_BYTES = 1024, 256, 256, 512
ARGV_BYTES, ENVIRONMENT_BYTES, ANCESTORS = 4096, 4096, 12
OBSERVED_BYTES = ACT.size + SHORT_PATH_BYTES
# Of a struct observed without its boot_ns: who, with the result, comes before what.
WHO = struct.Struct("<QQq6I16s")

_BEHIND_TIME = struct.Struct(f"<{ACT.format[2:]}")
PATH_AT = _BEHIND_TIME.size  # of the path in such a record

_PROGRAM_AT = ACT.size + PATH_BYTES
_FILENAME_AT = _PROGRAM_AT + DIRECTORY_BYTES
_DIRECTORY_AT = _FILENAME_AT + FILENAME_BYTES
_ANCESTORS_AT = _DIRECTORY_AT + DIRECTORY_BYTES
_TARGET_AT = _ANCESTORS_AT + ANCESTORS * PROCESS.size
_LENGTHS_AT = _TARGET_AT + PROCESS.size
_ENVIRONMENT_AT = _LENGTHS_AT + 16
_ARGV_AT = _ENVIRONMENT_AT + ENVIRONMENT_BYTES
# Behind the arguments, in the held map only: what tells the act from every other, with its hash.
_IDENTITY_AT = _ARGV_AT + ARGV_BYTES
IDENTITY_BYTES = 1384
FACTS_BYTES = _IDENTITY_AT + 8 + IDENTITY_BYTES

KINDS: dict[int, Kind] = dict(enumerate(KINDS_OF_PROCESSES, start=1))
KIND_NUMBERS = {kind: number for number, kind in KINDS.items()}
GUARANTEES = {1: Guarantee.HELD, 2: Guarantee.STOPPED, 3: Guarantee.LATE}
TRANSPORTS = {
    1: Transport.TCP,
    2: Transport.UDP,
    3: Transport.UNIX,
    4: Transport.RAW,
    5: Transport.OTHER,
}
MARK_PATH_CUT, MARK_UNRESOLVED, MARK_ARGV_CUT, MARK_ENVIRONMENT_CUT = 1, 2, 4, 8
MARK_REFUSED, MARK_SECOND_CUT, MARK_NO_AGENT = 256, 512, 1024
MARK_ADDRESSES_CUT, MARK_CREATED, MARK_KILLED, MARK_SHARED = 16, 32, 64, 128
NO_LOGIN = 0xFFFFFFFF
_KILLED_FOR_RUNNING, _KILLED_FOR_TRACING, _REFUSED_TRACING = 1, 2, 3
_WITH_SECOND_PATH = frozenset({Kind.RENAME, Kind.LINK, Kind.SYMLINK, Kind.MOUNT})
# Later than any clock: a record that says so was not written by our programs.
LATEST_NS = 1 << 62
NO_PROCESS = 1 << 22  # the kernel gives no pid as large as this
_REMEDY = "another version is loaded, or the kernel's memory is damaged: run holdfast-agent unload"
NOT_OVER = -0x7FFFFFFF

# Variables that change what a program does or say on whose behalf it runs. No other leaves the
# host: an environment is full of secrets.
ENVIRONMENT_FACTS = frozenset(
    "LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT PATH PYTHONPATH PYTHONSTARTUP PERL5LIB PERL5OPT RUBYOPT "
    "NODE_OPTIONS BASH_ENV ENV IFS GIT_SSH_COMMAND SUDO_USER SUDO_COMMAND SSH_CONNECTION "
    "KUBECONFIG AWS_PROFILE PGHOST PGDATABASE MYSQL_HOST".split()
)


class ActFields(NamedTuple):
    """struct act, field by field."""

    boot_ns: int
    start_ns: int
    root_start_ns: int
    result: int
    root_tgid: int
    tgid: int
    tid: int
    uid: int
    gid: int
    login_uid: int
    comm: bytes
    inode: int
    device: int
    open_flags: int
    messages: int
    marks: int
    subject: int
    port: int
    kind: int
    guarantee: int
    transport: int
    address_family: int
    address: bytes
    path_bytes: int
    grant: int
    number: int


def text(raw: bytes) -> str:
    """Return the text up to the first zero byte; what is not UTF-8 appears as escapes."""
    return raw.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


@lru_cache(maxsize=4096)
def user_name(uid: int) -> str:
    """Return the name of a user of this host, or an empty text."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


@lru_cache(maxsize=1024)
def device_number(device: int) -> int:
    """Return the kernel's device number as os.stat would give it."""
    return os.makedev(device >> 20, device & 0xFFFFF)


@lru_cache(maxsize=4096)
def address_text(family: int, address: bytes) -> str:
    """Return an address as text; empty for no address."""
    if family == 4:
        return str(ipaddress.IPv4Address(address[:4]))
    return str(ipaddress.IPv6Address(address)) if family == 6 else ""


@lru_cache(maxsize=1024)
def open_flag_names(flags: int, marks: int) -> tuple[str, ...]:
    """Return the open flags by name: read, write, append, create, truncate, created, shared."""
    access = flags & os.O_ACCMODE
    names = []
    if access in (os.O_RDONLY, os.O_RDWR):
        names.append("read")
    if access in (os.O_WRONLY, os.O_RDWR):
        names.append("write")
    for bit, name in ((os.O_APPEND, "append"), (os.O_CREAT, "create"), (os.O_TRUNC, "truncate")):
        if flags & bit:
            names.append(name)
    if marks & MARK_CREATED:
        names.append("created")
    if marks & MARK_SHARED:
        names.append("shared")
    return tuple(names)


@lru_cache(maxsize=64)
def done_by_the_kernel(marks: int) -> tuple[str, ...]:
    """Return what our programs have done with an act by themselves: no_agent, refused, killed."""
    done = ((MARK_NO_AGENT, "no_agent"), (MARK_REFUSED, "refused"), (MARK_KILLED, "killed"))
    return tuple(name for bit, name in done if marks & bit)


def arguments(raw: bytes, *, cut: bool) -> tuple[str, ...]:
    """Return the arguments of a block of zero-terminated ones, empty arguments included."""
    if not raw:
        return ()
    parts = raw.split(b"\0")
    if not cut and parts[-1] == b"":
        parts.pop()
    return tuple(part.decode("utf-8", "backslashreplace") for part in parts)


def environment_facts(raw: bytes, *, total: int) -> dict[str, str]:
    """Return the variables of ENVIRONMENT_FACTS that a block of NAME=value holds.

    If the block had `total` bytes and less was read, the facts say so.
    """
    unread = total - len(raw)
    if unread:
        raw = raw[: raw.rfind(b"\0") + 1]  # the last one is only a part
    facts = {}
    for part in raw.split(b"\0"):
        name, found, value = part.partition(b"=")
        key = name.decode("utf-8", "backslashreplace")
        if found and key in ENVIRONMENT_FACTS:
            facts[key] = value.decode("utf-8", "backslashreplace")
    if unread:
        facts["(not read)"] = f"{unread} of {total} bytes"
    return facts


def _check(fields: ActFields) -> None:
    """Raise RecordError unless what sort of act it is, is one that the programs write."""
    wrong = [
        f"{name} {value}"
        for name, value, known in (
            ("kind", fields.kind, KINDS),
            ("guarantee", fields.guarantee, GUARANTEES),
            ("transport", fields.transport, (0, *TRANSPORTS)),
            ("address family", fields.address_family, (0, 4, 6)),
        )
        if value not in known
    ]
    if wrong:
        raise RecordError(f"a record has {', '.join(wrong)}; {_REMEDY}")


def _check_whose(fields: ActFields) -> None:
    """Raise RecordError unless the record names a process and a time that there can be."""
    latest = max(fields.boot_ns, fields.start_ns)
    if not 0 < fields.tgid < NO_PROCESS or latest >= LATEST_NS:
        raise RecordError(f"a record has process {fields.tgid} at {latest} ns; {_REMEDY}")


def _common(fields: ActFields, subjects: Sequence[str], wall_offset_ns: int) -> dict[str, object]:
    _check(fields)
    login = None if fields.login_uid == NO_LOGIN else fields.login_uid
    kind = KINDS[fields.kind]
    return {
        "kind": kind,
        "guarantee": GUARANTEES[fields.guarantee],
        "time_ns": fields.boot_ns + wall_offset_ns,
        "boot_ns": fields.boot_ns,
        "subject": subjects[fields.subject] if fields.subject < len(subjects) else "",
        "session": f"{fields.root_tgid}-{fields.root_start_ns}",
        "tid": fields.tid,
        "gid": fields.gid,
        "user": user_name(fields.uid),
        "login_uid": login,
        "login_user": "" if login is None else user_name(login),
        "path_cut": bool(fields.marks & MARK_PATH_CUT),
        "path_resolved": not fields.marks & MARK_UNRESOLVED,
        "device": device_number(fields.device),
        "inode": fields.inode,
        "flags": (open_flag_names(fields.open_flags, fields.marks) if kind is Kind.OPEN else ())
        + done_by_the_kernel(fields.marks),
        "transport": TRANSPORTS.get(fields.transport),
        "address": address_text(fields.address_family, fields.address),
        "port": fields.port,
        "messages": fields.messages,
        "addresses_cut": bool(fields.marks & MARK_ADDRESSES_CUT),
        "operation": operation(kind, fields.number),
        "result": None if kind is Kind.EXEC or fields.result == NOT_OVER else fields.result,
    }


def resume_of(raw: bytes) -> Resume:
    """Return a struct resume as a value."""
    boot_ns, start_ns, count, pid, by_pid, by_uid, ended, comm = RESUME.unpack(raw)
    return Resume(
        pid=pid,
        start_ns=start_ns,
        boot_ns=boot_ns,
        count=count,
        by_pid=by_pid,
        by_uid=by_uid,
        by_comm=text(comm),
        ended=ended == _KILLED_FOR_RUNNING,
        traced=ended == _KILLED_FOR_TRACING,
        trace_refused=ended == _REFUSED_TRACING,
    )


def _ancestors(raw: bytes) -> tuple[Process, ...]:
    found = []
    for i in range(ANCESTORS):
        start, pid, uid, comm = PROCESS.unpack_from(raw, _ANCESTORS_AT + i * PROCESS.size)
        if not pid:
            break
        found.append(Process(pid=pid, start_ns=start, comm=text(comm), uid=uid))
    return tuple(found)


def act_of_facts(raw: bytes, subjects: Sequence[str], wall_offset_ns: int) -> Act:
    """Return the act of a struct facts, whose argv may end the record early.

    `subjects` are names by index; `wall_offset_ns` is what makes boot time time since the epoch.
    Raises RecordError for what is no such record, or one that was cut.
    """
    if len(raw) < _ARGV_AT:
        raise RecordError(f"a record of {len(raw)} bytes is too short for an act; {_REMEDY}")
    fields = ActFields._make(ACT.unpack_from(raw))
    _check(fields)
    _check_whose(fields)
    lengths = struct.unpack_from("<4I", raw, _LENGTHS_AT)
    argv_total, argv_bytes, environment_total, environment_bytes = lengths
    if argv_bytes > len(raw) - _ARGV_AT or environment_bytes > min(
        environment_total, ENVIRONMENT_BYTES
    ):
        raise RecordError(f"a record says that it is longer than its {len(raw)} bytes; {_REMEDY}")
    cut = bool(fields.marks & MARK_ARGV_CUT)
    argv = arguments(raw[_ARGV_AT : _ARGV_AT + argv_bytes], cut=cut)
    path = text(raw[ACT.size : _PROGRAM_AT])
    kind = KINDS[fields.kind]
    is_exec = kind is Kind.EXEC
    environment = raw[_ENVIRONMENT_AT : _ENVIRONMENT_AT + environment_bytes]
    common = _common(fields, subjects, wall_offset_ns)
    if kind is Kind.MOUNT:
        common["operation"] = operation(kind, fields.number, _target(raw).comm)
    return Act(
        **common,  # type: ignore[arg-type]
        process=Process(
            pid=fields.tgid,
            start_ns=fields.start_ns,
            comm=text(fields.comm),
            uid=fields.uid,
            argv=argv,
        ),
        ancestors=_ancestors(raw),
        executable=path if is_exec else text(raw[_PROGRAM_AT:_FILENAME_AT]),
        filename=text(raw[_FILENAME_AT:_DIRECTORY_AT]) if is_exec else "",
        argv=argv if is_exec else (),
        argv_bytes=argv_total if is_exec else 0,
        argv_cut=cut and is_exec,
        cwd=text(raw[_DIRECTORY_AT:_ANCESTORS_AT]),
        environment=environment_facts(environment, total=environment_total) if is_exec else None,
        path=path,
        second_path=text(raw[_ENVIRONMENT_AT : _ENVIRONMENT_AT + PATH_BYTES])
        if kind in _WITH_SECOND_PATH
        else "",
        second_path_cut=bool(fields.marks & MARK_SECOND_CUT),
        target=_target(raw) if kind is Kind.TRACE else None,
    )


def _target(raw: bytes) -> Process:
    start, pid, uid, comm = PROCESS.unpack_from(raw, _TARGET_AT)
    return Process(pid=pid, start_ns=start, comm=text(comm), uid=uid)


def act_fields(raw: bytes) -> ActFields:
    """Return the struct act that a struct facts begins with."""
    return ActFields._make(ACT.unpack_from(raw))


def thread_of(raw: bytes) -> int:
    """Return the thread of a struct facts."""
    return act_fields(raw).tid


def identity_of(raw: bytes) -> tuple[int, bytes]:
    """Return the hash and the bytes of what tells the act of a struct facts from every other."""
    (identity_hash,) = struct.unpack_from("<I", raw, _IDENTITY_AT)
    return identity_hash, raw[_IDENTITY_AT + 8 : _IDENTITY_AT + 8 + IDENTITY_BYTES]


def call_is_to_come(raw: bytes) -> bool:
    """Return whether the call of a struct facts is made once its process runs on."""
    fields = ActFields._make(ACT.unpack_from(raw))
    held = GUARANTEES.get(fields.guarantee) is Guarantee.HELD
    return held and KINDS.get(fields.kind) is not Kind.EXEC


def act_unread(raw: bytes, subjects: Sequence[str], wall_offset_ns: int) -> Act:
    """Return what is certain of a held act that act_of_facts refuses: whose it is.

    All else is said to be cut, unresolved and late, so that no rule can let it pass.
    """
    fields = ActFields._make(ACT.unpack_from(raw))
    known = fields._replace(
        kind=1, guarantee=3, transport=0, address_family=0, boot_ns=fields.boot_ns % LATEST_NS,
        start_ns=fields.start_ns % LATEST_NS, marks=MARK_PATH_CUT | MARK_UNRESOLVED,
        tgid=fields.tgid if 0 < fields.tgid < NO_PROCESS else NO_PROCESS,
    )  # fmt: skip
    record = _BEHIND_TIME.pack(*known[1:])
    act = act_of_observed(known.boot_ns, record, subjects, wall_offset_ns)
    return replace(act, argv_cut=True)


def act_of_observed(
    boot_ns: int, record: bytes, subjects: Sequence[str], wall_offset_ns: int
) -> Act:
    """Return the act of a struct observed, of which `record` is what follows boot_ns.

    What only a hold records is empty. Raises RecordError for what is no such record.
    """
    fields = ActFields(boot_ns, *_BEHIND_TIME.unpack_from(record))
    path = record[_BEHIND_TIME.size :]
    common = _common(fields, subjects, wall_offset_ns)
    comm = text(fields.comm)
    return Act(
        **common,  # type: ignore[arg-type]
        process=Process(pid=fields.tgid, start_ns=fields.start_ns, comm=comm, uid=fields.uid),
        executable="",
        path=text(path),
    )
