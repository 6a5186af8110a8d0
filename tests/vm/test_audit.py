"""Mode audit with a real auditd, where a kernel may be left with audit on or with rules fixed."""

from pathlib import Path

import pytest

from tests.vm.kernels import Hooks, Way
from tests.vm.parts import Part
from tests.vm.telling import counted

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
    try:
        with counted(request, f"{kernel}-audit", part.keep) as tally:
            for one in part.told():
                if isinstance(one, dict):
                    tally.take(one)
                elif isinstance(one, int):
                    tally.end(one)
    finally:
        part.end()
