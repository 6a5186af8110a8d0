"""The BPF programs for a VM: compiled on this machine, and what that VM's verifier made of them."""

import io
import json
import os
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from deploy.bootstrap.commands import run
from tests.support.other_version import CHANGED, write_other_version
from tests.vm import cache
from tests.vm.checkout import PLACE
from tests.vm.image import CHECKOUT
from tests.vm.kernels import Hooks
from tests.vm.machine import Machine

# In the VM: where they are kept, for whoever loads them.
KEPT = "/var/cache/holdfast-programs"
SYSTEM_PYTHON = ("/usr/bin/python3", "-I")
_RECIPE = "5"
_TYPES = "/sys/kernel/btf/vmlinux"
_KERNEL_SIDE = CHECKOUT / "agent" / "kernel"
_COMPILE = str(Path(__file__).with_name("compile.py"))
_MEASURE = f"{PLACE}/tests/vm/inside/complexity.py"

# Runs a command in the VM and returns what it says.
Ask = Callable[[Sequence[str]], str]


@dataclass(frozen=True, slots=True)
class Program:
    """What one BPF program cost on one kernel; `verified` is in instructions."""

    name: str
    instructions: int
    verified: int
    peak_states: int
    machine_bytes: int


@dataclass(frozen=True, slots=True)
class Target:
    """What programs are for: Debian's version of a kernel, its release, and the agent's mode."""

    version: str
    release: str
    hooks: Hooks
    mode: str

    @classmethod
    def of(cls, version: str, release: str, hooks: Hooks) -> "Target":
        """Return the target in the mode that HOLDFAST_TEST_MODE names."""
        return cls(version, release, hooks, os.environ.get("HOLDFAST_TEST_MODE", "gate"))

    def key(self) -> list[str]:
        """Return all that programs for it depend on."""
        found = (p for p in _KERNEL_SIDE.rglob("*") if p.suffix in (".c", ".h", ".py"))
        sources = [f"{path.name} {path.read_text(encoding='utf-8')}" for path in sorted(found)]
        return [_RECIPE, self.version, self.hooks, self.mode, *sources]


def install(machine: Machine, target: Target, others: Sequence[str] = CHANGED) -> None:
    """Compile what has changed, and put it into a VM.

    Besides ours those of `others`, which tests of an upgrade load; see tests.support.other_version.
    """
    place = cache.entry("compiled", target.key(), partial(_compile, machine, target))
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        tar.add(place / "programs", KEPT.lstrip("/"))
        for changed in others:
            build = partial(_compile, machine, target, changed=changed)
            other = cache.entry(f"compiled-{changed}", target.key(), build)
            tar.add(other / "programs", f"{KEPT}-{changed}".lstrip("/"))
    machine.put(content.getvalue(), "/")


def _compile(machine: Machine, target: Target, place: Path, changed: str = "") -> None:
    types = str(_types(machine, target.version))
    made = place / "programs"
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as name:
        kernel = Path(name) / "kernel" if changed else _KERNEL_SIDE
        if changed:
            write_other_version(kernel, changed)
        words = (_COMPILE, str(kernel / "loader"), types, target.release)
        run([*SYSTEM_PYTHON, *words, *_loader_options(target, str(made))])


def measured(ask: Ask, target: Target) -> tuple[list[Program], dict[str, str]]:
    """Have them loaded once in a VM, or know from an earlier time what that took.

    The other part says of programs that this kernel does not take, why.
    """

    def build(place: Path) -> None:
        loader = f"{PLACE}/agent/kernel/loader"
        said = ask([*SYSTEM_PYTHON, _MEASURE, loader, *_loader_options(target, KEPT)])
        (place / "programs.json").write_text(said, encoding="utf-8")

    said = cache.entry("programs", target.key(), build) / "programs.json"
    loaded, rows = map(json.loads, said.read_text(encoding="utf-8").splitlines()[-2:])
    found = [Program(*(row[name] for name in Program.__slots__)) for row in rows]
    return found, loaded["lacking"]


def _types(machine: Machine, version: str) -> Path:
    """Return the BTF of a VM's kernel."""

    def fetch(place: Path) -> None:
        with tarfile.open(fileobj=io.BytesIO(machine.get([_TYPES]))) as tar:
            member = tar.extractfile(_TYPES.lstrip("/"))
            assert member is not None
            (place / "vmlinux").write_bytes(member.read())

    return cache.entry("types", [version], fetch) / "vmlinux"


def _loader_options(target: Target, kept: str) -> list[str]:
    """Return the loader's arguments."""
    return ["--cache", kept, "--mode", target.hooks if target.mode == "gate" else target.mode]
