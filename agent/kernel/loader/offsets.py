"""Which kernel fields the programs read, and the header that tells the compiler where they are."""

from btf import BtfError

# (structure, fields). A field that is read through a pointer of 8 bytes, or whole, is checked for
# its size again by the compiler, where it is read.
_FIELDS = (
    (
        "task_struct",
        "tgid group_leader start_boottime real_parent cred comm mm fs files signal thread_info "
        "nsproxy ptrace parent stack flags real_cred",
    ),
    ("thread_info", "status"),
    ("cred", "uid euid suid gid egid sgid group_info"),
    ("group_info", "ngroups gid"),
    ("signal_struct", "live nr_threads"),
    ("mm_struct", "arg_start arg_end env_start env_end exe_file"),
    ("fs_struct", "pwd"),
    ("path", "dentry mnt"),
    ("dentry", "d_parent d_name d_inode"),
    ("qstr", "len name"),
    ("vfsmount", "mnt_root"),
    ("mount", "mnt mnt_parent mnt_mountpoint"),
    ("inode", "i_ino i_sb i_mode i_generation i_size"),
    ("super_block", "s_dev"),
    ("files_struct", "fdt count"),
    ("fdtable", "max_fds fd"),
    ("file", "f_path f_inode f_mode f_flags private_data"),
    ("linux_binprm", "file filename interp"),
    ("socket", "type sk"),
    (
        "sock_common",
        "skc_family skc_state skc_dport skc_daddr skc_v6_daddr skc_num skc_rcv_saddr "
        "skc_v6_rcv_saddr",
    ),
    ("msghdr", "msg_name msg_namelen msg_flags"),
    ("tcp_sock", "fastopen_req"),
    ("unix_sock", "addr path peer"),
    ("unix_address", "len name"),
    ("cgroup", "root kn"),
    ("cgroup_root", "hierarchy_id"),
    ("kernfs_node", "id"),
    ("nsproxy", "mnt_ns"),
    ("mnt_namespace", "ns"),
    ("ns_common", "inum"),
    ("kernel_siginfo", "si_code"),
    ("pt_regs", "orig_ax di si dx r8 r9 bx cx bp"),
)
# Without CONFIG_AUDIT nobody has a login id; the time of a change has had three names. From 6.1 on
# a cgroup has pointers to those above it; a helper goes by them.
_OPTIONAL = (
    ("task_struct", "loginuid"),
    ("inode", "i_ctime"),
    ("inode", "__i_ctime"),
    ("inode", "i_ctime_sec"),
    ("inode", "i_ctime_nsec"),
    ("task_struct", "cgroups"),
    ("css_set", "dfl_cgrp"),
    ("cgroup", "level"),
    ("cgroup", "ancestor_ids"),
)
# What a task's kernel stack has; read only where no helper gives the registers at its top.
_STACK_BYTES = 16384

# System calls by name; the agent runs where these numbers are the kernel's.
SYSTEM_CALLS = {
    "x86_64": {
        "open": 2,
        "connect": 42,
        "ptrace": 101,
        "sendto": 44,
        "sendmsg": 46,
        "truncate": 76,
        "ftruncate": 77,
        "creat": 85,
        "openat": 257,
        "unshare": 272,
        "open_by_handle_at": 304,
        "sendmmsg": 307,
        "io_uring_setup": 425,
        "io_uring_enter": 426,
        "openat2": 437,
    }
}
# The same for 32-bit programs on such a kernel.
OLD_SYSTEM_CALLS = {
    "x86_64": {
        "open": 5,
        "creat": 8,
        "truncate": 92,
        "ftruncate": 93,
        "ptrace": 26,
        "socketcall": 102,
        "openat": 295,
        "open_by_handle_at": 342,
        "sendmmsg": 345,
        "connect": 362,
        "sendto": 369,
        "sendmsg": 370,
        "io_uring_setup": 425,
        "io_uring_enter": 426,
        "openat2": 437,
    }
}


# Added to the number of a kernel function where the programs call one, until the image is made.
KERNEL_FUNCTION = 0x40000000
_CAST = "bpf_rdonly_cast"


def header(btf, machine, shift=None, direct=True):
    """Return definitions OFF_*, SIZE_*, BTF_*, NR_* and OLD_NR_*; raise BtfError naming what lacks.

    With `direct`, programs read kernel memory without a helper's call where the kernel offers that.

    `shift` ("structure.field=bytes") moves one offset: tests use it to prove that a wrong one is
    found before anything is attached.
    """
    if machine not in SYSTEM_CALLS:
        raise BtfError(
            "machine %s is not supported; only %s is" % (machine, ", ".join(SYSTEM_CALLS))
        )
    lines = []
    missing = []
    moved, _, by = (shift or "").partition("=")
    for structure, fields in _FIELDS:
        lines.append("#define BTF_%s %d" % (structure, btf.structure(structure) or 0))
        for field in fields.split():
            found = btf.field(structure, field)
            if found is None:
                missing.append("%s.%s" % (structure, field))
            else:
                extra = int(by) if moved == "%s.%s" % (structure, field) else 0
                lines += _define(structure, field, (found[0] + extra, found[1]))
    cast = btf.function(_CAST) if direct else None
    if cast:
        lines.append("#define KERNEL_CAST %d" % (KERNEL_FUNCTION | cast))
    if missing:
        raise BtfError("this kernel's BTF has no %s, which is read" % ", ".join(missing))
    for structure, field in _OPTIONAL:
        found = btf.field(structure, field)
        if found:
            lines += _define(structure, field, found)
    lines.append("#define SIZEOF_pt_regs %d" % (btf.size("pt_regs") or 0))
    lines.append("#define STACK_BYTES %d" % _STACK_BYTES)
    if btf.function("bpf_task_pt_regs"):
        lines.append("#define HAS_TASK_REGISTERS 1")
    for prefix, calls in (("", SYSTEM_CALLS), ("OLD_", OLD_SYSTEM_CALLS)):
        lines += ["#define %sNR_%s %d" % (prefix, *pair) for pair in sorted(calls[machine].items())]
    return "\n".join(lines) + "\n"


def _define(structure, field, found):
    return [
        "#define OFF_%s__%s %d" % (structure, field, found[0]),
        "#define SIZE_%s__%s %d" % (structure, field, found[1]),
    ]
