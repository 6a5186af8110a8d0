"""bpf(2) by ctypes: make maps, load, pin, attach, run once. Standard library only."""

import collections
import ctypes
import os
import struct

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long
_BPF = {"x86_64": 321, "aarch64": 280}
_ATTRIBUTE_BYTES = 128
MAP_CREATE, MAP_LOOKUP, MAP_UPDATE, PROG_LOAD, OBJ_PIN, OBJ_GET = 0, 1, 2, 5, 6, 7
TEST_RUN, OBJ_INFO, RAW_TRACEPOINT_OPEN = 10, 15, 17
_LOG_BYTES = 1 << 24

# What a program is to the kernel: its type, how it is attached, and whether it names a function.
Sort = collections.namedtuple("Sort", "type attach of_function")
RAW_TRACEPOINT = Sort(17, 0, False)
FEXIT = Sort(26, 25, True)
MODIFY_RETURN = Sort(26, 26, True)
LSM = Sort(29, 27, True)


def bpf(command, attribute):
    """Call bpf(2); return its result or raise OSError."""
    buffer = ctypes.create_string_buffer(attribute.ljust(_ATTRIBUTE_BYTES, b"\0"), _ATTRIBUTE_BYTES)
    result = _LIBC.syscall(_BPF[os.uname().machine], command, buffer, _ATTRIBUTE_BYTES)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def pin(descriptor, path):
    """Pin a map, program or link, so that it outlives this process."""
    text = ctypes.create_string_buffer(path.encode())
    bpf(OBJ_PIN, struct.pack("<QII", ctypes.addressof(text), descriptor, 0))


def open_pinned(path):
    """Return a descriptor of what is pinned at `path`."""
    text = ctypes.create_string_buffer(path.encode())
    return bpf(OBJ_GET, struct.pack("<QII", ctypes.addressof(text), 0, 0))


def attach_raw_tracepoint(program, name):
    """Attach a program to a raw tracepoint; return the descriptor of the link."""
    text = ctypes.create_string_buffer(name.encode())
    return bpf(RAW_TRACEPOINT_OPEN, struct.pack("<QII", ctypes.addressof(text), program, 0))


def attach_to_function(program):
    """Attach a program to the function that it was loaded for; return the link's descriptor."""
    return bpf(RAW_TRACEPOINT_OPEN, struct.pack("<QII", 0, program, 0))


def program_tag(program):
    """Return the kernel's digest of a program's instructions, which maps they name left out."""
    info = ctypes.create_string_buffer(16)
    bpf(OBJ_INFO, struct.pack("<IIQ", program, len(info), ctypes.addressof(info)))
    return info.raw[8:16]


def run_once(program, arguments):
    """Run a raw tracepoint program in this process with `arguments` (integers) as its own."""
    context = ctypes.create_string_buffer(struct.pack("<%dQ" % len(arguments), *arguments))
    size = 8 * len(arguments)
    bpf(
        TEST_RUN,
        struct.pack(
            "<IIIIQQIIIIQQ", program, 0, 0, 0, 0, 0, 0, 0, size, 0, ctypes.addressof(context), 0
        ),
    )


def element(map_descriptor, index, size):
    """Return the value (bytes) at `index` of an array map whose values have `size` bytes."""
    key = ctypes.create_string_buffer(struct.pack("<I", index))
    value = ctypes.create_string_buffer(size)
    bpf(
        MAP_LOOKUP,
        struct.pack("<IIQQQ", map_descriptor, 0, ctypes.addressof(key), ctypes.addressof(value), 0),
    )
    return value.raw


def set_element(map_descriptor, index, value):
    """Store `value` (bytes) at `index` of an array map."""
    key = ctypes.create_string_buffer(struct.pack("<I", index))
    buffer = ctypes.create_string_buffer(value)
    bpf(
        MAP_UPDATE,
        struct.pack(
            "<IIQQQ", map_descriptor, 0, ctypes.addressof(key), ctypes.addressof(buffer), 0
        ),
    )


def memory(address, size):
    """Return `size` bytes at an address of this process."""
    return ctypes.string_at(address, size)


def map_shape(descriptor):
    """Return [type, key bytes, value bytes, entries, flags] of a map."""
    info = ctypes.create_string_buffer(88)
    bpf(OBJ_INFO, struct.pack("<IIQ", descriptor, len(info), ctypes.addressof(info)))
    kind, _, key_bytes, value_bytes, entries, flags = struct.unpack_from("<6I", info.raw)
    return [kind, key_bytes, value_bytes, entries, flags]


def create_map(name, shape):
    """Make a map of this shape; return its descriptor."""
    kind, key_bytes, value_bytes, entries, flags = shape
    head = struct.pack("<7I", kind, key_bytes, value_bytes, entries, flags, 0, 0)
    return bpf(MAP_CREATE, head + name.encode()[:15].ljust(16, b"\0"))


class VerifierError(Exception):
    """The kernel does not take a program; its text ends with what the verifier said last."""


def load_program(name, code, sort=RAW_TRACEPOINT, function=0):
    """Load a program; return its descriptor or raise VerifierError.

    `function` is the number, in the kernel's BTF, of the function that it is for.
    """
    instructions = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(b"GPL")

    def load(log):
        return _load(name, instructions, licence, log, sort, function)

    try:
        return load(None)
    except OSError:
        log = ctypes.create_string_buffer(_LOG_BYTES)
        try:
            return load(log)
        except OSError as error:
            said = log.value.decode("utf-8", "replace").strip().splitlines()[-3:]
            raise VerifierError("%s: %s" % (error.strerror, " / ".join(said))) from error


def _load(name, instructions, licence, log, sort, function):
    head = struct.pack(
        "<IIQQIIQII",
        sort.type,
        len(instructions) // 8,
        ctypes.addressof(instructions),
        ctypes.addressof(licence),
        1 if log else 0,
        len(log) if log else 0,
        ctypes.addressof(log) if log else 0,
        0,
        0,
    )
    named = head + name.encode()[:15].ljust(16, b"\0")
    # Behind the name: interface, way of attaching, what describes our own types, function.
    return bpf(PROG_LOAD, named + struct.pack("<II36xI", 0, sort.attach, function))
