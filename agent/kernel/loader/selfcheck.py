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
_ACT = struct.Struct("<QQQQq10I2H4B16s16sII")
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
_FACTS_BYTES = (
    _ACT.size
    + _PATH
    + 2 * _DIRECTORY
    + _FILENAME
    + _ANCESTORS * _PROCESS.size
    + 16
    + _ENVIRONMENT
    + _ARGV
)
_TAIL = struct.Struct("<IIIIQQ")
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
    at += _ANCESTORS * _PROCESS.size
    argv_total, argv_bytes, environment_total, environment_bytes = struct.unpack_from(
        "<4I", raw, at
    )
    at += 16
    environment = raw[at : at + environment_bytes]
    at += _ENVIRONMENT
    argv = raw[at : at + argv_bytes]
    at += _ARGV
    opened = _text(raw[at : at + _PATH])
    at += _PATH
    reached = _ACT.unpack_from(raw, at)
    at += _ACT.size
    socket_path = _text(raw[at : at + _SHORT])
    in_group, not_in_group, live, mode, _, cgroup = _TAIL.unpack_from(raw, at + _SHORT)
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
        "mode": mode,
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
    """Yield (descriptor, what it must be read as) for each family that this host has."""
    made = []
    try:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        # Not the socket's own address, so that reading that one by mistake shows. Nothing is sent.
        made.append((udp, ("127.0.0.2", 40961, "")))
        udp.connect(("127.0.0.2", 40961))
        with contextlib.suppress(OSError):
            six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            made.append((six, ("127.0.0.3", 40962, "")))
            six.connect(("::ffff:127.0.0.3", 40962))
        server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        server.bind(os.path.join(directory, "socket"))
        unix = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        made.append((unix, ("", 0, os.path.join(directory, "socket"))))
        unix.connect(os.path.join(directory, "socket"))
        made.append((server, None))
        yield [(one.fileno(), expected) for one, expected in made if expected]
    finally:
        for one, _ in made:
            one.close()


def _address(act):
    family, raw = act[20], act[21]
    if family == 4:
        return socket.inet_ntop(socket.AF_INET, raw[:4])
    return socket.inet_ntop(socket.AF_INET6, raw) if family == 6 else ""


def _compare_process(seen):
    """Yield (field, read, expected) of everything about this process."""
    act = seen["act"]
    start, parent = _stat("self")
    yield "task_struct.tgid", act[6], os.getpid()
    yield "task_struct.start_boottime", _ticks(act[1]), start
    yield "cred.euid", act[8], os.geteuid()
    yield "cred.egid", act[9], os.getegid()
    if os.path.exists("/proc/self/loginuid"):
        yield "task_struct.loginuid", act[10], int(_read("/proc/self/loginuid"))
    yield "fs_struct.pwd", seen["directory"], os.getcwd()
    yield "mm_struct.exe_file", seen["program"], os.readlink("/proc/self/exe")
    argv, environment = _read("/proc/self/cmdline"), _read("/proc/self/environ")
    yield "mm_struct.arg_end", seen["argv_total"], len(argv)
    yield "mm_struct.arg_start", seen["argv"], argv[: _ARGV - 1]
    yield "mm_struct.env_end", seen["environment_total"], len(environment)
    yield "mm_struct.env_start", seen["environment"], environment[: _ENVIRONMENT - 1]
    yield "task_struct.real_parent", seen["parent"][1], parent
    if parent:
        yield (
            "task_struct.start_boottime of the parent",
            _ticks(seen["parent"][0]),
            _stat(parent)[0],
        )
        yield (
            "task_struct.comm",
            _text(seen["parent"][3]),
            _text(_read("/proc/%d/comm" % parent).rstrip(b"\n")),
        )
    yield "group_info.gid (a group of ours)", seen["in_group"], 1
    yield "group_info.gid (not a group of ours)", seen["not_in_group"], 0
    yield "signal_struct.live", seen["live"], len(os.listdir("/proc/self/task"))
    cgroup = _cgroup()
    if cgroup is not None:
        yield "bpf_get_current_cgroup_id", seen["cgroup"], cgroup


def _compare_file(seen, path):
    """Yield (field, read, expected) of the file that was open."""
    act, stat = seen["act"], os.stat(path)
    yield "file.f_path, dentry, mount", seen["opened"], path
    yield "inode.i_ino", act[3], stat.st_ino
    yield (
        "super_block.s_dev",
        (act[11] >> 20, act[11] & 0xFFFFF),
        (os.major(stat.st_dev), os.minor(stat.st_dev)),
    )
    yield "file.f_mode", seen["mode"] & 3, 1  # opened for reading only


def _own_groups():
    """Give this process a few more groups, so that the sorted list is worth searching."""
    groups = sorted(set(os.getgroups()) | {40961, 40963, 40965, 40967})
    os.setgroups(groups)
    return 40965, 40966


def differences(program, check_map):
    """Return a line for each reading of `check_offsets` that is not what the system says."""
    wrong = []
    member, stranger = _own_groups()
    with tempfile.TemporaryDirectory(prefix="holdfast-") as directory:
        directory = os.path.realpath(directory)
        path = os.path.join(directory, "opened")
        with open(path, "w"), _sockets(directory) as sockets:
            descriptor = os.open(path, os.O_RDONLY)
            for number, (one, (address, port, socket_path)) in enumerate(sockets):
                kernel.set_element(check_map, 0, bytes(CHECK_BYTES))
                kernel.run_once(program, [descriptor, one, member, stranger])
                seen = _parse(kernel.element(check_map, 0, CHECK_BYTES))
                compared = [
                    ("sock_common.skc_daddr or skc_v6_daddr", _address(seen["reached"]), address),
                    ("sock_common.skc_dport", seen["reached"][16], port),
                    (
                        "unix_sock.peer, path",
                        seen["socket_path"] if socket_path else "",
                        socket_path,
                    ),
                ]
                if number == 0:
                    compared += list(_compare_process(seen)) + list(_compare_file(seen, path))
                wrong += ["%s: read %r, must be %r" % row for row in compared if row[1] != row[2]]
            os.close(descriptor)
    return wrong
