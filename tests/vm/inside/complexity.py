"""Loads the BPF programs once and says what the verifier went through for each, as JSON.

Run by the system's Python with the loader's directory, and the loader's own arguments after it.
"""

import ctypes
import importlib
import importlib.util
import json
import re
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

LOG_STATS = 4
PROCESSED = re.compile(r"processed (\d+) insns .*?total_states (\d+) peak_states (\d+)")


def measured(kernel: Any, seen: list[dict[str, object]]) -> None:
    """Have the verifier say what each load of the loader takes."""
    load: Callable[..., int] = kernel.load_program
    plain: Callable[[int, bytes], int] = kernel.bpf

    names: list[str] = []

    def load_program(name: str, *rest: object) -> int:
        names.append(name)  # the kernel itself keeps its first 15 letters only
        return load(name, *rest)

    def bpf(command: int, attribute: bytes) -> int:
        if command != kernel.PROG_LOAD or struct.unpack_from("<I", attribute, 24)[0]:
            return plain(command, attribute)
        log = ctypes.create_string_buffer(1 << 16)
        head = bytearray(attribute.ljust(64, b"\0"))
        struct.pack_into("<IIQ", head, 24, LOG_STATS, len(log), ctypes.addressof(log))
        began = time.monotonic()
        descriptor = plain(command, bytes(head))
        seconds = time.monotonic() - began
        found = PROCESSED.search(log.value.decode("utf-8", "replace"))
        info = ctypes.create_string_buffer(256)
        kernel.bpf(kernel.OBJ_INFO, struct.pack("<IIQ", descriptor, 32, ctypes.addressof(info)))
        jited, translated = struct.unpack_from("<II", info.raw, 16)
        seen.append(
            {
                "name": names[-1],
                "instructions": struct.unpack_from("<I", head, 4)[0],
                "verified": int(found[1]) if found else 0,
                "peak_states": int(found[3]) if found else 0,
                "translated_bytes": translated,
                "machine_bytes": jited,
                "seconds": round(seconds, 2),
            }
        )
        return descriptor

    kernel.load_program, kernel.bpf = load_program, bpf


def main() -> int:
    """Run the loader as it runs itself, and print what it printed and what was seen."""
    directory = sys.argv.pop(1)
    sys.path.insert(0, directory)
    kernel: Any = importlib.import_module("kernel")
    seen: list[dict[str, object]] = []
    measured(kernel, seen)
    spec = importlib.util.spec_from_file_location("loader", directory + "/__main__.py")
    assert spec is not None
    assert spec.loader is not None
    loader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loader)
    code: int = loader.main()
    print(json.dumps(seen))
    return code


if __name__ == "__main__":
    sys.exit(main())
