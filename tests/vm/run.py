"""Runs one command as root under a stock kernel: python -m tests.vm.run --kernel 6.1 -- COMMAND.

With --keep NAME the VM stays up and the next call with that name runs in it, with the checkout
brought up to date; --end NAME switches it off.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
from pathlib import Path

from deploy.bootstrap import packages
from deploy.bootstrap.errors import CommandError, SetupError
from deploy.bootstrap.progress import Progress
from tests.vm import cache, checkout, image, programs
from tests.vm.kernels import KERNELS, Hooks, kernel_named
from tests.vm.machine import Machine, MachineError, Shape

_ABOUT = "about.json"


def main() -> int:
    options = _options()
    try:
        packages.ensure(packages.FOR_VM, Progress(), "tests/vm")
        if options.end:
            return _end(Machine(_kept(options.end)))
        if options.keep:
            return _in_a_kept_one(options)
        with tempfile.TemporaryDirectory(prefix="holdfast-test-vm-") as name:
            machine = Machine(Path(name))
            try:
                _boot(machine, options, outlive=False)
                return _run(machine, options)
            finally:
                machine.end()
    except (SetupError, MachineError) as error:
        print(error, file=sys.stderr)
        return 125


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.vm.run", description=__doc__)
    parser.add_argument("--kernel", default="6.1", help=", ".join(k.name for k in KERNELS))
    parser.add_argument("--fmod", action="store_true", help="lsm= without bpf")
    parser.add_argument("--systemd", action="store_true", help="with systemd as the first process")
    parser.add_argument("--memory", type=int, default=2048, help="in MiB")
    parser.add_argument(
        "--seconds", type=int, default=600, help="the longest that COMMAND may take"
    )
    parser.add_argument("--console", action="store_true", help="print the console afterwards")
    parser.add_argument(
        "--get", action="append", default=[], help="VMPATH: copy it to ./vm-files.tgz"
    )
    parser.add_argument(
        "--keep", metavar="NAME", help="let the VM stay up, or use the one there is"
    )
    parser.add_argument("--end", metavar="NAME", help="switch a kept VM off")
    parser.add_argument("command", nargs="*", metavar="COMMAND", help="run in the checkout")
    options = parser.parse_args()
    if len(options.command) == 1:
        options.command = ["/bin/bash", "-c", *options.command]
    return options


def _boot(machine: Machine, options: argparse.Namespace, *, outlive: bool) -> None:
    progress = Progress()
    root = image.root(progress)
    stock = image.stock(kernel_named(options.kernel), progress)
    hooks = Hooks.FMOD_RET if options.fmod else Hooks.LSM
    shape = Shape(hooks, options.systemd, options.memory)
    with progress.step("boot") as step:
        step.note = machine.boot(root, stock, shape, outlive=outlive)
    about = {"version": stock.version, "release": step.note, "hooks": hooks}
    (machine.place / _ABOUT).write_text(json.dumps(about), encoding="utf-8")


def _run(machine: Machine, options: argparse.Namespace) -> int:
    machine.put(checkout.packed(), checkout.parent())
    _compile(machine)
    try:
        return machine.run(
            options.command or ["uname", "-a"],
            output=_print,
            seconds=options.seconds,
            cwd=checkout.PLACE,
            environment={
                "PATH": f"{image.ENVIRONMENT}/bin:{os.defpath}:/usr/sbin:/sbin",
                "HOLDFAST_TEST_PROGRAMS": programs.KEPT,
            },
        )
    finally:
        if options.get:
            Path("vm-files.tgz").write_bytes(machine.get(options.get))
        if options.console:
            sys.stderr.write(machine.console.read_text(errors="replace"))


def _compile(machine: Machine) -> None:
    """Have the programs compiled out here; what does not compile concerns who loads it."""
    target = programs.Target.of(**json.loads((machine.place / _ABOUT).read_text(encoding="utf-8")))
    try:
        programs.install(machine, target)
    except CommandError as error:
        print(error, file=sys.stderr)


def _print(stream: int, content: bytes) -> None:
    to = {1: sys.stdout, 2: sys.stderr}.get(stream)
    if to is not None:
        to.buffer.write(content)
        to.buffer.flush()


def _kept(name: str) -> Path:
    return cache.PLACE / "kept" / name


def _in_a_kept_one(options: argparse.Namespace) -> int:
    machine = Machine(_kept(options.keep))
    if _pid(machine) is None:
        _boot(machine, options, outlive=True)
    else:
        machine.connect()
    return _run(machine, options)


def _end(machine: Machine) -> int:
    pid = _pid(machine)
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
    return 0


def _pid(machine: Machine) -> int | None:
    """Return the process of a kept VM that still runs."""
    try:
        pid = int((machine.place / "pid").read_text(encoding="ascii"))
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if f"{machine.place}/".encode() in command else None


if __name__ == "__main__":
    sys.exit(main())
