"""Acts written in one line, as rule files give them for examples and people type them.

exec: /usr/bin/pg_dump -Fc prod
exec: program=/usr/bin/python3.11 cwd=/srv /srv/venv/bin/pip install flask
open: "/home/bob/.config/chromium/Default/Login Data" read write
connect: 169.254.169.254:80 tcp       connect: [fd00:ec2::254]:80
connect: unix:/run/docker.sock        send: 192.0.2.1:53 udp
create: /etc/cron.d/job file          truncate: /var/log/syslog to 0 bytes
delete: /etc/passwd                   rename: /tmp/job -> /etc/cron.d/job
link: /etc/shadow -> /tmp/s           symlink: /tmp/s -> ../etc/shadow
chmod: /tmp/shell 4755                chown: /tmp/shell 0:0
mount: tmpfs -> /mnt tmpfs nosuid     mount: /etc -> /mnt bind
mount: /mnt umount                    listen: 0.0.0.0:8080
trace: attach 1234 sshd               identity: setuid 0
module: load /tmp/rootkit.ko          module: load by name nf_tables
bpf: prog_load                        namespace: unshare user,mount
"""

import shlex
from collections.abc import Sequence
from typing import Any

from rules.errors import ExampleError
from rules.match import matches
from rules.model import Finding, RuleSet, kinds_of
from rules.seen import Seen
from wire.acts import KINDS_OF_PROCESSES, Act, Guarantee, Kind, Process, Transport

_FLAGS = frozenset({"read", "write", "append", "create", "truncate", "created"})
_TRANSPORTS = frozenset(Transport) - {Transport.UNIX}
_REMEDY = "write exec:, open:, delete: or another kind and the act, as docs/rules.md shows"
_ARROW = "->"
_BY_NAME = ["load", "by", "name"]
# What an example means that does not say what exactly.
_USUAL = {
    Kind.CREATE: "file",
    Kind.TRUNCATE: "to 0 bytes",
    Kind.DELETE: "file",
    Kind.MOUNT: "bind",
}
_SHOWN = {Kind.CHMOD: "/srv/shell 4755", Kind.CHOWN: "/srv/shell 0:0"}


def parse(text: str, *, subject: str = "example") -> Act:
    """Return the act that one line says; what a line cannot say has no telling value.

    Raises ExampleError that says what to write instead.
    """
    kind, colon, rest = text.partition(":")
    if not colon or kind not in KINDS_OF_PROCESSES:
        raise ExampleError(f"{text[:80]!r} is not an act", _REMEDY)
    try:
        words = shlex.split(rest)
    except ValueError as error:
        raise ExampleError(f"{text[:80]!r}: {error}", "close the quote") from error
    if not words:
        raise ExampleError(f"{text[:80]!r} says nothing after the colon", _REMEDY)
    if kind == Kind.EXEC:
        return _act(subject, Kind.EXEC, **_exec(words))
    if kind == Kind.OPEN:
        return _act(subject, Kind.OPEN, **_open(words))
    return _act(subject, Kind(kind), **_other(Kind(kind), words))


def _other(kind: Kind, words: Sequence[str]) -> dict[str, Any]:
    match kind:
        case Kind.CONNECT | Kind.LISTEN:
            return _connect(words, Transport.TCP)
        case Kind.SEND:
            return _connect(words, Transport.UDP)
        case Kind.RENAME | Kind.LINK | Kind.SYMLINK | Kind.MOUNT:
            return _two_names(kind, words)
        case Kind.TRACE:
            return _trace(words)
        case Kind.MODULE:
            return _module(words)
        case Kind.IDENTITY | Kind.BPF | Kind.NAMESPACE:
            return {"operation": " ".join(words)}
    operation = " ".join(words[1:]) or _USUAL.get(kind, "")
    if not operation:
        raise ExampleError(
            f"the {kind} of {words[0]!r} does not say to what", f"write {kind}: {_SHOWN[kind]}"
        )
    return {"path": words[0], "operation": operation}


def _act(subject: str, kind: Kind, **where: Any) -> Act:
    process = Process(pid=1, start_ns=1, comm="example", uid=1000)
    where.setdefault("executable", "/usr/bin/example")
    return Act(
        kind=kind,
        guarantee=Guarantee.STOPPED,
        time_ns=0,
        boot_ns=0,
        subject=subject,
        session="1-1",
        process=process,
        tid=1,
        gid=1000,
        **where,
    )


