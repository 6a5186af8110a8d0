"""The checkout as it is now, committed or not, packed for a VM."""

import io
import subprocess
import tarfile
from pathlib import Path

from tests.vm.image import CHECKOUT, ENVIRONMENT

PLACE = "/opt/holdfast/checkout"


def files() -> list[str]:
    """Return what git tracks and what is new and not ignored, as it is there now."""
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={CHECKOUT}", "ls-files", "-z", "--cached", "--others",
         "--exclude-standard"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout  # fmt: skip
    names = sorted({name for name in listed.split("\0") if name and name != ".venv"})
    return [name for name in names if (CHECKOUT / name).is_file()]


def packed() -> bytes:
    """Return a tar.gz of them, for `parent()`."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz", compresslevel=1) as tar:
        for name in files():
            tar.add(CHECKOUT / name, f"checkout/{name}", filter=_roots)
        link = tarfile.TarInfo("checkout/.venv")
        link.type = tarfile.SYMTYPE
        link.linkname = ENVIRONMENT
        tar.addfile(link)
    return content.getvalue()


def parent() -> str:
    """Return the directory to unpack it in."""
    return str(Path(PLACE).parent)


def _roots(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry
