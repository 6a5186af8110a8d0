"""Load the kernel side or take up what an earlier agent left; attach what rules need; unload."""

import json
import logging
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Collection
from pathlib import Path

import agent.kernel
from agent.errors import SensorError
from agent.kernel.loader.digest import programs_id, records_digest, source_digest
from agent.sensor.bpf import Map, attach_raw_tracepoint, link_exists, link_id, open_pinned, pin
from agent.sensor.interface import NO_KEY, HeldKey
from agent.sensor.records import KIND_NUMBERS
from wire.acts import KINDS_OF_PROCESSES, Kind

log = logging.getLogger(__name__)

# The distribution's own Python, which alone has the distribution's bcc.
SYSTEM_PYTHON = "/usr/bin/python3"
_KERNEL = Path(agent.kernel.__file__).parent
_LOAD_LIMIT_S = 120
_DIGEST = 32
_DETACH_LIMIT_S, _DETACH_STEP_S = 10.0, 0.001

# Attached while rules want one of these kinds. Any system call tracepoint costs every process of
# the host about 90 ns a call, so none stays that is not needed.
_BY_KIND = {
    "on_open_return": ("sys_exit", {Kind.OPEN}),
    "on_network_return": ("sys_exit", {Kind.CONNECT, Kind.SEND}),
    "on_socket_state": ("inet_sock_set_state", {Kind.CONNECT}),
}
# Of programs on one tracepoint each costs every call, so where both are needed one does for both.
_ONE_FOR_BOTH, _BOTH = {"on_open_return", "on_network_return"}, "on_call_return"
_FOR_CGROUPS = {"on_cgroup_mkdir": "cgroup_mkdir", "on_cgroup_rmdir": "cgroup_rmdir"}


def ensure_loaded(
    directory: Path, cache: Path | None, journalled: Collection[HeldKey] = ()
) -> None:
    """Make sure that our programs are pinned under `directory`; raise SensorError with the remedy.

    Programs of another version are upgraded: ours go on with their labels and holds, and act from
    `activate` on, until which the others do. `journalled` are the holds that the agent knows from
    its journal. If others have holds that neither the journal nor we can read, that is an error.
    """
    _finish_renames(directory)
    wanted = source_digest(str(_KERNEL))
    if not directory.is_dir():
        _load(directory, cache)
        return
    found = _about(directory)
    if found[:_DIGEST] == wanted:
        log.info("taking up the programs at %s", directory)
        return
    unreadable = _unreadable_holds(directory, found, journalled)
    if unreadable:
        raise SensorError(
            f"{directory}: another version's programs hold {unreadable} acts that this version "
            "cannot read; start that version once, so that it journals them, and then this one"
        )
    if found:
        _upgrade(directory, cache)
    else:  # older than upgrades are
        unload(directory)
        _load(directory, cache)


def activate(directory: Path) -> None:
    """Let our programs act, and no others, from this instant on; take the others away."""
    active = Map(directory / "maps" / "hf_active", 4, 4)
    try:
        active.set(bytes(4), struct.pack("<I", programs_id(source_digest(str(_KERNEL)))))
    finally:
        active.close()
    old = _old(directory)
    if old.is_dir():
        unload(old)


def _old(directory: Path) -> Path:
    return directory.with_name(directory.name + "-old")


def _next(directory: Path) -> Path:
    return directory.with_name(directory.name + "-next")


def _finish_renames(directory: Path) -> None:
    """Bring an upgrade to an end that was cut off between its two renames, or before them."""
    if not directory.is_dir() and _old(directory).is_dir():
        if _next(directory).is_dir():
            _next(directory).rename(directory)
        else:
            _old(directory).rename(directory)
    elif _next(directory).is_dir():
        unload(_next(directory))


def _upgrade(directory: Path, cache: Path | None) -> None:
    """Put ours in the place of other programs, which go on acting until `activate`."""
    if _old(directory).is_dir():
        # An upgrade before this one was never activated: what it has put here does not act, and
        # what acts lies beside it.
        unload(directory)
        _old(directory).rename(directory)
    _load(_next(directory), cache, "--upgrade", str(directory))
    directory.rename(_old(directory))
    _next(directory).rename(directory)
    log.info("upgraded the programs at %s", directory)


def _about(directory: Path) -> bytes:
    """Return the digests of sources and records of the programs there; empty if they have none."""
    try:
        about = Map(directory / "maps" / "hf_about", 4, 2 * _DIGEST)
    except SensorError:
        return b""
    try:
        return about.get(struct.pack("<I", 0)) or b""
    finally:
        about.close()


