"""From an event of auditd to an act: what was done, by whom, and to what, as far as it says."""

import os
import posixpath
import socket
import stat
from dataclasses import dataclass, replace

from agent.audit.frames import Event, PathRecord, raw, shown
from agent.audit.sockets import Peer, peer_of, transport_of
from agent.errors import RecordError
from agent.release import ProcessId
from agent.sensor.records import MARK_CREATED, open_flag_names, user_name
from wire.acts import Act, Guarantee, Kind, Process, Transport

_AT_FDCWD = -100
_IN_PROGRESS = -115
_CALLS = {
    "execve": Kind.EXEC,
    "execveat": Kind.EXEC,
    "open": Kind.OPEN,
    "openat": Kind.OPEN,
    "openat2": Kind.OPEN,
    "creat": Kind.OPEN,
    "connect": Kind.CONNECT,
    "sendto": Kind.SEND,
    "sendmsg": Kind.SEND,
    "sendmmsg": Kind.SEND,
}
# What the first argument of socketcall(2) means.
_SOCKETCALLS = {3: "connect", 11: "sendto", 16: "sendmsg", 20: "sendmmsg"}
_FLAGS_AT = {"open": 1, "openat": 2}


@dataclass(frozen=True, slots=True)
class Whose:
    """Who did it, as the agent knows it by its labels."""

    process: ProcessId
    subject: str
    session: str


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an event, whichever way it was made."""

    name: str
    kind: Kind
    args: tuple[int, ...]


def call_of(event: Event) -> Call | None:
    """Return the call of an event, None if it is none that acts are made of."""
    name, args = event.call, tuple(event.args)
    if name == "socketcall" and event.socketcall is not None:
        name, args = _SOCKETCALLS.get(event.args[0], ""), (*event.socketcall, 0, 0)
    kind = _CALLS.get(name)
    if kind is None or (kind is Kind.SEND and event.address is None):
        return None  # without an address it is on a connection, which was an act of its own
    return Call(name, kind, args)


def act_of(event: Event, call: Call, whose: Whose, *, boot_ns: int) -> Act:
    """Return the act of an event; raise RecordError for what cannot be one.

    What the records do not say is said to be cut or not resolved, so that no rule lets it pass.
    """
    base = Act(
        kind=call.kind,
        guarantee=Guarantee.LATE,
        time_ns=event.time_ns,
        boot_ns=boot_ns,
        subject=whose.subject,
        session=whose.session,
        process=Process(
            pid=whose.process.pid,
            start_ns=whose.process.start_ns,
            comm=shown(event.comm),
            uid=event.uid,
        ),
        tid=event.pid,  # the records do not tell threads apart
        gid=event.gid,
        user=user_name(event.uid),
        login_uid=event.login,
        login_user="" if event.login is None else user_name(event.login),
        executable=shown(event.exe or ""),
        cwd=shown(event.cwd or ""),
    )
    if call.kind is Kind.EXEC:
        return _exec(base, event)
    if call.kind is Kind.OPEN:
        return _open(base, event, call)
    return _reach(base, event, call)


def did_nothing(act: Act) -> bool:
    """Return whether the call has failed; a connect that is under way has not."""
    failed = act.result is not None and act.result < 0
    return failed and not (act.kind is Kind.CONNECT and act.result == _IN_PROGRESS)


def _exec(base: Act, event: Event) -> Act:
    file = event.paths[0] if event.paths else None
    argv = tuple(map(shown, event.argv or ()))
    return replace(
        base,
        filename=shown(file.name or "") if file else "",
        argv=argv,
        argv_bytes=event.argv_bytes,
        argv_cut=event.argv is None or not event.argv_whole,
        path=base.executable,
        path_cut=event.exe is None,
        device=_device(file),
        inode=file.inode if file else 0,
        result=None if event.ok else event.exit,
    )


def _open(base: Act, event: Event, call: Call) -> Act:
    flags = _open_flags(event, call)
    files = [one for one in event.paths if one.kind in ("NORMAL", "CREATE")]
    file = files[-1] if files else None
    # A call that found nothing has no more than the directory, or a name without a file.
    named = file or next(iter(event.paths[-1:]), None)
    path = _absolute(event, call, named.name if named else None)
    created = file is not None and file.kind == "CREATE"
    return replace(
        base,
        path=path.decode("utf-8", "backslashreplace"),
        path_cut=not path.startswith(b"/") or len(event.paths) < event.items,
        path_resolved=False,
        device=_device(file),
        inode=file.inode if file else 0,
        flags=open_flag_names(flags, MARK_CREATED if created else 0),
        result=event.exit,
    )


def _reach(base: Act, event: Event, call: Call) -> Act:
    peer = Peer(socket.AF_UNSPEC, known=False)
    if event.address is not None:
        try:
            peer = peer_of(bytes.fromhex(event.address))
        except ValueError as error:
            raise RecordError(f"event {event.serial}: its address is no hex: {error}") from error
    transport = transport_of(event.pid, call.args[0], peer.family) if peer.known else None
    file = next((one for one in event.paths if one.inode), None)
    return replace(
        base,
        transport=transport,
        address=peer.address,
        port=peer.port,
        path=peer.path.decode("utf-8", "backslashreplace"),
        path_resolved=transport is not Transport.UNIX or peer.path.startswith(b"@"),
        device=_device(file) if peer.path else 0,
        inode=file.inode if file and peer.path else 0,
        messages=max(event.exit or 0, 0)
        if call.name == "sendmmsg"
        else int(call.name != "connect"),
        # The records of a sendmmsg have the last address only.
        addresses_cut=not peer.known or (call.name == "sendmmsg" and (event.exit or 0) > 1),
        result=event.exit,
    )


def _open_flags(event: Event, call: Call) -> int:
    if call.name == "creat":
        return os.O_CREAT | os.O_WRONLY | os.O_TRUNC
    if call.name == "openat2":
        # Of an older kernel there is no record of the flags: then all that there may be.
        return event.open_flags if event.open_flags is not None else os.O_RDWR | os.O_CREAT
    return call.args[_FLAGS_AT[call.name]] & 0xFFFFFFFF


def _absolute(event: Event, call: Call, name: str | None) -> bytes:
    """Return a name from the root on, without . and ..; as it is if nobody knows its directory."""
    if not name:
        return b""
    path = raw(name)
    if path.startswith(b"/"):
        return _normal(path)
    directory = _directory(call)
    if directory != _AT_FDCWD:
        try:
            return _normal(os.readlink(b"/proc/%d/fd/%d" % (event.pid, directory)) + b"/" + path)
        except OSError:
            return path
    return _normal(raw(event.cwd) + b"/" + path) if event.cwd else path


def _directory(call: Call) -> int:
    if call.name not in ("openat", "openat2"):
        return _AT_FDCWD
    number = call.args[0] & 0xFFFFFFFF
    return number - (1 << 32) if number >= 1 << 31 else number


def _normal(path: bytes) -> bytes:
    return b"/" + posixpath.normpath(path).lstrip(b"/")


def _device(file: PathRecord | None) -> int:
    return os.makedev(file.major, file.minor) if file and file.inode else 0


# -- what can be asked of a process that is still there -------------------------------------------


def resolved(act: Act, descriptor: int | None) -> Act:
    """Return an open with the path of the file that was opened, if that can still be told.

    By the descriptor that the call gave, else by the name; either counts only if it is the very
    file, by device and inode, that the record names.
    """
    if act.kind is not Kind.OPEN or not act.inode:
        return act
    if descriptor is not None:
        link = f"/proc/{act.process.pid}/fd/{descriptor}"
        path = _link(link)
        if path is not None and _is(act, link):
            return replace(act, path=path, path_cut=False, path_resolved=True)
    if act.path_cut:
        return act
    path = posixpath.realpath(act.path)
    return replace(act, path=path, path_resolved=True) if _is(act, path) else act


def _link(place: str) -> str | None:
    try:
        path = os.readlink(os.fsencode(place))
    except OSError:
        return None
    found = path.decode("utf-8", "backslashreplace")
    return found if found.startswith("/") and not found.endswith(" (deleted)") else None


def _is(act: Act, path: str) -> bool:
    try:
        seen = os.stat(path)
    except (OSError, ValueError):
        return False
    return (seen.st_dev, seen.st_ino) == (act.device, act.inode) and not stat.S_ISLNK(seen.st_mode)
