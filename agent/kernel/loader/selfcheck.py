"""Compare what the compiled programs read of this very process with the system's own answers.

Runs before anything is attached. A field read at a wrong place, for whatever reason, ends the load
with the names of what differs, instead of filling the trail with nonsense.
"""

import contextlib
import os
import socket
import struct
import tempfile

import kernel

# The layout of struct act, struct facts and struct check in programs/records.h and selfcheck.h.
_ACT = struct.Struct("<QQQq6I16sQ4I2H4B16sIIQ")
_PATH, _DIRECTORY, _FILENAME, _ARGV, _ENVIRONMENT, _ANCESTORS, _SHORT = (
    1024,
    512,
    256,
    4096,
    4096,
    12,
    256,
)
_PROCESS = struct.Struct("<QII16s")
_IDENTITY = 8 + 1384
_FACTS_BYTES = (
    _ACT.size
    + _PATH
    + 2 * _DIRECTORY
    + _FILENAME
    + _ANCESTORS * _PROCESS.size
    + _PROCESS.size
    + 16
    + _ENVIRONMENT
    + _ARGV
    + _IDENTITY
)
_TAIL = struct.Struct("<8IQ4I")
CHECK_BYTES = _FACTS_BYTES + _PATH + _ACT.size + _SHORT + _TAIL.size


def _text(raw):
    return raw.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


def _parse(raw):
    """Return the parts of struct check by name."""
    act = _ACT.unpack_from(raw)
    at = _ACT.size + _PATH
    program = _text(raw[at : at + _DIRECTORY])
    at += _DIRECTORY + _FILENAME
    directory = _text(raw[at : at + _DIRECTORY])
    at += _DIRECTORY
    parent = _PROCESS.unpack_from(raw, at)
    at += _ANCESTORS * _PROCESS.size + _PROCESS.size
    argv_total, argv_bytes, environment_total, environment_bytes = struct.unpack_from(
        "<4I", raw, at
    )
    at += 16
    environment = raw[at : at + environment_bytes]
    at += _ENVIRONMENT
    argv = raw[at : at + argv_bytes]
    at += _ARGV + _IDENTITY
    opened = _text(raw[at : at + _PATH])
    at += _PATH
    reached = _ACT.unpack_from(raw, at)
    at += _ACT.size
    socket_path = _text(raw[at : at + _SHORT])
    tail = _TAIL.unpack_from(raw, at + _SHORT)
    in_group, not_in_group, live, mode, uid, gid, flags, state, cgroup = tail[:9]
    mount_namespace, shares_descriptors, threads = tail[9:12]
    return {
        "act": act,
        "program": program,
        "directory": directory,
        "parent": parent,
        "argv": argv,
        "argv_total": argv_total,
        "environment": environment,
        "environment_total": environment_total,
        "opened": opened,
        "reached": reached,
        "socket_path": socket_path,
        "in_group": in_group,
        "not_in_group": not_in_group,
        "live": live,
        "mount_namespace": mount_namespace,
        "shares_descriptors": shares_descriptors,
        "threads": threads,
        "mode": mode,
        "uid": uid,
        "gid": gid,
        "flags": flags,
        "state": state,
        "cgroup": cgroup,
    }


def _ticks(nanoseconds):
    return nanoseconds * os.sysconf("SC_CLK_TCK") // 1000000000


def _stat(pid):
    """Return (start time in ticks since boot, parent) from /proc/PID/stat."""
    with open("/proc/%s/stat" % pid) as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return int(fields[19]), int(fields[1])


def _read(path):
    with open(path, "rb") as file:
        return file.read()


def _cgroup():
    """Return the id of this process's cgroup v2, or None if there is none to compare with."""
    with open("/proc/self/cgroup") as file:
        own = [line[3:].strip() for line in file if line.startswith("0::")]
    with open("/proc/self/mounts") as file:
        mounts = [line.split()[1] for line in file if line.split()[2] == "cgroup2"]
    if not own or not mounts:
        return None
    try:
        return os.stat(mounts[0] + own[0]).st_ino
    except OSError:
        return None


