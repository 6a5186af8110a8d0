"""Mode audit with a real auditd, where a kernel may be left with audit on or with rules fixed."""

from pathlib import Path

import pytest

from tests.vm.kernels import Hooks, Way
from tests.vm.parts import Part
from tests.vm.telling import tell, told

pytestmark = pytest.mark.timeout(3600)
# What only a boot ends.
_TESTS = ("tests/audit/test_immutable.py",)


@pytest.mark.parametrize("kernel", ["6.1", "6.12"])
def test_mode_audit_works_under(
    kernel: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The tests in the VM are counted one by one."""
    part = Part(Way(kernel, Hooks.LSM), "audit", list(_TESTS), tmp_path)
    part.start(lambda inside: inside.prepare())
    failed, counted = [], 0
    try:
        for one in part.told():
            if isinstance(one, dict):
                report = told(request, one, f"{kernel}-audit")
                counted += report.when == "call"
                if report.failed:
                    failed.append(report.nodeid)
        assert counted, "no test has run in the VM"
    except BaseException as error:
        error.add_note(f"console and logs are in {part.keep()}")
        raise
    finally:
        if failed:
            tell(request, f"{len(failed)} failed in {part.name}; see {part.keep()}")
        part.end()
