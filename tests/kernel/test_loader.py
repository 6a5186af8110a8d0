"""The loader: refuses what it cannot trust, says what is missing, and leaves nothing behind."""

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent.errors import SensorError
from agent.sensor import programs
from agent.sensor.interface import Subject
from agent.sensor.stop import StopSensor
from deploy.bootstrap import bpffs
from rules.load import load
from rules.modes import HostMode
from rules.superset import compile_tables
from tests.support.loading import LOADER, loaded_programs, program_ids, run_loader
from tests.support.started import PYTHON
from tests.support.tiny_elf import write_creator
from tests.support.watched import NO_RULES, PINS, Watched

pytestmark = pytest.mark.kernel

# One of each sort of thing that is read, each shifted to what lies beside it.
SHIFTS = {
    "cred.euid": 4,
    "dentry.d_parent": 8,
    "sock_common.skc_dport": 2,
    "group_info.gid": 4,
}


def own_pins(name: str) -> Path:
    """Return a directory of bpffs for one loader."""
    return Path("/sys/fs/bpf/holdfast-test-loader-" + re.sub(r"\W", "-", name))


def nothing_pinned(pins: Path) -> bool:
    """Return whether the loader has left nothing."""
    return not pins.exists() and not pins.with_name(pins.name + "-loading").exists()


@pytest.fixture
def pins() -> Iterator[Path]:
    """A directory of bpffs that is not there, and not after the test either."""
    place = own_pins("one")
    with bpffs.mounted():
        programs.unload(place)
        try:
            yield place
        finally:
            programs.unload(place)


@pytest.fixture(scope="module")
def shifted() -> Iterator[dict[str, "subprocess.CompletedProcess[str]"]]:
    """What the loader did when each offset was wrong. They compile for long, so two at a time."""

    def load_shifted(field: str) -> "subprocess.CompletedProcess[str]":
        pins = str(own_pins(field))
        return run_loader("--pin", pins, "--shift", f"{field}={SHIFTS[field]}")

    with bpffs.mounted(), ThreadPoolExecutor(2) as pool:
        try:
            yield dict(zip(SHIFTS, pool.map(load_shifted, SHIFTS), strict=True))
        finally:
            for field in SHIFTS:
                programs.unload(own_pins(field))


@pytest.mark.parametrize("field", SHIFTS)
def test_a_wrong_offset_is_found_before_anything_is_attached(
    shifted: dict[str, "subprocess.CompletedProcess[str]"], field: str
) -> None:
    """The self-check names the field that is not where the compiler was told, and nothing stays."""
    done = shifted[field]
    assert done.returncode == 1
    said = done.stderr.splitlines()[-1]
    assert "field offsets differ from this kernel's; nothing was attached" in said
    structure, _, name = field.partition(".")
    assert field in said or re.search(rf"{structure}\.[\w, ]*\b{name}\b", said)
    assert nothing_pinned(own_pins(field))


def test_kernel_headers_that_are_broken_are_not_even_looked_at(pins: Path) -> None:
    """Types come from the running kernel, whatever is installed beside it."""
    release = os.uname().release
    # In a mount namespace of its own, so that the machine's own headers stay where they are.
    script = (
        f"mkdir -p /lib/modules && mount -t tmpfs none /lib/modules && cd /lib/modules && "
        f"mkdir -p {release}/build/include/linux {release}/build/arch/x86/include/asm && "
        f"ln -s build {release}/source && "
        f"for name in kconfig types bpf version sched ptrace; do "
        f"echo '#error broken headers' > {release}/build/include/linux/$name.h; done && "
        'exec "$0" "$@"'
    )
    made = not Path("/lib/modules").exists()
    try:
        done = run_loader("--pin", str(pins), before=["unshare", "--mount", "sh", "-c", script])
    finally:
        if made:
            Path("/lib/modules").rmdir()
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr
    # It was one load: everything is there, and what was unpinned is gone from the kernel.
    ids = program_ids(pins)
    assert {"on_exec", "on_open_return", "on_network_return"} <= {*ids.values()}
    assert ids.keys() <= loaded_programs()
    programs.unload(pins)
    assert nothing_pinned(pins)
    while ids.keys() & loaded_programs():  # the kernel frees them a moment later
        pass


