"""Orders of the centre to one host: a grant, a quarantine, and the end of either. Signed.

A grant says which later acts need no question; how an act is compared with one is here too, so that
host and centre can mean the same by it.
"""

from dataclasses import dataclass
from typing import ClassVar

from wire.acts import Act, Kind, Transport
from wire.ids import HostId, OrderId, RequestId


@dataclass(frozen=True, slots=True, kw_only=True)
class FileState:
    """A file as it is at one moment: a later write changes at least one of these.

    `changed_ns` is its ctime, which nobody but root can set back.
    """

    device: int
    inode: int
    size: int
    changed_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """Everything of an act that an act covered by the same grant must have too, to the letter.

    `program` is the state of an exec's new program, None for other acts. Session and subject are
    the grant's own.
    """

    kind: Kind
    rule: str  # an act that another rule asks about is another act
    uid: int
    gid: int
    executable: str = ""
    program: FileState | None = None
    argv: tuple[str, ...] = ()
    cwd: str = ""
    environment: dict[str, str] | None = None
    path: str = ""
    device: int = 0
    inode: int = 0
    flags: tuple[str, ...] = ()
    transport: Transport | None = None
    address: str = ""
    port: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A decision that also covers later acts: so many, on one host, of one session, for a while.

    `session` empty: of any session of the subject. Both clocks bound it, whichever ends it first;
    it ends with the boot in any case, since what it names (sessions, files) is of that boot.
    """

    type: ClassVar[str] = "order.grant"

    order: OrderId
    host: HostId
    subject: str
    session: str
    covers: Covered
    uses: int
    boot_id: str
    expires_boot_ns: int  # on the host's boot clock
    expires_ns: int  # since the epoch
    request: RequestId  # the request that was approved with it
    by: str
    via: str
    reason: str
    time_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantRevoked:
    """A grant covers nothing from now on; it counts also if it comes before the grant."""

    type: ClassVar[str] = "order.grant_revoked"

    order: OrderId
    host: HostId
    grant: OrderId
    by: str
    via: str
    reason: str
    time_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """A subject does nothing on this host until that is lifted. `everywhere`: on no host at all.

    Orders with the same `quarantine` are one action of one person.
    """

    type: ClassVar[str] = "order.quarantine"

    order: OrderId
    host: HostId
    quarantine: OrderId
    subject: str
    everywhere: bool
    by: str
    via: str
    reason: str
    time_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineLifted:
    """A quarantine is over on this host; it counts also if it comes before the quarantine."""

    type: ClassVar[str] = "order.quarantine_lifted"

    order: OrderId
    host: HostId
    quarantine: OrderId
    by: str
    via: str
    reason: str
    time_ns: int


Order = Grant | GrantRevoked | Quarantine | QuarantineLifted


def covered(act: Act, rule: str, program: FileState | None) -> Covered:
    """Return what a grant for this act covers; two acts are the same to a grant if these are equal.

    `rule` asked about the act, and `program` is the state of an exec's new program.
    """
    is_exec = act.kind is Kind.EXEC
    return Covered(
        kind=act.kind,
        rule=rule,
        uid=act.process.uid,
        gid=act.gid,
        executable=act.executable if is_exec else "",
        program=program if is_exec else None,
        argv=act.argv,
        cwd=act.cwd if is_exec else "",
        environment=act.environment,
        path=act.path,
        device=act.device,
        inode=act.inode,
        flags=act.flags,
        transport=act.transport,
        address=act.address,
        port=act.port,
    )