def _exec(words: Sequence[str]) -> dict[str, Any]:
    options = {"program": "", "cwd": "/"}
    rest = list(words)
    while rest and rest[0].partition("=")[0] in options and "=" in rest[0]:
        name, _, value = rest.pop(0).partition("=")
        options[name] = value
    if not rest:
        raise ExampleError("the exec names no program", "write its path and arguments")
    name, program = rest[0], options["program"]
    # For a script the kernel puts the interpreter before the script's own name.
    argv = (program, *rest) if program else tuple(rest)
    return {
        "executable": program or name,
        "filename": name,
        "argv": argv,
        "argv_bytes": sum(len(argument.encode()) + 1 for argument in argv),
        "cwd": options["cwd"],
    }


def _open(words: Sequence[str]) -> dict[str, Any]:
    path, *flags = words
    unknown = sorted(set(flags) - _FLAGS)
    if unknown:
        raise ExampleError(
            f"{unknown[0]!r} is not a way to open a file",
            f"quote a path with spaces; flags are {', '.join(sorted(_FLAGS))}",
        )
    return {"path": path, "flags": tuple(flags) or ("read",)}


def _connect(words: Sequence[str], default: Transport) -> dict[str, Any]:
    target, *rest = words
    if target.startswith("unix:"):
        if rest or target == "unix:":
            raise ExampleError("a unix socket is one word", "write unix:/run/docker.sock")
        return {"transport": Transport.UNIX, "path": target.removeprefix("unix:")}
    if len(rest) > 1 or (rest and rest[0] not in _TRANSPORTS):
        names = ", ".join(sorted(_TRANSPORTS))
        raise ExampleError(f"{rest[-1]!r} is not a transport", f"use one of {names}")
    address, colon, port = target.rpartition(":")
    if not colon or not port.isdecimal() or len(port) > 5 or int(port) > 65_535:
        raise ExampleError(f"{target!r} has no port", "write 192.0.2.1:443 or [2001:db8::1]:443")
    return {
        "transport": Transport(rest[0]) if rest else default,
        "address": address.removeprefix("[").removesuffix("]"),
        "port": int(port),
    }


def _two_names(kind: Kind, words: Sequence[str]) -> dict[str, Any]:
    if kind is Kind.MOUNT and _ARROW not in words:
        return {"path": words[0], "operation": " ".join(words[1:]) or "umount"}
    if len(words) < 3 or words[1] != _ARROW or (len(words) > 3 and kind is not Kind.MOUNT):
        shown = "mount: /etc -> /mnt bind" if kind is Kind.MOUNT else f"{kind}: /a -> /b"
        raise ExampleError(
            f"a {kind} has two names", f"write {shown}, quoted where they have spaces"
        )
    if kind is Kind.MOUNT:
        operation = " ".join(words[3:]) or _USUAL[kind]
        return {"second_path": words[0], "path": words[2], "operation": operation}
    return {"path": words[0], "second_path": words[2]}


def _trace(words: Sequence[str]) -> dict[str, Any]:
    at = next((n for n, word in enumerate(words) if word.isdecimal()), 0)
    if not at or len(words) != at + 2 or len(words[at]) > 7:
        raise ExampleError(
            "the trace does not say what is done to which process", "write trace: attach 1234 sshd"
        )
    target = Process(pid=int(words[at]), start_ns=1, comm=words[at + 1], uid=0)
    return {"operation": " ".join(words[:at]), "target": target}


def _module(words: Sequence[str]) -> dict[str, Any]:
    verb = 3 if list(words[:3]) == _BY_NAME else 1
    if words[0] != "load" or len(words) > verb + 1 or (verb == 3 and len(words) < 4):
        raise ExampleError(
            f"{' '.join(words)[:80]!r} loads no module",
            "write module: load /x.ko, module: load (from memory), or module: load by name x",
        )
    return {"operation": " ".join(words[:verb]), "path": " ".join(words[verb:])}


def check(rules: RuleSet) -> tuple[Finding, ...]:
    """Return a finding for every example that is not what its rule says it is."""
    found = []
    for rule in rules.rules:
        subject = min(rule.subjects, default="example")
        for expected, listed in ((True, rule.examples.match), (False, rule.examples.no_match)):
            for example in listed:
                act = parse(example.text, subject=subject)
                about = act.kind in kinds_of(rule.match)
                if (about and matches(rule, Seen(act))) is not expected:
                    words = "does not match the rule" if expected else "matches the rule"
                    found.append(
                        Finding(example.place, rule.id, f"the example {example.text!r} {words}")
                    )
    return tuple(sorted(found))
