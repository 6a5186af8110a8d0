"""The stock kernels that the tests boot, and the two ways in which each takes the gate."""

from dataclasses import dataclass
from enum import StrEnum

from deploy.bootstrap.errors import SetupError


class Hooks(StrEnum):
    """How BPF programs get in front of an act; `lsm=` on the command line decides."""

    LSM = "lsm"
    FMOD_RET = "fmod_ret"


@dataclass(frozen=True, slots=True)
class Kernel:
    """One Debian kernel: the newest of `suite`. `cpu` is what qemu emulates for it."""

    name: str
    suite: str
    cpu: str = "max"


KERNELS = (
    Kernel("6.1", "bookworm"),
    # With cmpxchg16b, qemu 7.2 makes 6.12 panic in its allocator.
    Kernel("6.12", "trixie", "max,-cx16"),
    Kernel("5.10", "bullseye"),
)


def kernel_named(name: str) -> Kernel:
    """Return the kernel of that version; raise SetupError with those that there are."""
    for kernel in KERNELS:
        if kernel.name == name:
            return kernel
    raise SetupError(f"no kernel {name!r}; there are: {', '.join(k.name for k in KERNELS)}")


def security_modules(config: str, hooks: Hooks) -> str:
    """Return the value of `lsm=` for a kernel whose configuration is `config`."""
    prefix = 'CONFIG_LSM="'
    for line in config.splitlines():
        if line.startswith(prefix):
            names = [name for name in line[len(prefix) : -1].split(",") if name != "bpf"]
            return ",".join([*names, "bpf"] if hooks is Hooks.LSM else names)
    raise SetupError("the kernel's configuration has no CONFIG_LSM")
