"""Which ways of attaching this kernel takes, found by trying: nothing stays, nothing is watched.

That a program can be attached does not say that it runs: where BPF is not among the active LSMs the
kernel takes an LSM program and never calls it. So the ones that can refuse are asked to refuse
something to this process alone.
"""

import errno
import os
import struct

import kernel
from btf import Btf, BtfError

# By name: sort, and the function of the kernel.
WAYS = {
    "lsm": (kernel.LSM, "bpf_lsm_file_open"),
    "fmod_ret": (kernel.MODIFY_RETURN, "security_file_open"),
    "fexit": (kernel.FEXIT, "get_signal"),
}
_REFUSAL = errno.ENOANO  # no file system gives it


def _code(process):
    """Return code that answers with the refusal for one process and with 0 for all others."""

    def one(operation, registers, offset, immediate):
        return struct.pack("<BBhi", operation, registers, offset, immediate)

    leave = one(0xB7, 0, 0, 0) + one(0x95, 0, 0, 0)
    if not process:
        return leave
    return (
        one(0x85, 0, 0, 14)  # bpf_get_current_pid_tgid
        + one(0x77, 0, 0, 32)  # the upper half
        + one(0x55, 0, 2, process)
        + one(0xB7, 0, 0, -_REFUSAL)
        + one(0x95, 0, 0, 0)
        + leave
    )


def _is_refused():
    try:
        os.close(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        return error.errno == _REFUSAL
    return False


def attempt(btf, way):
    """Return why a way does not work here, None if it does."""
    sort, name = WAYS[way]
    function = btf.function(name)
    if function is None:
        return "the kernel has no function %s that programs can be attached to" % name
    refuses = sort is not kernel.FEXIT
    try:
        program = kernel.load_program(
            "hf_probe", _code(os.getpid() if refuses else 0), sort, function
        )
    except kernel.VerifierError as error:
        return "the kernel does not take a program for %s: %s" % (name, error)
    try:
        link = kernel.attach_to_function(program)
    except OSError as error:
        return "the kernel does not attach to %s: %s" % (name, error.strerror)
    finally:
        os.close(program)
    try:
        if refuses and not _is_refused():
            if sort is kernel.LSM:
                return "bpf is not among the active LSMs (/sys/kernel/security/lsm)"
            return "the kernel has attached to %s and does not call it" % name
    finally:
        os.close(link)
    return None


def probe():
    """Return {way: {"works": bool, "why": text}} for each of WAYS; "why" is empty if it works."""
    try:
        btf = Btf.of_running_kernel()
    except BtfError as error:
        return {way: {"works": False, "why": str(error)} for way in WAYS}
    found = {way: attempt(btf, way) for way in WAYS}
    return {way: {"works": why is None, "why": why or ""} for way, why in found.items()}
