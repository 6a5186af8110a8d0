"""Holdfast installed from the image's wheelhouse, with the tests beside it, ready for a VM.

It is done in the image's own root file system, without a network, but outside of the VM, where
software emulation would make minutes of it. What it writes is kept as an archive.
"""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from deploy.bootstrap.commands import run
from deploy.bootstrap.progress import Progress
from tests.vm import cache
from tests.vm.checkout import PLACE, files
from tests.vm.image import CHECKOUT, ENVIRONMENT, Root

_RECIPE = "2"
_ARCHIVE = "installed.tar.gz"
_TESTS = ("tests/kernel", "tests/end_to_end")
# In namespaces of their own, so that nothing is mounted on the machine, whatever happens.
_APART = ("unshare", "--mount", "--net", "--propagation", "private")


def archive(root: Root, progress: Progress) -> Path:
    """Return a tar.gz to unpack at / of a VM with this root file system."""
    names = files()
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name}\0".encode() + (CHECKOUT / name).read_bytes() + b"\0")

    def build(place: Path) -> None:
        with progress.step("install Holdfast from its wheelhouse for VMs"):
            _build(root, names, place)

    return cache.entry("installed", [_RECIPE, root.name, digest.hexdigest()], build) / _ARCHIVE


def _build(root: Root, names: list[str], place: Path) -> None:
    with tempfile.TemporaryDirectory(
        prefix="making-installed-overlay-", dir=cache.PLACE
    ) as directory:
        upper, work, merged = (Path(directory) / name for name in ("upper", "work", "merged"))
        for each in (upper, work, merged):
            each.mkdir()
        upper.chmod(0o755)
        for name in names:
            to = upper / PLACE.lstrip("/") / name
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, to)
        overlay = [str(each) for each in (root.tree, upper, work, merged)]
        script = f"{PLACE}/tests/vm/inside/install.sh"
        install = ["/bin/sh", script, ENVIRONMENT, PLACE, *_TESTS]
        run([*_APART, "/bin/sh", str(CHECKOUT / "tests/vm/inside/apart.sh"), *overlay, *install])
        packed = str(place / _ARCHIVE)
        tar = ("tar", "-C", str(upper), "--owner=0", "--group=0", "-I", "gzip -1", "-cf", packed)
        run([*tar, *sorted(os.listdir(upper))])
