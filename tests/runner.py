"""Sets up the machine for the tests, runs the layers one after another, and adds up."""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.bootstrap import bpffs, packages, system
from deploy.bootstrap.commands import interruptible
from deploy.bootstrap.environment import Environment
from deploy.bootstrap.errors import Interrupted, SetupError
from deploy.bootstrap.progress import Progress
from tests.layers import LAYERS, NAMES, Layer

CHECKOUT = Path(__file__).resolve().parent.parent
COMMAND = "tests/run"
_TYPED = ("wire", "rules", "agent", "collector", "deploy", "tests")
_NO_TESTS = 5
# A style check that takes this long hangs.
_LONGEST_S = 1200
_TEARDOWN_S = 120
# More would only wait for each other's disk and memory.
_MOST_BESIDE = 4
_CACHES = (".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis")


@dataclass(frozen=True, slots=True)
class Result:
    """What one layer came to."""

    layer: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    remark: str = ""


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    options = _options()
    progress = Progress()
    interruptible()
    if options.full:
        os.environ.setdefault("HOLDFAST_TEST_EXAMPLES", "20")
        os.environ.setdefault("HOLDFAST_VM_ALL", "1")
    else:
        # Of the kernels that are booted, one.
        os.environ.setdefault("HOLDFAST_TEST_KERNELS", "6.1-lsm")
    try:
        chosen = _chosen(options.only, options.full)
        _set_up(chosen, progress, full=options.full)
        with ExitStack() as stack:
            if any(layer.root for layer in chosen):
                stack.enter_context(bpffs.mounted())
            results = [_run_layer(layer, options.pytest, options.full) for layer in chosen]
    except SetupError as error:
        print(error, file=sys.stderr)
        return 2
    except Interrupted as interrupted:
        print(f"\n{COMMAND}: ended by {interrupted}", file=sys.stderr)
        return interrupted.exit_code
    finally:
        _give_back()
    strict = os.geteuid() == 0 and not options.only
    return _report(results, skips_fail=strict)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    layers = ", ".join(f"{layer.name} ({layer.covers})" for layer in LAYERS)
    parser.add_argument("--only", metavar="LAYER[,LAYER]", default="", help=layers)
    parser.add_argument("--full", action="store_true", help="also the layers that take long")
    parser.add_argument("pytest", nargs="*", help="after --, arguments for pytest")
    return parser.parse_args()


def _chosen(only: str, full: bool) -> list[Layer]:
    names = [name.strip() for name in only.split(",") if name.strip()]
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise SetupError(f"{COMMAND}: no layer {unknown[0]!r}; there are: {', '.join(NAMES)}")
    chosen = [layer for layer in LAYERS if layer.name in names or not names]
    if not names and not full:
        chosen = [layer for layer in chosen if not layer.long]
    there = []
    for layer in chosen:
        if layer.long and layer.directory and not (CHECKOUT / layer.directory).is_dir():
            print(f"{COMMAND}: layer {layer.name} ({layer.covers}) is not there yet")
        else:
            there.append(layer)
    if not there:
        raise SetupError(f"{COMMAND}: nothing to run")
    return there


def _set_up(chosen: Sequence[Layer], progress: Progress, *, full: bool) -> None:
    as_root = any(layer.root for layer in chosen)
    if as_root:
        remark = system.check_this_system(COMMAND)
        if remark:
            progress.line(remark)
        system.check_root(COMMAND)
        packages.ensure((*packages.FOR_KERNEL, *packages.FOR_TESTS), progress, COMMAND)
    environment = Environment(CHECKOUT)
    sets = ("collector", "nats-server", "dev")
    if not environment.ready(sets):
        packages.ensure(packages.FOR_ENVIRONMENT, progress, COMMAND)
    environment.ensure(sets, progress)
    own = tuple(name for layer in chosen for name in layer.packages)
    packages.ensure(own, progress, COMMAND, services=False)
    if full and as_root:
        packages.ensure(("vagrant", "vagrant-libvirt"), progress, COMMAND)


def _run_layer(layer: Layer, extra: Sequence[str], full: bool) -> Result:
    print(f"\n== {layer.name}: {layer.covers}", flush=True)
    began = time.monotonic()
    result = (
        _check_style()
        if not layer.arguments
        else _run_pytest(layer, extra, layer.limit_s(full=full))
    )
    return replace(result, seconds=time.monotonic() - began)


