"""What this kernel takes: the smallest program of each kind is loaded, attached, met, detached.

Nothing is pinned, and no program does more than count. Standard library only; needs no bcc.
"""

import ctypes
import errno
import os
import signal
import struct

import kernel
from btf import Btf, BtfError

_RAW_TRACEPOINT, _TRACING, _LSM = 17, 26, 29  # program types
_AT_EXIT, _CHANGES_RESULT, _AT_LSM = 25, 26, 27  # where they attach
_ARRAY = 2
_SEND_SIGNAL = 109
_LOG_BYTES = 1 << 16

# Each kind: program type, attach type, the kernel's function.
_FUNCTIONS = {
    "lsm": (_LSM, _AT_LSM, "bpf_lsm_file_open"),
    "fmod_ret": (_TRACING, _CHANGES_RESULT, "security_file_open"),
    "fexit": (_TRACING, _AT_EXIT, "get_signal"),
}
_NEVER_CALLED = {
    "lsm": "it attaches and is never called: bpf is not an active LSM",
    "fmod_ret": "it attaches and is never called",
    "fexit": "it attaches and is never called",
}


_SLOW = (
    "it works, and this kernel's verifier takes many minutes over the programs of gate mode; "
    "Linux 6.1 and later do not"
)


class _RefusedError(Exception):
    """The kernel does not take a program, in words."""


def trials():
    """Return, for each kind of program, True or why not."""
    found = {"bpf": True}
    try:
        counter = kernel.create_map("hf_probe", [_ARRAY, 4, 8, 1, 0])
    except OSError as error:
        return {"bpf": _words(error)}
    try:
        found["raw_tracepoint"] = _attempt(_try_raw_tracepoint, counter)
        found["signal"] = _attempt(_try_signal)
        try:
            btf = Btf.of_running_kernel()
        except BtfError as error:
            return {**found, **{kind: str(error) for kind in _FUNCTIONS}}
        for kind in _FUNCTIONS:
            found[kind] = _attempt(_try_function, counter, btf, kind)
        # Tried with 5.10: it has not come to an end within six minutes. With 6.1 it takes a second.
        if btf.function("bpf_loop") is None:
            for kind in ("lsm", "fmod_ret"):
                if found[kind] is True:
                    found[kind] = _SLOW
    finally:
        os.close(counter)
    return found


def _attempt(trial, *arguments):
    try:
        trial(*arguments)
    except _RefusedError as error:
        return str(error)
    return True


def _try_raw_tracepoint(counter):
    program = _load(_RAW_TRACEPOINT, 0, 0, _counting(counter))
    try:
        _meet(counter, program, b"sched_process_fork", "it attaches and is never called")
    finally:
        os.close(program)


def _try_signal():
    # Only loaded: r1 = 0; call; r0 = 0; exit.
    code = _op(0xB7, 1) + _op(0x85, immediate=_SEND_SIGNAL) + _op(0xB7, 0) + _op(0x95)
    os.close(_load(_RAW_TRACEPOINT, 0, 0, code))


def _try_function(counter, btf, kind):
    program_type, attach_type, function = _FUNCTIONS[kind]
    number = btf.function(function)
    if number is None:
        raise _RefusedError("this kernel has no function %s" % function)
    program = _load(program_type, attach_type, number, _counting(counter))
    try:
        _meet(counter, program, None, _NEVER_CALLED[kind])
    finally:
        os.close(program)


def _counting(counter):
    """Return a program that counts its runs in the map and changes nothing."""
    return b"".join((
        _op(0x62, 10, offset=-4),  # the key, on the stack: *(u32 *)(r10 - 4) = 0
        _op(0x18, 1, source=1, immediate=counter), _op(0),  # r1 = the map
        _op(0xBF, 2, source=10), _op(0x07, 2, immediate=-4),  # r2 = r10 - 4
        _op(0x85, immediate=1),  # r0 = map_lookup_elem
        _op(0x15, 0, offset=2),  # if r0 == 0, past the next two
        _op(0xB7, 1, immediate=1), _op(0xDB, 0, source=1),  # lock *(u64 *)r0 += 1
        _op(0xB7, 0), _op(0x95),  # return 0, which lets everything pass
    ))  # fmt: skip


def _op(code, target=0, source=0, offset=0, immediate=0):
    return struct.pack("<BBhi", code, target | source << 4, offset, immediate)


def _load(program_type, attach_type, function, code):
    instructions = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(b"GPL")

    def load(log):
        head = struct.pack(
            "<IIQQIIQII",
            program_type,
            len(code) // 8,
            ctypes.addressof(instructions),
            ctypes.addressof(licence),
            1 if log else 0,
            len(log) if log else 0,
            ctypes.addressof(log) if log else 0,
            0,
            0,
        )
        tail = struct.pack("<16sIIIIQIIQII", b"hf_probe", 0, attach_type, *[0] * 7, function)
        return kernel.bpf(kernel.PROG_LOAD, head + tail)

    try:
        return load(None)
    except OSError:
        log = ctypes.create_string_buffer(_LOG_BYTES)
        try:
            return load(log)
        except OSError as error:
            said = log.value.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise _RefusedError(": ".join([_words(error), *said])) from error


def _meet(counter, program, tracepoint, otherwise):
    """Attach a program, do what it waits for, and take it off again."""
    name = ctypes.create_string_buffer(tracepoint) if tracepoint else None
    head = struct.pack("<QII", ctypes.addressof(name) if name else 0, program, 0)
    before = _count(counter)
    try:
        link = kernel.bpf(kernel.RAW_TRACEPOINT_OPEN, head)
    except OSError as error:
        raise _RefusedError("cannot be attached: %s" % _words(error)) from error
    try:
        _act()
        if _count(counter) == before:
            raise _RefusedError(otherwise)
    finally:
        os.close(link)


def _act():
    """Open a file, start a child and take a signal: each trial waits for one of these."""
    os.close(os.open("/proc/self/stat", os.O_RDONLY))
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)


def _count(counter):
    return struct.unpack("<Q", kernel.element(counter, 0, 8))[0]


def _words(error):
    return "%s (%s)" % (error.strerror, errno.errorcode.get(error.errno, error.errno))
