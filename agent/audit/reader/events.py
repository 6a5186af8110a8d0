"""One event of auparse as the frame that the agent gets, if it is one of our rules'."""

import auparse
import fields

ARGV_BYTES = 4096
# Records that only come beside one of type SYSCALL, which has the key.
_PARTS = {"EXECVE", "PATH", "CWD", "SOCKADDR", "PROCTITLE", "SOCKETCALL", "OPENAT2"}
_CALL_FIELDS = "pid ppid uid euid gid egid".split()


class GarbledError(Exception):
    """An event of ours that cannot be read."""


def records(parser):
    """Yield (type, [(name, value)]) for each record of the event that the parser is at."""
    parser.first_record()
    while True:
        found = []
        kind = parser.get_type_name()
        if parser.first_field():
            while True:
                found.append((parser.get_field_name(), parser.get_field_str()))
                if not parser.next_field():
                    break
        yield kind, found
        if not parser.next_record():
            return


def stamp(parser):
    """Return (time in ns since the epoch, serial number) of the event."""
    when = parser.get_timestamp()
    return (when.sec * 1000 + when.milli) * 1000000, when.serial


def frame(parser, key):
    """Return the frame of the event, None if it is none of ours; raise GarbledError.

    One of which the record with the key was lost may have been ours, and counts as missing.
    """
    found = list(records(parser))
    kinds = {kind for kind, _ in found}
    if "SYSCALL" not in kinds and kinds & _PARTS:
        return {"type": "missing", "count": 1}
    for kind, values in found:
        if kind == "CONFIG_CHANGE" and _has_key(dict(values), key):
            return {"type": "rules", "op": dict(values).get("op", "")[:64]}
    call = next((dict(values) for kind, values in found if kind == "SYSCALL"), None)
    if call is None or not _has_key(call, key):
        return None
    time_ns, serial = stamp(parser)
    try:
        return _event(call, found, _call_name(parser), time_ns, serial)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise GarbledError("event %d: %s: %s" % (serial, type(error).__name__, error)) from error


def _call_name(parser):
    parser.first_record()
    while parser.get_type_name() != "SYSCALL":
        if not parser.next_record():
            return ""
    return parser.interpret_field() if parser.find_field("syscall") else ""


def _has_key(values, key):
    try:
        return key in (fields.text(values.get("key")) or "").split("\x01")
    except ValueError:
        return False


def _event(call, found, name, time_ns, serial):
    by_kind = {}
    for kind, values in found:
        by_kind.setdefault(kind, []).append(values)
    made = {field: fields.number(call.get(field)) for field in _CALL_FIELDS}
    made.update(
        type="event",
        serial=serial,
        time_ns=time_ns,
        call=name,
        ok=call.get("success") == "yes",
        exit=fields.number(call["exit"]) if "exit" in call else None,
        args=[fields.hexadecimal(call[one]) for one in ("a0", "a1", "a2", "a3")],
        items=fields.number(call["items"]),
        login=fields.login(call.get("auid")),
        comm=fields.text(call.get("comm")) or "",
        exe=fields.text(call.get("exe")),
        paths=[_path(dict(values)) for values in by_kind.get("PATH", ())],
    )
    for values in by_kind.get("CWD", ()):
        made["cwd"] = fields.text(dict(values).get("cwd"))
    for values in by_kind.get("SOCKADDR", ()):
        made["address"] = dict(values)["saddr"]
    for values in by_kind.get("OPENAT2", ()):
        made["open_flags"] = int(dict(values)["oflag"], 0)
    for values in by_kind.get("SOCKETCALL", ()):
        one = dict(values)
        size = fields.number(one["nargs"])
        made["socketcall"] = [fields.hexadecimal(one["a%d" % i]) for i in range(size)]
    if "EXECVE" in by_kind:
        words = [pair for values in by_kind["EXECVE"] for pair in values]
        argv, total, whole = fields.arguments(words, ARGV_BYTES)
        made.update(argv=argv, argv_bytes=total, argv_whole=whole)
    return made


def _path(values):
    major, minor = fields.device(values["dev"]) if "dev" in values else (0, 0)
    return {
        "name": fields.text(values.get("name")),
        "kind": values.get("nametype", ""),
        "inode": int(values.get("inode", "0")),
        "major": major,
        "minor": minor,
    }


PARSER = auparse.AuParser
