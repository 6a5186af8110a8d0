"""What an act is aimed at, as one text: the command, the file, the address, the other process.

It is as the process has it, and hostile: render it only escaped. The trail's view `requests` says
the same in SQL.
"""

from wire.acts import Act, Kind

_NOBODY = "a process that is not known"


def target(act: Act) -> str:
    """Return what the act is aimed at, with what is done to it where its kind does not say that."""
    match act.kind:
        case Kind.EXEC:
            return " ".join(act.argv) or act.executable
        case Kind.ASK:
            return f"{act.executable} on {act.path}"
        case Kind.OPEN:
            return act.path
        case Kind.CONNECT | Kind.SEND | Kind.LISTEN:
            return act.path or f"{act.address} port {act.port}"
        case Kind.CREATE | Kind.DELETE:
            plain = act.operation in ("", "file")
            return act.path if plain else f"{act.path} ({act.operation})"
        case Kind.TRUNCATE:
            return f"{act.path} {act.operation}".rstrip()
        case Kind.RENAME | Kind.LINK | Kind.SYMLINK:
            return f"{act.path} -> {act.second_path}"
        case Kind.CHMOD | Kind.CHOWN:
            return f"{act.path} to {act.operation}"
        case Kind.MOUNT:
            source = f"{act.second_path} -> " if act.second_path else ""
            return f"{source}{act.path} ({act.operation})"
        case Kind.TRACE:
            other = f"{act.target.comm} (pid {act.target.pid})" if act.target else _NOBODY
            return f"{other}: {act.operation}"
        case Kind.MODULE:
            return f"{act.operation} {act.path}".rstrip()
        case Kind.IDENTITY | Kind.BPF | Kind.NAMESPACE:
            return act.operation
