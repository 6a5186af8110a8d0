"""Which tests run inside the VMs: not all, since software emulation is 15 times slower."""

import os
import re
import shlex

from rules.modes import HostMode
from tests.vm.image import CHECKOUT

# Whether more runs than each time, as in `tests/run --full`.
ALL = "HOLDFAST_VM_ALL" in os.environ
_GATE = "tests/kernel/test_gate_*.py"
# Of these files only what is looked at each time, so that a kernel is done in three minutes: that a
# change has not happened and then happens, and that a grant lets pass what it is for and no more.
# How storms are told and counted is for --full.
_EACH_TIME = {
    "tests/kernel/test_gate_files.py": ("test_a_held_call_has_not_happened_and_then_happens_once",),
    "tests/kernel/test_gate_grants.py": (
        "test_a_file_passes_without_a_stop_so_often_as_was_said",
        "test_a_grant_that_is_revoked_covers_nothing",
        "test_another_session_is_held_unless_the_whole_subject_was_meant",
    ),
    "tests/kernel/test_gate_storm.py": (),
}
# Of stop mode: what holds, and what is lost.
_STOP = (
    "tests/kernel/test_attach.py",
    "tests/kernel/test_exec.py",
    "tests/kernel/test_labels.py",
    "tests/kernel/test_open.py",
    "tests/kernel/test_losses.py",
)
# What says of a kernel which mode it takes, and what the agent leaves behind in any mode.
_ANY_MODE = (
    "tests/kernel/test_doctor.py",
    "tests/kernel/test_pins.py",
    "tests/kernel/test_upgrade.py",
)
_ANY_MODE_TOGETHER = (
    "tests/end_to_end/test_emergency.py",
    "tests/end_to_end/test_uninstall.py",
    "tests/end_to_end/test_upgrade.py",
)
# The page that names a test for each way round Holdfast, and those of them that are of stop mode.
_WAYS = CHECKOUT / "docs" / "security.md"
_WAYS_OF_STOP_MODE = (
    "test_a_datagram_with_an_address_is_late_and_its_process_stopped",
    "test_a_fast_open_send_is_a_connection_that_may_be_late",
    "test_one_message_of_many_is_found",
    "test_setting_up_io_uring_is_held_as_the_opening_of_its_ring",
    "test_what_cannot_be_held_is_killed_and_counted",
)
# All of Holdfast together, in the mode that is asked for.
_TOGETHER = "tests/end_to_end/test_main_job.py"
# Whether programs notice: held before the act, they must come to the same.
_TRANSPARENCY = "tests/transparency"
# What is looked at each time of it: what other modes do otherwise.
_MOST_TELLING = (
    "test_an_approved_command_waits_and_then_runs",
    "test_a_denied_command_dies_before_its_first_instruction",
    "test_a_secret_is_read_only_after_approval",
    "test_nothing_is_said_over_a_connection_before_approval",
    "test_the_agent_restarts_with_a_hold_open",
    "test_the_trail_says_who_when_and_why",
)
# These let a process run on as root can in stop mode. In gate mode nobody can.
_OF_STOP_MODE = (
    "test_two_holds_of_one_process_need_two_approvals",
    "test_a_denial_of_one_hold_kills_whatever_else_was_approved",
)


def parts(mode: str) -> dict[str, list[str]]:
    """Return the arguments for pytest in each of the VMs that one kernel gets, by a name for each.

    HOLDFAST_VM_TESTS may have others for a single one, in a shell's quoting.
    """
    own = os.environ.get("HOLDFAST_VM_TESTS", "")
    if own:
        return {"chosen": shlex.split(own)}
    stop = mode == HostMode.STOP
    gate = sorted(str(path.relative_to(CHECKOUT)) for path in CHECKOUT.glob(_GATE))
    together = [f"{_TOGETHER}::{name}" for name in _MOST_TELLING]
    if ALL:
        left_out = () if stop else _OF_STOP_MODE
        together = [_TOGETHER, *_ANY_MODE_TOGETHER]
        together += (f"--deselect={_TOGETHER}::{name}" for name in left_out)
    else:
        gate = [each for one in gate for each in _each_time(one)]
    kernel = list(_STOP) if stop else gate
    found = {"kernel": [*kernel, *_ANY_MODE] if ALL else kernel, "together": together}
    if ALL and not stop:
        found |= {"ways": _ways(), "transparency": [_TRANSPARENCY]}
    return found


def _each_time(file: str) -> list[str]:
    """Return what of a file runs each time."""
    return [f"{file}::{name}" for name in _EACH_TIME[file]] if file in _EACH_TIME else [file]


def _ways() -> list[str]:
    """Return the tests of ways round Holdfast that no other part has."""
    text = _WAYS.read_text(encoding="utf-8")
    named = re.findall(r"tests/kernel/(?!test_gate_|test_pins|test_upgrade)[\w/]+\.py::\w+", text)
    return [one for one in sorted({*named}) if not one.endswith(_WAYS_OF_STOP_MODE)]
