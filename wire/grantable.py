"""Which acts a grant may cover at all, as far as the act itself tells. Pure.

The host knows more (see agent/orders/programs.py); what is refused here is refused by both sides.
"""

from wire.acts import Act, Guarantee, Kind, Transport
from wire.wrappers import never_granted

# Longer than any that a centre may be configured to make; a host takes none beyond it.
LONGEST_NS = 24 * 3600 * 1_000_000_000
_UNREPEATABLE = ("shared", "created", "create", "truncate")


def why_never(act: Act) -> str | None:
    """Return why no grant covers this act, None if the act itself is no hindrance."""
    if act.guarantee is Guarantee.LATE:
        return "it has happened in part before it is stopped, so it is never let pass unseen"
    if act.argv_cut or act.path_cut or act.addresses_cut:
        return "it was too long to be seen whole"
    if not act.path_resolved and act.path:
        return "its path is not to be relied on: the process has mounts of its own"
    match act.kind:
        case Kind.EXEC:
            return _program(act)
        case Kind.OPEN:
            return _file(act)
        case Kind.CONNECT | Kind.SEND:
            return _address(act)
        case Kind.ASK:
            return "an approval of an ask is for one use"
        case _:
            return "what it changes cannot be changed back, so each time is decided by itself"


def _program(act: Act) -> str | None:
    for name in (act.executable, act.filename):
        if (reason := never_granted(name)) is not None:
            return f"{name.rpartition('/')[2]}: {reason}"
    if act.environment is None or "(not read)" in act.environment:
        return "its environment could not be read whole"
    return None if act.argv else "it has no arguments, not even a name"


def _file(act: Act) -> str | None:
    if not act.inode:
        return "which file it is, is not known"
    if any(flag in act.flags for flag in _UNREPEATABLE):
        return "it makes or empties the file, or shares it with a process that runs"
    return None


def _address(act: Act) -> str | None:
    if act.transport in (None, Transport.RAW, Transport.OTHER):
        return "where it leads is not an address and a port"
    if act.transport is Transport.UNIX:
        return None if act.inode else "its socket has no file that would name it"
    return None if act.address and act.port else "where it leads is not an address and a port"
