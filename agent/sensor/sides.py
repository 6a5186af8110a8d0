"""Which programs a mode has, what they are attached to, and which kinds of act need which."""

from collections.abc import Mapping
from dataclasses import dataclass

from wire.acts import KINDS_OF_PROCESSES, Kind

_ALL = frozenset(KINDS_OF_PROCESSES)
FOR_CGROUPS = {"on_cgroup_mkdir": "cgroup_mkdir", "on_cgroup_rmdir": "cgroup_rmdir"}
# Beside whatever else is there: every process pays for it, but only while a quarantine is in force.
FOR_QUARANTINE = {"on_quarantine_return": "sys_exit"}


@dataclass(frozen=True, slots=True)
class Side:
    """The programs of one mode. `name` is what the loader calls them.

    `by_kind` are those that are attached while a rule is about one of the kinds, with the
    tracepoint, or none for a program that knows its function itself. `one_for_both`: where all of
    these are needed, the last one is attached alone and does for them.
    """

    name: str
    by_kind: Mapping[str, tuple[str | None, frozenset[Kind]]]
    one_for_both: tuple[frozenset[str], str] | None = None

    def needed(
        self, kinds: frozenset[Kind], *, cgroups: bool, quarantine: bool = False
    ) -> dict[str, str | None]:
        """Return the programs that are needed beside the constant ones, each with its place."""
        found = {name: place for name, (place, wanted) in self.by_kind.items() if wanted & kinds}
        if self.one_for_both is not None:
            several, one = self.one_for_both
            if found.keys() >= several:
                found = {name: place for name, place in found.items() if name not in several}
                found[one] = "sys_exit"
        return {
            **found,
            **(FOR_CGROUPS if cgroups else {}),
            **(FOR_QUARANTINE if quarantine else {}),
        }

    def optional(self) -> frozenset[str]:
        """Return every program that is attached at some times and not at others."""
        both = {self.one_for_both[1]} if self.one_for_both is not None else set()
        return frozenset({*self.by_kind, *both, *FOR_CGROUPS, *FOR_QUARANTINE})


# Any system call tracepoint costs every process of the host about 90 ns a call, so none stays that
# is not needed, and of programs on one tracepoint each costs every call.
STOP = Side(
    "stop",
    {
        "on_open_return": ("sys_exit", frozenset({Kind.OPEN})),
        "on_network_return": ("sys_exit", frozenset({Kind.CONNECT, Kind.SEND})),
        "on_socket_state": ("inet_sock_set_state", frozenset({Kind.CONNECT})),
    },
    (frozenset({"on_open_return", "on_network_return"}), "on_call_return"),
)

_NETWORK = frozenset({Kind.CONNECT, Kind.SEND})
_GATES: dict[str, frozenset[Kind]] = {
    # It also sees to it that a script is read as it was shown.
    "gate_file_open": frozenset({Kind.OPEN, Kind.TRUNCATE, Kind.EXEC}),
    "gate_bprm_check": frozenset({Kind.EXEC}),
    "gate_path_mknod": frozenset({Kind.CREATE}),
    "gate_path_mkdir": frozenset({Kind.CREATE}),
    "gate_path_truncate": frozenset({Kind.TRUNCATE}),
    "gate_file_truncate": frozenset({Kind.TRUNCATE}),
    "gate_path_unlink": frozenset({Kind.DELETE}),
    "gate_path_rmdir": frozenset({Kind.DELETE}),
    "gate_path_rename": frozenset({Kind.RENAME}),
    "gate_path_link": frozenset({Kind.LINK}),
    "gate_path_symlink": frozenset({Kind.SYMLINK}),
    "gate_path_chmod": frozenset({Kind.CHMOD}),
    "gate_path_chown": frozenset({Kind.CHOWN}),
    "gate_sb_mount": frozenset({Kind.MOUNT}),
    "gate_move_mount": frozenset({Kind.MOUNT}),
    "gate_sb_umount": frozenset({Kind.MOUNT}),
    "gate_socket_connect": _NETWORK,
    "gate_socket_sendmsg": _NETWORK,
    "gate_unix_stream_connect": _NETWORK,
    "gate_unix_may_send": _NETWORK,
    "gate_socket_listen": frozenset({Kind.LISTEN}),
    "gate_task_fix_setuid": frozenset({Kind.IDENTITY}),
    "gate_task_fix_setgid": frozenset({Kind.IDENTITY}),
    "gate_task_fix_setgroups": frozenset({Kind.IDENTITY}),
    "gate_kernel_read_file": frozenset({Kind.MODULE}),
    "gate_kernel_load_data": frozenset({Kind.MODULE}),
    "gate_kernel_module_request": frozenset({Kind.MODULE}),
    "gate_bpf": frozenset({Kind.BPF}),
    "gate_userns_create": frozenset({Kind.NAMESPACE}),
    # Two ways to see that a ring is made; whichever kinds are held, a ring would get round it.
    "gate_inode_init_security_anon": _ALL,
    "gate_socket_create": _ALL,
}
RINGS = ("gate_inode_init_security_anon", "gate_socket_create")
# Programs without which a kind cannot be held; a kernel may lack them.
ESSENTIAL: dict[Kind, frozenset[str]] = {
    Kind.CREATE: frozenset({"gate_path_mknod", "gate_path_mkdir"}),
    Kind.TRUNCATE: frozenset({"gate_path_truncate"}),
    Kind.DELETE: frozenset({"gate_path_unlink", "gate_path_rmdir"}),
    Kind.RENAME: frozenset({"gate_path_rename"}),
    Kind.LINK: frozenset({"gate_path_link"}),
    Kind.SYMLINK: frozenset({"gate_path_symlink"}),
    Kind.CHMOD: frozenset({"gate_path_chmod"}),
    Kind.CHOWN: frozenset({"gate_path_chown"}),
    Kind.MOUNT: frozenset({"gate_sb_mount"}),
    Kind.CONNECT: frozenset({"gate_socket_connect", "gate_unix_stream_connect"}),
    Kind.SEND: frozenset({"gate_socket_sendmsg", "gate_unix_may_send"}),
    Kind.LISTEN: frozenset({"gate_socket_listen"}),
    Kind.IDENTITY: frozenset({"gate_task_fix_setuid"}),
    Kind.MODULE: frozenset({"gate_kernel_read_file"}),
    Kind.BPF: frozenset({"gate_bpf"}),
    Kind.NAMESPACE: frozenset({"gate_userns_create"}),
}

_BY_KIND: dict[str, tuple[str | None, frozenset[Kind]]] = {
    name: (None, kinds) for name, kinds in _GATES.items()
}
LSM = Side("lsm", _BY_KIND)
FMOD_RET = Side("fmod_ret", _BY_KIND)
