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
