"""Compiled programs as data: instructions, and the maps they name. Kept on disk between starts.

The compiler takes seconds and a hundred megabytes; what it made for these sources, these offsets
and this kernel is the same at every start. Whichever way an image comes, the verifier judges it
and the self-check runs it before anything is attached.
"""

import base64
import ctypes
import hashlib
import json
import os
import stat
import struct

import kernel
import offsets

_LOAD_IMMEDIATE, _MAP_DESCRIPTOR = 0x18, 1
_CALL, _OF_KERNEL_FUNCTION = 0x85, 2
_INSTRUCTION = struct.Struct("<BBhi")
_FORMAT = 2
_PREFIX = "programs-"


class ImageError(Exception):
    """The kernel refuses an image, or what bcc made cannot be read."""


def extract(module, library, programs):
    """Return the image of bcc's `module`: all its maps, and the programs of these names.

    The code that bcc has made names its maps by descriptors of this process.
    """
    library.bpf_table_name.restype = ctypes.c_char_p  # bcc's own declaration leaves it out
    name_of = {
        library.bpf_table_fd_id(module, number): library.bpf_table_name(module, number).decode()
        for number in range(library.bpf_num_tables(module))
    }
    shapes = {name: kernel.map_shape(descriptor) for descriptor, name in name_of.items()}
    code = {}
    for name in programs:
        start = library.bpf_function_start(module, name.encode())
        size = library.bpf_function_size(module, name.encode())
        if not start or not size:
            raise ImageError("bcc has made no program %s" % name)
        code[name] = _without_descriptors(kernel.memory(start, size), name_of)
    return {"format": _FORMAT, "maps": shapes, "programs": code}


def _without_descriptors(raw, name_of):
    """Return the code with zero for each descriptor, and which map each was, by position.

    What was compiled as a helper with a number that no helper has becomes a call of that function
    of the kernel.
    """
    plain = bytearray(raw)
    used = []
    position = 0
    while position < len(raw):
        operation, registers, _, immediate = _INSTRUCTION.unpack_from(raw, position)
        if operation == _LOAD_IMMEDIATE:
            if registers >> 4 == _MAP_DESCRIPTOR:
                if immediate not in name_of:
                    raise ImageError("a program names descriptor %d, which is no map" % immediate)
                used.append([position, name_of[immediate]])
                struct.pack_into("<i", plain, position + 4, 0)
            position += 2 * _INSTRUCTION.size  # a 64-bit immediate takes two places
        else:
            if operation == _CALL and not registers and immediate & offsets.KERNEL_FUNCTION:
                number = immediate & ~offsets.KERNEL_FUNCTION
                call = (_CALL, _OF_KERNEL_FUNCTION << 4, 0, number)
                _INSTRUCTION.pack_into(plain, position, *call)
            position += _INSTRUCTION.size
    return {"code": base64.b64encode(bytes(plain)).decode(), "maps": used}


def install(image, keep=None, targets=None, optional=()):
    """Make the maps and load the programs; return (maps, programs, refused), each by name.

    `keep` has descriptors of maps to go on with, by name, as far as they have the same shape.
    `targets` says of programs for functions of the kernel what they are: (sort, number). One of
    `optional` that has no target is left out, and so is one that the kernel refuses, with why.
    """
    maps = {}
    for name, shape in image["maps"].items():
        known = (keep or {}).get(name)
        if known is not None and kernel.map_shape(known) == shape:
            maps[name] = known
            continue
        try:
            maps[name] = kernel.create_map(name, shape)
        except OSError as error:
            raise ImageError("map %s cannot be made: %s" % (name, error.strerror)) from error
    programs, refused = {}, {}
    for name, one in image["programs"].items():
        if name in optional and name not in targets:
            continue
        sort, function = (targets or {}).get(name, (kernel.RAW_TRACEPOINT, 0))
        code = bytearray(base64.b64decode(one["code"]))
        for position, used in one["maps"]:
            struct.pack_into("<i", code, position + 4, maps[used])
        try:
            programs[name] = kernel.load_program(name, bytes(code), sort, function)
        except kernel.VerifierError as error:
            if name not in optional:
                raise ImageError("program %s: %s" % (name, error)) from error
            refused[name] = str(error)
    return maps, programs, refused


def key(source, header):
    """Return the name of the image of these sources (digest) with these offsets, on this kernel."""
    digest = hashlib.sha256(source + header.encode() + os.uname().release.encode())
    return digest.hexdigest()[:32]


def _path(directory, name):
    return os.path.join(directory, _PREFIX + name + ".json")


def forget(directory, name):
    """Remove a kept image that turned out to be no good."""
    if os.path.exists(_path(directory, name)):
        os.unlink(_path(directory, name))


def read(directory, name):
    """Return a kept image, or None if there is none that only its owner could have written."""
    path = _path(directory, name)
    try:
        with open(path) as file:
            status = os.fstat(file.fileno())
            if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o022:
                return None
            image = json.load(file)
    except (OSError, ValueError):
        return None
    return image if isinstance(image, dict) and image.get("format") == _FORMAT else None


def keep(directory, name, image):
    """Keep an image, and no other of its mode, by which its name begins.

    That it cannot be kept costs only time at the next start.
    """
    path = _path(directory, name)
    try:
        os.makedirs(directory, 0o700, exist_ok=True)
        for other in os.listdir(directory):
            if other.startswith(_PREFIX + name.split("-")[0] + "-"):
                os.unlink(os.path.join(directory, other))
        with open(path + ".new", "w", opener=lambda p, f: os.open(p, f, 0o600)) as file:
            json.dump(image, file)
        os.rename(path + ".new", path)
    except OSError:
        return False
    return True
