"""bpf(2) by ctypes: pin, attach, run once, and read one element. Standard library only."""

import ctypes
import os
import struct

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long
_BPF = {"x86_64": 321, "aarch64": 280}
_ATTRIBUTE_BYTES = 128
MAP_LOOKUP, MAP_UPDATE, OBJ_PIN, OBJ_GET, TEST_RUN, RAW_TRACEPOINT_OPEN = 1, 2, 6, 7, 10, 17


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


def attach_raw_tracepoint(program, name):
    """Attach a program to a raw tracepoint; return the descriptor of the link."""
    text = ctypes.create_string_buffer(name.encode())
    return bpf(RAW_TRACEPOINT_OPEN, struct.pack("<QII", ctypes.addressof(text), program, 0))


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
