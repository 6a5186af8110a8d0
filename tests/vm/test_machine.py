"""What a VM does is told truly: how a command ends, that it hangs, that the machine has died."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.bootstrap.progress import Progress
from tests.vm import image, suite
from tests.vm.kernels import kernel_named
from tests.vm.machine import LOGS, Machine, MachineError, Shape

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A VM that takes commands; the last test here ends it."""
    progress = Progress()
    stock = image.stock(kernel_named("6.1"), progress)
    machine = Machine(tmp_path_factory.mktemp("vm"))
    try:
        machine.boot(image.root(progress), stock, Shape())
        yield machine
    finally:
        machine.end()


def run(machine: Machine, script: str, *, silence: float | None = None) -> tuple[int, str]:
    """Run a line of shell; return its exit code and what it wrote."""
    said: list[bytes] = []
    code = machine.run(
        ["/bin/sh", "-c", script],
        output=lambda _, content: said.append(content),
        seconds=60,
        silence=silence,
    )
    return code, b"".join(said).decode()


def test_the_kernel_is_the_stock_one_with_bpf_among_its_security_modules(booted: Machine) -> None:
    """Debian's own build, as its name says."""
    code, said = run(booted, "uname -r; cat /sys/kernel/security/lsm")
    release, modules = said.splitlines()
    assert code == 0
    assert release.startswith("6.1.0-")
    assert release.endswith("-cloud-amd64")
    assert "bpf" in modules.split(",")


@pytest.mark.parametrize(("script", "code"), [("true", 0), ("exit 7", 7), ("kill -9 $$", 137)])
def test_a_command_ends_outside_as_it_ended_inside(booted: Machine, script: str, code: int) -> None:
    """Its exit code, or 128 and the number of the signal."""
    assert run(booted, f"echo said; {script}") == (code, "said\n")


def test_a_child_that_keeps_the_output_open_does_not_keep_a_command_from_ending(
    booted: Machine,
) -> None:
    """What a test leaves running may not make a hang of the run."""
    assert run(booted, "sleep 600 & echo said") == (0, "said\n")


def test_files_go_in_and_come_out(booted: Machine, tmp_path: Path) -> None:
    """What was put into it is what is got from it."""
    assert run(booted, "mkdir /one && echo text > /one/two")[0] == 0
    packed = booted.get(["/one"])
    assert run(booted, "rm -r /one")[0] == 0
    booted.put(packed, "/")
    assert run(booted, "cat /one/two") == (0, "text\n")


def test_a_command_that_says_nothing_for_too_long_is_an_error(booted: Machine) -> None:
    """It names the console; the command is ended when the next one comes, and the VM goes on."""
    with pytest.raises(MachineError, match=r"not answered in time; its console is .*console\.log"):
        run(booted, "exec sleep 500", silence=1)
    booted.connect()
    assert run(booted, "pgrep -fx 'sleep 500'") == (1, "")


def test_a_machine_that_dies_is_an_error_and_its_logs_are_kept(
    booted: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The kernel's last words are on the console, and what was logged can still be read."""
    script = f"echo words > {LOGS}/agent.log; echo c > /proc/sysrq-trigger"
    with pytest.raises(MachineError, match="has ended"):
        run(booted, script)
    monkeypatch.setattr(suite, "KEPT", tmp_path)
    kept = suite.keep(booted, "died")
    assert (kept / "logs/agent.log").read_text() == "words\n"
    assert "sysrq triggered crash" in (kept / "console.log").read_text(errors="replace")
