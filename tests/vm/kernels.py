"""The stock kernels that the tests boot, and the two ways in which each takes the gate."""

from dataclasses import dataclass
from enum import StrEnum

from deploy.bootstrap.errors import SetupError


class Hooks(StrEnum):
    """How BPF programs get in front of an act; `lsm=` on the command line decides."""

    LSM = "lsm"
    FMOD_RET = "fmod_ret"


# What is copied by `rep movsb` is emulated byte by byte: a kernel that believes it to be fast takes
# twice as long over the programs.
_CPU = "max,-erms,-fsrm"


@dataclass(frozen=True, slots=True)
class Kernel:
    """One Debian kernel: the newest of `suite`. `cpu` is what qemu emulates for it."""

    name: str
    suite: str
    cpu: str = _CPU


@dataclass(frozen=True, slots=True)
class Way:
    """A kernel, booted for one sort of hooks, and the agent's mode there: gate or stop."""

    kernel: str
    hooks: Hooks
    mode: str = "gate"

    def __str__(self) -> str:
        return f"{self.kernel}-{self.hooks if self.mode == 'gate' else self.mode}"


KERNELS = (
    Kernel("6.1", "bookworm"),
    # With cmpxchg16b, qemu 7.2 makes 6.12 panic in its allocator.
    Kernel("6.12", "trixie", f"{_CPU},-cx16"),
    Kernel("5.10", "bullseye"),
)
# The verifier of 5.10 takes too long over the programs of gate mode for an agent to try it there.
WAYS = (
    Way("6.1", Hooks.LSM),
    Way("6.1", Hooks.FMOD_RET),
    Way("6.12", Hooks.LSM),
    Way("6.12", Hooks.FMOD_RET),
    Way("5.10", Hooks.FMOD_RET, "stop"),
)


def ways_named(names: str) -> list[Way]:
    """Return the ways of a list such as "6.1-lsm,5.10"; all of them for an empty one.

    Raises SetupError for a name that is neither a way nor a kernel.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if not any(name in (str(way), way.kernel) for way in WAYS):
            raise SetupError(f"no kernel {name!r}; there are: {', '.join(map(str, WAYS))}")
    return [way for way in WAYS if not wanted or {str(way), way.kernel} & set(wanted)]


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
