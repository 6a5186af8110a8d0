"""What names a version of the kernel side. The agent uses it too."""

import hashlib
import os


def source_digest(kernel_directory: str) -> bytes:
    """Return SHA-256 over every source of the kernel side: what is loaded must be what is here."""
    digest = hashlib.sha256()
    for part in ("loader", "programs"):
        directory = os.path.join(kernel_directory, part)
        for name in sorted(os.listdir(directory)):
            if name.endswith((".c", ".h", ".py")):
                with open(os.path.join(directory, name), "rb") as file:
                    content = file.read()
                digest.update(("%s %d\n" % (name, len(content))).encode() + content)
    return digest.digest()


def version_digest(kernel_directory: str, mode: str) -> bytes:
    """Return what names the programs of a mode: another version, or another mode, has another."""
    return hashlib.sha256(source_digest(kernel_directory) + mode.encode()).digest()


def programs_id(version: bytes) -> int:
    """Return the number by which programs of this version (digest) know themselves; never 0."""
    return int.from_bytes(version[:4], "little") or 1


def records_digest(kernel_directory: str) -> bytes:
    """Return SHA-256 of the layout of records: who has another one cannot read them."""
    with open(os.path.join(kernel_directory, "programs", "records.h"), "rb") as file:
        return hashlib.sha256(file.read()).digest()