def _unreadable_holds(directory: Path, about: bytes, journalled: Collection[HeldKey]) -> int:
    """Return how many acts another version's programs hold that nobody here knows of."""
    if about[_DIGEST:] == records_digest(str(_KERNEL)):
        return 0
    try:
        holds = Map(directory / "maps" / "hf_holds", 8, None)
    except SensorError:
        return int((directory / "maps" / "hf_holds").exists())
    try:
        known = {struct.pack("<Q", key) for key in journalled if key != NO_KEY}
        return len(set(holds.all_keys()) - known)
    finally:
        holds.close()


def _load(directory: Path, cache: Path | None, *options: str) -> None:
    loader = str(_KERNEL / "loader")
    command = [SYSTEM_PYTHON, "-I", "-B", loader, "--pin", str(directory), *options]
    if cache is not None:
        command += ["--cache", str(cache)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_LOAD_LIMIT_S,
            check=False,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SensorError(f"the loader did not run: {error}; is {SYSTEM_PYTHON} there?") from error
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        said = next(
            (one for one in lines if one.startswith("holdfast loader:")), "\n".join(lines[-5:])
        )
        raise SensorError(said or f"the loader ended with status {done.returncode}")
    log.info("loaded the programs: %s", json.loads(done.stdout))


def attach_for(directory: Path, kinds: frozenset[Kind], *, cgroups: bool) -> None:
    """Attach the programs that rules about these kinds need; raise SensorError."""
    for name, tracepoint in _needed(kinds, cgroups=cgroups).items():
        attach_one(directory, name, tracepoint)


def detach_others(directory: Path, kinds: frozenset[Kind], *, cgroups: bool) -> None:
    """Detach what no rule needs any more."""
    needed = _needed(kinds, cgroups=cgroups)
    for name in {*_BY_KIND, _BOTH, *_FOR_CGROUPS} - needed.keys():
        (directory / "links" / name).unlink(missing_ok=True)


def _needed(kinds: frozenset[Kind], *, cgroups: bool) -> dict[str, str]:
    """Return the programs that are needed beside the constant ones, each with its tracepoint."""
    by_kind = {
        name: tracepoint
        for name, (tracepoint, wanted_by) in _BY_KIND.items()
        if not wanted_by.isdisjoint(kinds)
    }
    if by_kind.keys() >= _ONE_FOR_BOTH:
        by_kind = {name: at for name, at in by_kind.items() if name not in _ONE_FOR_BOTH}
        by_kind[_BOTH] = "sys_exit"
    return by_kind | (_FOR_CGROUPS if cgroups else {})


def attach_one(directory: Path, name: str, tracepoint: str) -> None:
    """Attach a pinned program unless it is attached; raise SensorError."""
    link = directory / "links" / name
    if link.exists():
        return
    program = open_pinned(directory / "programs" / name)
    try:
        made = attach_raw_tracepoint(program, tracepoint)
        try:
            pin(made, link)
        finally:
            os.close(made)
    except OSError as error:
        raise SensorError(f"{name}: cannot attach to {tracepoint}: {error.strerror}") from error
    finally:
        os.close(program)


def attached(directory: Path) -> frozenset[str]:
    """Return the names of the programs that are attached."""
    return frozenset(path.name for path in (directory / "links").iterdir())


def detach(directory: Path) -> None:
    """Take the programs off their tracepoints and return once none of them can run any more."""
    links = directory / "links"
    if not links.is_dir():
        return
    numbers = [link_id(path) for path in links.iterdir()]
    shutil.rmtree(links)
    end = time.monotonic() + _DETACH_LIMIT_S
    while any(link_exists(number) for number in numbers):
        if time.monotonic() > end:
            raise SensorError(f"{links}: the kernel has not let go of the programs; try again")
        time.sleep(_DETACH_STEP_S)  # the kernel gives no event when a link has gone


def unload(directory: Path) -> None:
    """Take our programs and maps out of the kernel: links first, so that nothing is half there."""
    for place in (directory, _next(directory), _old(directory)):
        # The loader's own name for what it has not finished comes along.
        for part in (place, place.with_name(place.name + "-loading")):
            if part.is_dir():
                detach(part)
                shutil.rmtree(part)


assert set(KIND_NUMBERS) == set(KINDS_OF_PROCESSES)