def _check_style() -> Result:
    typed = [name for name in _TYPED if any((CHECKOUT / name).rglob("*.py"))]
    checks = (
        ("ruff", "format", "--check", ".", "deploy/try", "tests/run"),
        ("ruff", "check", ".", "deploy/try", "tests/run"),
        ("mypy", "--strict", *typed),
    )
    failed = sum(_call([_tool(name), *rest]) != 0 for name, *rest in checks)
    return Result("style", passed=len(checks) - failed, failed=failed)


def _run_pytest(layer: Layer, extra: Sequence[str], limit_s: int | None) -> Result:
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as directory:
        report = Path(directory) / "report.xml"
        arguments = [*layer.arguments, f"--junit-xml={report}", "--durations=5", *extra]
        if layer.beside and not extra and (processors := os.cpu_count() or 1) > 1:
            # File by file, since tests of one share what takes long to start.
            arguments += [f"--numprocesses={min(processors, _MOST_BESIDE)}", "--dist=loadfile"]
        code = _call([_tool("python"), "-m", "pytest", "-q", *arguments], limit_s)
        if code == _NO_TESTS:
            return Result(layer.name, failed=0 if extra else 1, remark="no tests were found")
        if not report.exists():
            return Result(layer.name, failed=1, remark=f"pytest ended with exit code {code}")
        result = _read_report(layer.name, report)
    if code != 0 and not result.failed:
        return replace(result, failed=1, remark=f"pytest ended with exit code {code}")
    return result


def _read_report(name: str, report: Path) -> Result:
    # Written by our own pytest a moment ago.
    suites = list(ElementTree.parse(report).getroot().iter("testsuite"))  # noqa: S314

    def total(*attributes: str) -> int:
        return sum(int(suite.get(each, "0")) for suite in suites for each in attributes)

    failed, skipped = total("failures", "errors"), total("skipped")
    return Result(name, total("tests") - failed - skipped, failed, skipped)


def _tool(name: str) -> str:
    return str(Environment(CHECKOUT).place / "bin" / name)


def _call(argv: Sequence[str], longest_s: int | None = _LONGEST_S) -> int:
    """Run a tool to its end. When the run is ended, or hangs, let it undo what it did first."""
    tools = str(Environment(CHECKOUT).place / "bin")
    environment = {**os.environ, "PATH": f"{tools}:{os.environ.get('PATH', '/usr/bin:/bin')}"}
    if CHECKOUT.stat().st_uid != os.geteuid():
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
    # In a group of its own, so that a Ctrl-C reaches it once, from here: a second one would cut
    # pytest's teardown off, and SIGTERM would end it without any.
    process = subprocess.Popen(list(argv), cwd=CHECKOUT, env=environment, process_group=0)
    try:
        return process.wait(longest_s)
    except subprocess.TimeoutExpired:
        print(f"{COMMAND}: {argv[0]} still runs after {longest_s} s; it is ended", flush=True)
        return _end(process)
    except Interrupted:
        _end(process)
        raise


def _end(process: "subprocess.Popen[bytes]") -> int:
    process.send_signal(signal.SIGINT)
    try:
        return process.wait(_TEARDOWN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _give_back() -> None:
    """Let the owner of the checkout keep what root's run has written into it."""
    owner = CHECKOUT.stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        return
    for cache in _CACHES:
        for directory, _, files in os.walk(CHECKOUT / cache):
            for path in (directory, *(os.path.join(directory, name) for name in files)):
                os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _report(results: Sequence[Result], *, skips_fail: bool) -> int:
    print()
    for result in results:
        counts = f"{result.passed} passed, {result.failed} failed, {result.skipped} skipped"
        remark = f"  {result.remark}" if result.remark else ""
        print(f"{result.layer:<11} {result.seconds:7.1f} s  {counts}{remark}")
    passed = sum(result.passed for result in results)
    failed = sum(result.failed for result in results)
    skipped = sum(result.skipped for result in results)
    if skipped and skips_fail:
        print(f"{skipped} skipped: a full run as root may skip nothing, so this run has failed")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or (skipped and skips_fail) else 0