@contextlib.contextmanager
def _sockets(directory):
    """Yield (socket, address, port, path, inode), as each must be read, of every family here."""
    made = []

    def new(family):
        made.append(socket.socket(family, socket.SOCK_DGRAM))
        return made[-1]

    try:
        # Not the socket's own address, so that reading that one by mistake shows. Nothing is sent.
        udp = new(socket.AF_INET)
        udp.connect(("127.0.0.2", 40961))
        found = [(udp, "127.0.0.2", 40961, "", 0)]
        with contextlib.suppress(OSError):
            six = new(socket.AF_INET6)
            six.connect(("::ffff:127.0.0.3", 40962))
            found.append((six, "127.0.0.3", 40962, "", 0))
        path = os.path.join(directory, "socket")
        abstract = "@" + directory
        for name, told in ((path, path), ("\0" + directory, abstract)):
            new(socket.AF_UNIX).bind(name)
            unix = new(socket.AF_UNIX)
            unix.connect(name)
            found.append((unix, "", 0, told, os.stat(path).st_ino if told == path else 0))
        yield found
    finally:
        for one in made:
            one.close()


def _address(act):
    family, raw = act[21], act[22]
    if family == 4:
        return socket.inet_ntop(socket.AF_INET, raw[:4])
    return socket.inet_ntop(socket.AF_INET6, raw) if family == 6 else ""


# What is read on the way to something, for the message.
_DESCRIPTOR = "task_struct.files, files_struct.fdt, fdtable.max_fds, fdtable.fd"
_SOCKET = _DESCRIPTOR + ", file.f_inode, inode.i_mode, file.private_data, socket.sk, skc_family"
_WALK = (
    "path.dentry, path.mnt, dentry.d_parent, dentry.d_name, qstr.len, qstr.name, "
    "vfsmount.mnt_root, mount.mnt, mount.mnt_parent, mount.mnt_mountpoint"
)


def _compare_socket(seen, address, port, path, inode):
    """Yield (field, through, read, expected) of a connected socket."""
    act = seen["reached"]
    yield "sock_common.skc_daddr, skc_v6_daddr", _SOCKET, _address(act), address
    yield "sock_common.skc_dport", _SOCKET, act[17], port
    if not path:  # before 5.15 a connected datagram socket of a path is still called closed
        yield "sock_common.skc_state", _SOCKET, seen["state"], 1  # connected
    yield "socket.type", _SOCKET, act[20], 3 if path else 2  # unix, udp
    through = "%s, unix_sock.addr, unix_address.len, unix_address.name, %s" % (_SOCKET, _WALK)
    yield "unix_sock.peer, path", through, seen["socket_path"] if path else "", path
    yield "dentry.d_inode", _SOCKET + ", unix_sock.path", act[11], inode


def _compare_process(seen):
    """Yield (field, through, read, expected) of everything about this process."""
    act = seen["act"]
    start, parent = _stat("self")
    leader = "task_struct.group_leader"
    yield "task_struct.start_boottime", leader, _ticks(act[1]), start
    yield "cred.uid", "task_struct.cred", seen["uid"], os.getuid()
    yield "cred.gid", "task_struct.cred", seen["gid"], os.getgid()
    yield "cred.euid", "task_struct.cred", act[7], os.geteuid()
    yield "cred.egid", "task_struct.cred", act[8], os.getegid()
    if os.path.exists("/proc/self/loginuid"):
        yield "task_struct.loginuid", "", act[9], int(_read("/proc/self/loginuid"))
    yield "fs_struct.pwd", "task_struct.fs, " + _WALK, seen["directory"], os.getcwd()
    program = os.readlink("/proc/self/exe")
    yield "mm_struct.exe_file", "task_struct.mm, file.f_path, " + _WALK, seen["program"], program
    argv, environment = _read("/proc/self/cmdline"), _read("/proc/self/environ")
    yield "mm_struct.arg_end", "task_struct.mm", seen["argv_total"], len(argv)
    yield "mm_struct.arg_start", "task_struct.mm", seen["argv"], argv[: _ARGV - 1]
    yield "mm_struct.env_end", "task_struct.mm", seen["environment_total"], len(environment)
    kept = environment[: _ENVIRONMENT - 1]
    yield "mm_struct.env_start", "task_struct.mm", seen["environment"], kept
    yield "task_struct.real_parent, tgid", leader, seen["parent"][1], parent
    if parent:
        started = _ticks(seen["parent"][0])
        yield "task_struct.start_boottime of the parent", leader, started, _stat(parent)[0]
        comm = _text(_read("/proc/%d/comm" % parent).rstrip(b"\n"))
        yield "task_struct.comm", leader, _text(seen["parent"][3]), comm
    threads = len(os.listdir("/proc/self/task"))
    yield "signal_struct.live", "task_struct.signal", seen["live"], threads
    yield "signal_struct.nr_threads", "task_struct.signal", seen["threads"], threads
    shared = seen["shares_descriptors"]
    yield "files_struct.count", "task_struct.files, signal_struct.nr_threads", shared, 0
    number = os.stat("/proc/self/ns/mnt").st_ino
    way = "task_struct.nsproxy, nsproxy.mnt_ns, mnt_namespace.ns"
    yield "ns_common.inum", way, seen["mount_namespace"], number
    cgroup = _cgroup()
    if cgroup is not None:
        # By the kernel's own helper, or, before 6.1, by its fields.
        way = "task_struct.cgroups, css_set.dfl_cgrp, cgroup.level"
        yield "cgroup.ancestor_ids", way, seen["cgroup"], cgroup