def test_a_missing_bcc_is_said_with_the_package_that_brings_it(pins: Path) -> None:
    """Also that it is not the one of PyPI."""
    code = (
        "import runpy, sys\n"
        "sys.modules['bcc'] = None\n"
        f"sys.argv = ['loader', '--pin', {str(pins)!r}]\n"
        f"runpy.run_path({str(LOADER)!r}, run_name='__main__')\n"
    )
    done = subprocess.run(
        [PYTHON, "-I", "-B", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"holdfast loader: bcc is not installed for {PYTHON}; install python3-bpfcc (Debian, "
        "Ubuntu) or python3-bcc (Fedora, RHEL), not the bcc of PyPI"
    ]
    assert nothing_pinned(pins)


def test_a_directory_that_cannot_hold_pins_is_said(place: Path) -> None:
    """Both by the loader and, before it is even run, by the sensor."""
    done = run_loader("--pin", str(place / "pins"))
    assert done.returncode == 1
    said = f"holdfast loader: cannot pin under {place}/pins: no bpffs is mounted there\n"
    assert done.stderr == said
    assert nothing_pinned(place / "pins")
    rules = place / "rules.yaml"
    rules.write_text(NO_RULES)
    with pytest.raises(SensorError, match="not on a BPF file system; run: mount -t bpf"):
        StopSensor(place / "pins").start([], compile_tables(load([rules]), HostMode.STOP))


def test_programs_that_are_there_already_are_left_alone(watched: Watched) -> None:
    """A second loader does not replace what an agent uses."""
    before = program_ids(PINS)
    done = run_loader("--pin", str(PINS))
    assert done.returncode == 1
    assert "there already" in done.stderr
    assert program_ids(PINS) == before


def test_compiled_programs_are_kept_and_what_is_broken_is_made_anew(
    watched: Watched, pins: Path
) -> None:
    """A second load needs no compiler; an image that the kernel refuses is thrown away."""
    arguments = ("--pin", str(pins), "--cache", str(watched.cache))
    assert json.loads(run_loader(*arguments).stdout)["compiled"] is False
    programs.unload(pins)
    (image,) = watched.cache.glob("programs-*.json")
    kept = json.loads(image.read_text())
    broken = {**kept["programs"]["on_exec"], "code": base64.b64encode(bytes(64)).decode()}
    image.write_text(json.dumps({**kept, "programs": {**kept["programs"], "on_exec": broken}}))
    assert json.loads(run_loader(*arguments).stdout)["compiled"] is True
    assert json.loads(image.read_text()) == kept


def test_no_compiler_is_in_the_agents_memory(watched: Watched) -> None:
    """The sensor of this very process came up without bcc, libbcc, LLVM or clang in it."""
    assert "bcc" not in sys.modules
    mapped = Path("/proc/self/maps").read_text().lower()
    assert [name for name in ("libbcc", "llvm", "clang") if name in mapped] == []


def test_what_cannot_be_held_is_killed_and_counted(watched: Watched, pins: Path) -> None:
    """With no room for a hold, the program ends before its first instruction; none is let go."""
    done = run_loader("--pin", str(pins), "--holds", "2")
    assert done.returncode == 0, done.stderr
    write_creator(watched.place / "tiny", watched.place / "made")
    rules = watched.place / "tiny.yaml"
    rules.write_text(
        NO_RULES.replace("/holdfast-test/no/such/program", "tiny").replace("observe", "ask")
    )
    small = StopSensor(pins)
    other = watched.accounts.other
    small.start(
        [Subject(index=1, name="other", uids=(other.pw_uid,))],
        compile_tables(load([rules]), HostMode.STOP),
    )
    try:
        children = [watched.run([watched.place / "tiny"], user=other.pw_uid) for _ in range(4)]
        for child in children[:2]:
            child.wait_stopped()
        for child in children[2:]:
            assert child.end() == -9
        assert not (watched.place / "made").exists()
        assert small.losses().holds == 2
        assert {held.act.process.pid for held in small.all_holds()} == {c.pid for c in children[:2]}
        for held in small.all_holds():
            small.forget(held.key)
        small.unguard(children[0].pid)
        children[0].resume()
        assert children[0].end() == 0
        # There is room again.
        last = watched.run([watched.place / "tiny"], user=other.pw_uid)
        last.wait_stopped()
        assert small.losses().holds == 2
    finally:
        small.close()


def test_a_kernel_without_direct_reads_is_served_by_helpers(pins: Path, place: Path) -> None:
    """Older kernels have no other way; the same programs pass the verifier and the self-check."""
    done = run_loader("--pin", str(pins), "--helpers")
    assert (done.returncode, done.stderr) == (0, "")
    by_helpers = run_loader("--cache", str(place / "helpers"), "--helpers")
    directly = run_loader("--cache", str(place / "direct"))
    assert (by_helpers.returncode, directly.returncode) == (0, 0)
    assert (_calls(place / "helpers"), bool(_calls(place / "direct"))) == (0, True)


def _calls(cache: Path) -> int:
    """Return how many calls of kernel functions the kept programs have."""
    (image,) = cache.glob("programs-*.json")
    code = b"".join(
        base64.b64decode(one["code"]) for one in json.loads(image.read_text())["programs"].values()
    )
    return sum(code[at] == 0x85 and code[at + 1] == 0x20 for at in range(0, len(code), 8))
