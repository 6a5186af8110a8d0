"""What tests inside a VM come to is told truly, whatever they do to the VM or to pytest."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.bootstrap.progress import Progress
from tests.vm import checkout, image
from tests.vm.kernels import Hooks, kernel_named
from tests.vm.machine import Machine, MachineError, Shape
from tests.vm.programs import Target
from tests.vm.suite import Inside

pytestmark = pytest.mark.timeout(1200)
_FILE = "/tmp/test_sample.py"  # noqa: S108 - in a VM of our own


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    """A VM with the checkout in it; the last test here ends it."""
    progress = Progress()
    stock = image.stock(kernel_named("6.1"), progress)
    machine = Machine(tmp_path_factory.mktemp("vm"))
    try:
        release = machine.boot(image.root(progress), stock, Shape())
        machine.put(checkout.packed(), checkout.parent())
        yield Inside(machine, Target(stock.version, release, Hooks.LSM, "stop"))
    finally:
        machine.end()


def run(inside: Inside, text: str) -> tuple[int, list[tuple[str, str]]]:
    """Run a file of tests; return pytest's exit code, and name and outcome of each real report.

    Those of setups and teardowns that passed are left out.
    """
    written = base64.b64encode(text.encode()).decode()
    put = f"echo {written} | base64 -d > {_FILE}"
    inside.machine.run(["/bin/sh", "-c", put], output=lambda *_: None, seconds=60)
    reports: list[dict[str, Any]] = []
    code = inside.tests([_FILE, "--noconftest", "--rootdir=/tmp"], reports.append)
    return code, [
        (one["nodeid"].rpartition("::")[2], one["outcome"])
        for one in reports
        if one.get("when") not in ("setup", "teardown") or one["outcome"] != "passed"
    ]


def test_each_report_comes_out_as_it_was_made(inside: Inside) -> None:
    """Passed, failed and skipped, with the exit code that says so."""
    code, reports = run(
        inside,
        "import pytest\ndef test_one(): pass\ndef test_two(): assert False\n"
        "def test_three(): pytest.skip('why')\n",
    )
    assert code == pytest.ExitCode.TESTS_FAILED
    assert reports == [("test_one", "passed"), ("test_two", "failed"), ("test_three", "skipped")]


def test_a_file_that_does_not_import_is_a_report_that_has_failed(inside: Inside) -> None:
    """And the exit code is none of a good run."""
    code, reports = run(inside, "import no_such_module\n")
    assert code == pytest.ExitCode.INTERRUPTED
    assert [outcome for _, outcome in reports] == ["failed"]


def test_no_test_is_an_exit_code_of_its_own(inside: Inside) -> None:
    """What has run nothing has not passed."""
    assert run(inside, "") == (pytest.ExitCode.NO_TESTS_COLLECTED, [])


def test_a_pytest_that_ends_too_early_is_an_error(inside: Inside) -> None:
    """Whatever exit code it ends with."""
    with pytest.raises(MachineError, match="ended with 0 before its end"):
        run(inside, "import os\ndef test_one(): pass\ndef test_two(): os._exit(0)\n")


def test_a_kernel_that_dies_under_a_test_is_an_error(inside: Inside) -> None:
    """It names the console."""
    with pytest.raises(MachineError, match=r"has ended; its console is .*console\.log"):
        run(inside, "def test_one(): open('/proc/sysrq-trigger', 'w').write('c')\n")