def _compare_file(seen, path):
    """Yield (field, through, read, expected) of the file that was open."""
    act, stat = seen["act"], os.stat(path)
    yield "file.f_path", "%s, %s" % (_DESCRIPTOR, _WALK), seen["opened"], path
    yield "inode.i_ino", _DESCRIPTOR + ", file.f_inode", act[11], stat.st_ino
    device = (os.major(stat.st_dev), os.minor(stat.st_dev))
    yield "super_block.s_dev", "inode.i_sb", (act[12] >> 20, act[12] & 0xFFFFF), device
    yield "file.f_mode", _DESCRIPTOR, seen["mode"] & 3, 1  # opened for reading only
    flags = seen["flags"] & (os.O_ACCMODE | os.O_APPEND)
    yield "file.f_flags", _DESCRIPTOR, flags, os.O_APPEND


def _compare_groups(seen):
    """Yield (field, through, read, expected) of the search in the list of groups."""
    through = "task_struct.cred, cred.group_info, group_info.ngroups"
    yield "group_info.gid (a group of ours)", through, seen["in_group"], 1
    yield "group_info.gid (not a group of ours)", through, seen["not_in_group"], 0


# The first and the last count: an offset that is wrong by one entry would miss one of them.
_GROUPS = (40961, 40963, 40965, 40967)
_NOT_OURS = 40964


@contextlib.contextmanager
def _identity():
    """Have ids that all differ, and a sorted list of groups that is worth searching.

    Root has the same number everywhere, which would look right wherever it is read. The effective
    user stays, and with it the right to load.
    """
    groups = os.getgroups()
    os.setgroups(_GROUPS)
    os.setresgid(40971, 40972, 40973)
    os.setresuid(40974, -1, 40975)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups(groups)


def differences(program, check_map):
    """Return a line for each reading of `check_offsets` that is not what the system says."""
    rows = []
    # On a plain file system: btrfs gives other device numbers to os.stat than the kernel uses.
    place = os.environ.get("TMPDIR") or ("/run" if os.path.isdir("/run") else None)
    with tempfile.TemporaryDirectory(prefix="holdfast-", dir=place) as directory, _identity():
        directory = os.path.realpath(directory)
        path = os.path.join(directory, "opened")
        with open(path, "w"), _sockets(directory) as sockets:
            descriptor = os.open(path, os.O_RDONLY | os.O_APPEND)
            for number, (one, *expected) in enumerate(sockets):
                member = _GROUPS[0] if number % 2 else _GROUPS[-1]
                kernel.set_element(check_map, 0, bytes(CHECK_BYTES))
                kernel.run_once(program, [descriptor, one.fileno(), member, _NOT_OURS])
                seen = _parse(kernel.element(check_map, 0, CHECK_BYTES))
                rows += _compare_socket(seen, *expected)
                rows += _compare_groups(seen)
            rows += _compare_process(seen)
            rows += _compare_file(seen, path)
            os.close(descriptor)
    # Each once, though it may be wrong for every socket.
    wrong = {row[0]: row for row in rows if row[2] != row[3]}
    return [_line(*row) for row in wrong.values()]


def _line(field, through, read, expected):
    by = " (by way of %s)" % through if through else ""
    return "%s%s: read %r, must be %r" % (field, by, read, expected)
