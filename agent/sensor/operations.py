"""What exactly an act does, in the field's own words, from the number in the kernel's record."""

import stat
from collections.abc import Callable

from wire.acts import Kind

_SETID = {1: "setuid", 2: "setgid", 3: "setgroups"}
_BIND, _MOVE, _UNMOUNT, _SETNS = 1 << 32, 1 << 33, 1 << 34, 1 << 32
_UNCHANGED = 0xFFFFFFFF
# MS_* of mount(2).
_MOUNT_FLAGS = {
    1: "ro",
    2: "nosuid",
    4: "nodev",
    8: "noexec",
    32: "remount",
    1 << 14: "rec",
    1 << 17: "unbindable",
    1 << 18: "private",
    1 << 19: "slave",
    1 << 20: "shared",
}
_MS_BIND, _MS_MOVE = 4096, 8192
_NAMESPACES = {
    0x00020000: "mount",
    0x02000000: "cgroup",
    0x04000000: "uts",
    0x08000000: "ipc",
    0x10000000: "user",
    0x20000000: "pid",
    0x40000000: "net",
    0x00000080: "time",
}
_PTRACE = {16: "attach", 0x4206: "seize"}
# Numbers of x86-64: who asks for access by another call than ptrace.
_ACCESS = {310: "read memory", 311: "write memory"}
_BPF = (
    "map_create map_lookup_elem map_update_elem map_delete_elem map_get_next_key prog_load obj_pin "
    "obj_get prog_attach prog_detach prog_test_run prog_get_next_id map_get_next_id "
    "prog_get_fd_by_id map_get_fd_by_id obj_get_info_by_fd prog_query raw_tracepoint_open btf_load "
    "btf_get_fd_by_id task_fd_query map_lookup_and_delete_elem map_freeze btf_get_next_id "
    "map_lookup_batch map_lookup_and_delete_batch map_update_batch map_delete_batch link_create "
    "link_update link_get_fd_by_id link_get_next_id enable_stats iter_create link_detach "
    "prog_bind_map token_create"
).split()
_TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


def _create(number: int, _: str) -> str:
    return _TYPES.get(stat.S_IFMT(number), "file")


def _truncate(number: int, _: str) -> str:
    return f"to {number} bytes"


def _delete(number: int, _: str) -> str:
    return "directory" if number else "file"


def _chmod(number: int, _: str) -> str:
    return f"{number & 0o7777:04o}"


def _chown(number: int, _: str) -> str:
    owners = (number >> 32, number & 0xFFFFFFFF)
    return ":".join("-" if one == _UNCHANGED else str(one) for one in owners)


def _mount(number: int, kind: str) -> str:
    if number & _UNMOUNT:
        return "umount"
    if number & _MOVE or number & _MS_MOVE:
        return "move"
    flags = ",".join(name for bit, name in _MOUNT_FLAGS.items() if number & bit)
    what = "bind" if number & _MS_BIND else kind
    return " ".join(part for part in (what, flags) if part)


def _trace(number: int, _: str) -> str:
    request, call = number >> 32, number & 0xFFFFFFFF
    return _PTRACE.get(request, _ACCESS.get(call, "access"))


def _identity(number: int, _: str) -> str:
    what = _SETID.get(number >> 32, "setuid")
    return what if what == "setgroups" else f"{what} {number & 0xFFFFFFFF}"


def _module(number: int, _: str) -> str:
    return "load by name" if number else "load"


def _bpf(number: int, _: str) -> str:
    return _BPF[number] if number < len(_BPF) else f"command {number}"


def _namespace(number: int, _: str) -> str:
    call = "setns" if number & _SETNS else "unshare"
    names = ",".join(name for bit, name in _NAMESPACES.items() if number & bit)
    return f"{call} {names}".strip()


_WORDS: dict[Kind, Callable[[int, str], str]] = {
    Kind.CREATE: _create,
    Kind.TRUNCATE: _truncate,
    Kind.DELETE: _delete,
    Kind.CHMOD: _chmod,
    Kind.CHOWN: _chown,
    Kind.MOUNT: _mount,
    Kind.TRACE: _trace,
    Kind.IDENTITY: _identity,
    Kind.MODULE: _module,
    Kind.BPF: _bpf,
    Kind.NAMESPACE: _namespace,
}


def operation(kind: Kind, number: int, mounted: str = "") -> str:
    """Return what an act of a kind does exactly; `mounted` is the type of a file system."""
    words = _WORDS.get(kind)
    return words(number, mounted) if words is not None else ""
