"""Makes the initramfs of a VM: busybox, the modules that find its disks, and what runs inside."""

import lzma
import shutil
import subprocess
from pathlib import Path

from tests.vm.image import Stock

_BUSYBOX = "/usr/bin/busybox"
_INSIDE = Path(__file__).parent / "inside"
_NEEDED = ("virtio_pci", "virtio_blk", "virtio_console", "ext4")


def initramfs(stock: Stock, place: Path) -> Path:
    """Return an initramfs, made at `place`."""
    tree = place / "initramfs"
    for name in ("bin", "dev", "proc", "sys", "mnt", "modules", "holdfast-vm"):
        (tree / name).mkdir(parents=True)
    shutil.copy2(_busybox(), tree / "bin/busybox")
    shutil.copy(_INSIDE / "first.sh", tree / "init")
    for source in _INSIDE.iterdir():
        if source.is_file():
            shutil.copy(source, tree / "holdfast-vm")
    for script in (tree / "init", tree / "holdfast-vm/init.sh"):
        script.chmod(0o755)
    order = _modules(stock.tree)
    for path in order:
        _copy_module(stock.tree / path, tree / "modules")
    names = [Path(path).name.removesuffix(".xz") for path in order]
    (tree / "modules/order").write_text("\n".join(names) + "\n", encoding="utf-8")
    made = place / "initramfs.cpio"
    listed = sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))
    with made.open("wb") as file:
        subprocess.run(
            ["cpio", "--quiet", "-o", "-H", "newc"],
            cwd=tree,
            input="\n".join(listed).encode(),
            stdout=file,
            check=True,
        )
    shutil.rmtree(tree)
    return made


def _busybox() -> str:
    return next(path for path in (_BUSYBOX, "/bin/busybox") if Path(path).exists())


def _modules(tree: Path) -> list[str]:
    """Return the module files that are needed, each after those that it stands on."""
    needs: dict[str, list[str]] = {}
    for line in (tree / "modules.dep").read_text(encoding="utf-8").splitlines():
        path, _, others = line.partition(":")
        needs[path] = others.split()
    by_name = {Path(path).name.split(".")[0].replace("-", "_"): path for path in needs}
    order: list[str] = []
    for name in _NEEDED:
        # What is not a module of this kernel is built in.
        if name in by_name:
            order += [*reversed(needs[by_name[name]]), by_name[name]]
    return list(dict.fromkeys(order))


def _copy_module(path: Path, into: Path) -> None:
    if path.suffix == ".xz":
        (into / path.stem).write_bytes(lzma.decompress(path.read_bytes()))
    else:
        shutil.copy(path, into)
