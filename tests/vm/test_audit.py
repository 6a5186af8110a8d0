"""Mode audit with a real auditd, where a kernel may be left with audit on or with rules fixed."""

from pathlib import Path

import pytest

from tests.vm.kernels import Hooks, Way
from tests.vm.parts import Part
from tests.vm.telling import tell, told

pytestmark = pytest.mark.timeout(3600)
# What is held and what is left behind; and in a VM of its own, what only a boot ends.
_TESTS = {
    "holds": ("tests/audit/test_holds.py", "tests/audit/test_leftover.py"),
    "immutable": ("tests/audit/test_immutable.py",),
}


@pytest.mark.parametrize("kernel", ["6.1", "6.12"])
@pytest.mark.parametrize("about", _TESTS)
def test_mode_audit_works_under(
    kernel: str, about: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The tests in the VM are counted one by one."""
    part = Part(Way(kernel, Hooks.LSM), f"audit-{about}", list(_TESTS[about]), tmp_path)
    part.start(lambda inside: inside.prepare())
    failed, counted = [], 0
    try:
        for one in part.told():
            if isinstance(one, dict):
                report = told(request, one, f"{kernel}-audit")
                counted += report.when == "call"
                if report.failed:
                    failed.append(report.nodeid)
            elif isinstance(one, int):
                assert one in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        assert counted, "no test has run in the VM"
    except BaseException as error:
        error.add_note(f"console and logs are in {part.keep()}")
        raise
    finally:
        if failed:
            tell(request, f"{len(failed)} failed in {part.name}; see {part.keep()}")
        part.end()
