"""What sorts of events there are. Apart, since a command line must start fast."""

from enum import StrEnum


class EventKind(StrEnum):
    """What sort of event: an act of a process by its kind, or what the host itself says."""

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
    TRACE = "trace"
    IDENTITY = "identity"
    MODULE = "module"
    BPF = "bpf"
    NAMESPACE = "namespace"
    GAP = "gap"
    NOTICE = "notice"
