"""The running kernel's own type information: offset and size of a field, from BTF.

Standard library only and Python 3.9 syntax: the loader runs under the system's Python.
Format: Documentation/bpf/btf.rst of the kernel.
"""

import struct

PATH = "/sys/kernel/btf/vmlinux"

_INT, _PTR, _ARRAY, _STRUCT, _UNION, _ENUM, _FUNC = 1, 2, 3, 4, 5, 6, 12
_TYPEDEF, _VOLATILE, _CONST, _RESTRICT = 8, 9, 10, 11
_FUNC_PROTO, _VAR, _DATASEC, _DECL_TAG, _TYPE_TAG, _ENUM64 = 13, 14, 15, 17, 18, 19
_MODIFIERS = frozenset((_TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _TYPE_TAG))
# Bytes that follow the 12-byte head of a type: per member, or once.
_EACH = {_STRUCT: 12, _UNION: 12, _ENUM: 8, _FUNC_PROTO: 8, _DATASEC: 12, _ENUM64: 12}
_ONCE = {_INT: 4, _ARRAY: 12, _VAR: 4, _DECL_TAG: 4}


class BtfError(Exception):
    """The kernel's BTF is missing, broken, or lacks a type that is read."""


class Btf:
    """Structures by name. Reading takes about a tenth of a second for a whole kernel."""

    def __init__(self, data):
        """Take the raw bytes of a BTF file; raise BtfError if they are not one."""
        try:
            magic, _, _, head, type_at, type_bytes, text_at, _ = struct.unpack_from(
                "<HBBIIIII", data
            )
        except struct.error as error:
            raise BtfError("the kernel's BTF is cut short") from error
        if magic != 0xEB9F:
            raise BtfError("the kernel's BTF does not begin as BTF does")
        self._data = data
        self._text = head + text_at
        self._at = [0]
        self._structs = {}
        self._functions = {}
        position, end = head + type_at, head + type_at + type_bytes
        head_of = struct.Struct("<III").unpack_from
        while position < end:
            name, info, _ = head_of(data, position)
            kind = info >> 24 & 31
            if kind == _STRUCT and name:
                self._structs.setdefault(name, []).append(len(self._at))
            elif kind == _FUNC:
                self._functions[name] = len(self._at)
            self._at.append(position)
            position += 12 + _EACH.get(kind, 0) * (info & 0xFFFF) + _ONCE.get(kind, 0)
        self._by_name = {self._name(name): ids for name, ids in self._structs.items()}

    @classmethod
    def of_running_kernel(cls):
        """Read /sys/kernel/btf/vmlinux; raise BtfError that says what to do without it."""
        try:
            with open(PATH, "rb") as file:
                return cls(file.read())
        except OSError as error:
            raise BtfError(
                "%s: %s; the kernel must be built with CONFIG_DEBUG_INFO_BTF=y"
                % (PATH, error.strerror)
            ) from error

    def _name(self, offset):
        start = self._text + offset
        return self._data[start : self._data.index(b"\0", start)].decode()

    def _type(self, number):
        name, info, size = struct.unpack_from("<III", self._data, self._at[number])
        return self._name(name), info >> 24 & 31, info & 0xFFFF, info >> 31, size

    def _size(self, number):
        """Size in bytes of a type; 0 for a flexible array."""
        while True:
            _, kind, _, _, size = self._type(number)
            if kind == _PTR:
                return 8
            if kind == _ARRAY:
                element, _, count = struct.unpack_from("<III", self._data, self._at[number] + 12)
                return self._size(element) * count
            if kind not in _MODIFIERS:
                return size
            number = size

    def _find(self, number, field, base):
        _, _, count, flagged, _ = self._type(number)
        for i in range(count):
            at = self._at[number] + 12 + 12 * i
            name, member, offset = struct.unpack_from("<III", self._data, at)
            bits = offset & 0xFFFFFF if flagged else offset
            if flagged and offset >> 24:
                continue  # a bit-field, which nothing here reads
            text = self._name(name)
            if text == field:
                return base + bits // 8, self._size(member)
            if not text:
                inner = member
                while self._type(inner)[1] in _MODIFIERS:
                    inner = self._type(inner)[4]
                if self._type(inner)[1] in (_STRUCT, _UNION):
                    found = self._find(inner, field, base + bits // 8)
                    if found:
                        return found
        return None

    def structure(self, name):
        """Return the number of a structure's type, or None."""
        return self._by_name.get(name, [None])[0]

    def function(self, name):
        """Return the number of a function of the kernel, or None."""
        at = self._data.find(b"\0" + name.encode() + b"\0", self._text)
        return self._functions.get(at + 1 - self._text) if at >= 0 else None

    def parameters(self, name):
        """Return how many parameters a function of the kernel has, or None."""
        number = self.function(name)
        if number is None:
            return None
        prototype = self._type(number)[4]
        return self._type(prototype)[2]

    def size(self, structure):
        """Return the size of a structure in bytes, or None."""
        number = self.structure(structure)
        return None if number is None else self._type(number)[4]

    def field(self, structure, field):
        """Return (offset, size) in bytes of a field, also inside unnamed members, or None."""
        for number in self._by_name.get(structure, ()):
            found = self._find(number, field, 0)
            if found:
                return found
        return None
