"""Tiny static x86-64 programs, written byte by byte, so that a test needs no compiler.

The very first act of each is the one that a test looks for: no loader and no library runs before.
"""

import os
import struct
from pathlib import Path

_BASE = 0x400000
_HEADERS = 64 + 56


def write_creator(program: Path, creates: Path) -> None:
    """Write a program that creates the file `creates`, then exits: with 0 if it could, else 1."""
    _write(program, _create_and_exit(os.fsencode(creates)))


def write_creator_of_two(program: Path, first: Path, second: Path) -> None:
    """Write a program that creates one file, by its next call another, and then exits."""
    name = os.fsencode(first) + b"\0"
    assert len(name) < 128, "the jump is a short one"
    code = b"\xbf" + _address(2) + bytes.fromhex("bea4010000 b855000000 0f05")  # creat(name, 0644)
    jump = b"\xeb" + bytes([len(name)])
    _write(program, jump + name + code + _create_and_exit(os.fsencode(second)))


def write_old_opener(program: Path, opens: Path, creates: Path) -> None:
    """Write a program that opens a file by the 32-bit call, then creates another and exits."""
    name = os.fsencode(opens) + b"\0"
    start = 2 + len(name)  # a jump over the name
    code = b"\xbb" + _address(2)  # mov ebx, name
    code += bytes.fromhex("31c9 b805000000 cd80")  # xor ecx, ecx; mov eax, 5 (open); int 0x80
    assert len(name) < 128, "the jump is a short one"
    _write(
        program,
        b"\xeb" + bytes([start - 2]) + name + code + _create_and_exit(os.fsencode(creates)),
    )


def write_old_sender(program: Path, port: int, creates: Path) -> None:
    """Write a program that sends to 127.0.0.1 by the 32-bit sendto, then creates and exits."""
    code = _UDP_SOCKET
    code += bytes.fromhex("89c3 b9") + _address(2)  # mov ebx, eax; mov ecx, address
    code += bytes.fromhex("ba01000000 31f6 89cf bd10000000")  # 1 byte, no flags, to it, 16 long
    code += bytes.fromhex("b871010000 cd80")  # mov eax, 369 (sendto); int 0x80
    _write(program, _with_address(port) + code + _create_and_exit(os.fsencode(creates)))


def write_old_connector(program: Path, port: int, creates: Path) -> None:
    """Write a program that connects a UDP socket by socketcall(2), then creates and exits."""
    code = _UDP_SOCKET
    code += b"\xb9" + _address(18) + bytes.fromhex("8901")  # mov ecx, arguments; the descriptor
    code += bytes.fromhex("c74104") + _address(2) + bytes.fromhex("c7410810000000")  # address, 16
    code += bytes.fromhex("bb03000000 b866000000 cd80")  # SYS_CONNECT; 102 (socketcall); int 0x80
    _write(program, _with_address(port) + code + _create_and_exit(os.fsencode(creates)))


# socket(AF_INET, SOCK_DGRAM, 0), by the 64-bit call
_UDP_SOCKET = bytes.fromhex("bf02000000 be02000000 31d2 b829000000 0f05")


def _with_address(port: int) -> bytes:
    """Return a jump over a sockaddr_in of 127.0.0.1 and room for the arguments of a socketcall."""
    data = struct.pack("<H", 2) + struct.pack(">H", port) + bytes([127, 0, 0, 1]) + bytes(8 + 12)
    return b"\xeb" + bytes([len(data)]) + data


def _address(offset: int) -> bytes:
    """Return where a byte of the code lies in memory."""
    return struct.pack("<I", _BASE + _HEADERS + offset)


def _create_and_exit(path: bytes) -> bytes:
    code = bytes.fromhex(
        "488d3d18000000"  # lea rdi, [path]
        "bea4010000"  # mov esi, 0644
        "b855000000"  # mov eax, 85 (creat)
        "0f05"  # syscall
        "c1e81f89c7"  # the sign of the result is the exit code
        "b83c000000"  # mov eax, 60 (exit)
        "0f05"  # syscall
    )
    return code + path + b"\0"


def _write(program: Path, code: bytes) -> None:
    entry = _BASE + _HEADERS
    size = _HEADERS + len(code)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, entry, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    # One segment of everything, which may be read, written and run.
    segment = struct.pack("<IIQQQQQQ", 1, 7, 0, _BASE, _BASE, size, size, 0x1000)
    program.write_bytes(ident + header + segment + code)
    program.chmod(0o755)
