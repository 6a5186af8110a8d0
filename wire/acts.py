"""An act as the kernel saw it: who, what and where, and what had already happened."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum

import msgpack
import msgspec


class Kind(StrEnum):
    """What sort of act."""

    EXEC = "exec"
    OPEN = "open"
    CONNECT = "connect"
    SEND = "send"
    CREATE = "create"
    TRUNCATE = "truncate"
    DELETE = "delete"
    RENAME = "rename"
    LINK = "link"
    SYMLINK = "symlink"
    CHMOD = "chmod"
    CHOWN = "chown"
    MOUNT = "mount"
    LISTEN = "listen"
    TRACE = "trace"  # reaches into another process: attaches, reads or writes its memory
    IDENTITY = "identity"  # becomes another user or group
    MODULE = "module"
    BPF = "bpf"
    NAMESPACE = "namespace"
    ASK = "ask"  # no process: somebody asks before they do it


# What a process does, and a host can see; an ask is neither.
KINDS_OF_PROCESSES: tuple[Kind, ...] = tuple(kind for kind in Kind if kind is not Kind.ASK)
# Kinds that change which files there are, what is in them, or what their names and modes say.
KINDS_OF_CHANGE: tuple[Kind, ...] = (
    Kind.CREATE,
    Kind.TRUNCATE,
    Kind.DELETE,
    Kind.RENAME,
    Kind.LINK,
    Kind.SYMLINK,
    Kind.CHMOD,
    Kind.CHOWN,
    Kind.MOUNT,
)
# Kinds with no file that a kernel could look up before the act.
KINDS_WITHOUT_FILE: tuple[Kind, ...] = (
    Kind.LISTEN,
    Kind.TRACE,
    Kind.IDENTITY,
    Kind.MODULE,
    Kind.BPF,
    Kind.NAMESPACE,
)


class Guarantee(StrEnum):
    """What the host could promise for an act."""

    HELD = "held"  # stopped before the act
    STOPPED = "stopped"  # after the call, before this process could use its result
    LATE = "late"  # it has happened, in part or whole
    ASKED = "asked"  # whoever asks says that they wait; nothing holds them to it


class Transport(StrEnum):
    """How a connect or a send leaves the process."""

    TCP = "tcp"
    UDP = "udp"
    UNIX = "unix"
    RAW = "raw"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process of the chain from the actor to its first labelled ancestor and beyond.

    `start_ns` is the kernel's boot-clock start time; with `pid` it names a process for good.
    `argv` is from the kernel for the actor's exec, otherwise read once when the hold is made.
    """

    pid: int
    start_ns: int
    comm: str
    uid: int
    argv: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One act of a watched process. Text from the process is hostile: render it only escaped.

    Times are nanoseconds: `time_ns` since the epoch (UTC), `boot_ns` on the host's boot clock.
    Bytes that are not UTF-8 appear as backslash escapes.
    """

    kind: Kind
    guarantee: Guarantee
    time_ns: int
    boot_ns: int
    # who
    subject: str  # name of the watched subject in the host's configuration
    session: str  # "<pid>-<start_ns>" of the first labelled process of the tree
    process: Process
    tid: int
    ancestors: tuple[Process, ...] = ()  # parent first
    gid: int
    user: str = ""  # name of process.uid on the host, empty if it has none
    login_uid: int | None = None  # the audit login id; None for a service
    login_user: str = ""
    # what
    executable: str  # the program that acts; for an exec, the new program
    filename: str = ""  # exec: as the caller named it (a script's own path, for a script)
    argv: tuple[str, ...] = ()  # exec only, committed copy of the kernel
    argv_bytes: int = 0  # exact length of the argument block
    argv_cut: bool = False  # argv holds less than argv_bytes: never read it as if whole
    cwd: str = ""
    environment: dict[str, str] | None = None  # exec only: the few variables that change meaning
    # where: a file or a socket path
    path: str = ""
    path_cut: bool = False
    # False: as the caller wrote it, or as mounts of its own make it; not to be relied on.
    path_resolved: bool = True
    device: int = 0  # as os.stat gives it
    inode: int = 0
    flags: tuple[str, ...] = ()  # open: read, write, append, create, truncate, created, shared
    # where: an address
    transport: Transport | None = None
    address: str = ""
    port: int = 0
    messages: int = 0  # send: how many datagrams the call had sent when it was stopped
    addresses_cut: bool = False  # not all addresses were inspected, or rules have no words for one
    result: int | None = None  # the call's own result, negative errno on failure; None if not over
    # Added since version 1; see _SINCE.
    # rename, link: the new name; symlink: the text that it gets; mount: what is mounted
    second_path: str = ""
    second_path_cut: bool = False
    # What exactly, as the kind says it. create: file, directory, fifo, device, socket; truncate:
    # to N bytes; delete: file, directory; chmod: 0644; chown: 1000:1000, - for what stays;
    # mount: its type and flags, or bind, move, umount; trace: attach, seize, read memory, write
    # memory, access; identity: setuid 0; module: load, load by name; bpf: prog_load;
    # namespace: unshare user,mount
    operation: str = ""
    target: Process | None = None  # trace: the other process


# What stands in for a field that the sender does not know yet: such a field with this value is no
# part of the digest, so that hosts and centres of different versions have the same one.
_SINCE: dict[str, object] = {
    "second_path": "",
    "second_path_cut": False,
    "operation": "",
    "target": None,
}


def act_digest(act: Act) -> str:
    """Return SHA-256 (hex) over the act: what was shown is what is decided and released."""
    fields = msgspec.to_builtins(act)
    for name, default in _SINCE.items():
        if fields[name] == default:
            del fields[name]
    packed: bytes = msgpack.packb(fields, use_bin_type=True)
    return hashlib.sha256(b"holdfast act 1\0" + packed).hexdigest()


def identity(process: Process) -> str:
    """Return "<pid>-<start_ns>", which no later process of this boot shares."""
    return f"{process.pid}-{process.start_ns}"
