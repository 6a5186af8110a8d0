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
from typing import Any

import agent.kernel
from agent.errors import SensorError
from agent.kernel.loader.digest import programs_id, records_digest, version_digest
from agent.sensor.bpf import Map, attach, link_exists, link_id, open_pinned, pin
from agent.sensor.interface import NO_KEY, HeldKey
from agent.sensor.records import KIND_NUMBERS
from agent.sensor.sides import ESSENTIAL, RINGS, STOP, Side
from wire.acts import KINDS_OF_PROCESSES, Kind

log = logging.getLogger(__name__)

# The distribution's own Python, which alone has the distribution's bcc.
SYSTEM_PYTHON = "/usr/bin/python3"
_KERNEL = Path(agent.kernel.__file__).parent
_LOAD_LIMIT_S = 600  # a compiler and a verifier, on a machine that is emulated
_DIGEST = 32
_DETACH_LIMIT_S, _DETACH_STEP_S = 10.0, 0.001


def ensure_loaded(
    directory: Path,
    cache: Path | None,
    journalled: Collection[HeldKey] = (),
    *,
    side: Side = STOP,
) -> None:
    """Make sure that our programs of a mode are pinned under `directory`; or raise SensorError.

    Programs of another version or mode are upgraded: ours go on with their labels and holds, and
    act from `activate` on, until which the others do. `journalled` are the holds that the agent
    knows from its journal. If others have holds that neither the journal nor we can read, that is
    an error.
    """
    _finish_renames(directory)
    wanted = version_digest(str(_KERNEL), side.name)
    if not directory.is_dir():
        _load(directory, cache, side)
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
        _upgrade(directory, cache, side)
    else:  # older than upgrades are
        unload(directory)
        _load(directory, cache, side)


def activate(directory: Path, side: Side = STOP) -> None:
    """Let our programs act, and no others, from this instant on; take the others away."""
    active = Map(directory / "maps" / "hf_active", 4, 4)
    try:
        number = programs_id(version_digest(str(_KERNEL), side.name))
        active.set(bytes(4), struct.pack("<I", number))
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


def _upgrade(directory: Path, cache: Path | None, side: Side) -> None:
    """Put ours in the place of other programs, which go on acting until `activate`."""
    if _old(directory).is_dir():
        # An upgrade before this one was never activated: what it has put here does not act, and
        # what acts lies beside it.
        unload(directory)
        _old(directory).rename(directory)
    _load(_next(directory), cache, side, "--upgrade", str(directory))
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


def trials() -> dict[str, object]:
    """Return what kinds of programs this kernel takes: True or, in words, why not."""
    found: dict[str, object] = _run_loader("--probe")
    return found


def _load(directory: Path, cache: Path | None, side: Side, *options: str) -> None:
    mode = ("--mode", side.name)
    kept = ("--cache", str(cache)) if cache is not None else ()
    found = _run_loader("--pin", str(directory), *mode, *options, *kept)
    log.info("loaded the programs: %s", found)


def _own_place() -> dict[str, str]:
    """Return where the loader may write for a moment, where a unit of systemd leaves one place."""
    place = os.environ.get("TMPDIR", "")
    return {"TMPDIR": place} if place else {}


def _run_loader(*options: str) -> Any:
    command = [SYSTEM_PYTHON, "-I", "-B", str(_KERNEL / "loader"), *options]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_LOAD_LIMIT_S,
            check=False,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", **_own_place()},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SensorError(f"the loader did not run: {error}; is {SYSTEM_PYTHON} there?") from error
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        # The last: before it the loader may have said that it tries in another way.
        said = next(
            (one for one in reversed(lines) if one.startswith("holdfast loader:")),
            "\n".join(lines[-5:]),
        )
        raise SensorError(said or f"the loader ended with status {done.returncode}")
    return json.loads(done.stdout)


def attach_for(
    directory: Path,
    kinds: frozenset[Kind],
    side: Side,
    *,
    cgroups: bool,
    quarantine: bool = False,
) -> None:
    """Attach the programs that rules about these kinds need; raise SensorError."""
    for name, place in _needed(
        directory, kinds, side, cgroups=cgroups, quarantine=quarantine
    ).items():
        attach_one(directory, name, place)


def detach_others(
    directory: Path,
    kinds: frozenset[Kind],
    side: Side,
    *,
    cgroups: bool,
    quarantine: bool = False,
) -> None:
    """Detach what no rule needs any more."""
    needed = _needed(directory, kinds, side, cgroups=cgroups, quarantine=quarantine)
    for name in side.optional() - needed.keys():
        (directory / "links" / name).unlink(missing_ok=True)


def _needed(
    directory: Path, kinds: frozenset[Kind], side: Side, *, cgroups: bool, quarantine: bool
) -> dict[str, str | None]:
    """Return what is needed and there: a kernel has no place for each program."""
    there = {path.name for path in (directory / "programs").iterdir()}
    found = side.needed(kinds, cgroups=cgroups, quarantine=quarantine)
    if there.issuperset(RINGS):
        found.pop(RINGS[1], None)
    return {name: place for name, place in found.items() if name in there}


def missing(directory: Path) -> frozenset[Kind]:
    """Return the kinds of act that gate mode cannot hold on this kernel."""
    there = {path.name for path in (directory / "programs").iterdir()}
    return frozenset(kind for kind, needed in ESSENTIAL.items() if not needed <= there)


def attach_one(directory: Path, name: str, tracepoint: str | None) -> None:
    """Attach a pinned program unless it is attached; raise SensorError."""
    link = directory / "links" / name
    if link.exists():
        return
    program = open_pinned(directory / "programs" / name)
    try:
        made = attach(program, tracepoint)
        try:
            pin(made, link)
        finally:
            os.close(made)
    except OSError as error:
        place = tracepoint or "its function"
        raise SensorError(f"{name}: cannot attach to {place}: {error.strerror}") from error
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
    shared = {link_id(path) for one in _beside(directory) for path in (one / "links").glob("*")}
    numbers = [number for path in links.iterdir() if (number := link_id(path)) not in shared]
    shutil.rmtree(links)
    end = time.monotonic() + _DETACH_LIMIT_S
    while any(link_exists(number) for number in numbers):
        if time.monotonic() > end:
            raise SensorError(f"{links}: the kernel has not let go of the programs; try again")
        time.sleep(_DETACH_STEP_S)  # the kernel gives no event when a link has gone


def _beside(directory: Path) -> list[Path]:
    """Return the other places of the same programs; an upgrade takes the link of the guard over."""
    own = directory.name.removesuffix("-loading").removesuffix("-next").removesuffix("-old")
    parts = ("", "-old", "-next", "-loading", "-next-loading", "-old-loading")
    found = [directory.with_name(own + part) for part in parts]
    return [one for one in found if one != directory and one.is_dir()]


def unload(directory: Path) -> None:
    """Take our programs and maps out of the kernel: links first, so that nothing is half there."""
    for place in (directory, _next(directory), _old(directory)):
        # The loader's own name for what it has not finished comes along.
        for part in (place, place.with_name(place.name + "-loading")):
            if part.is_dir():
                detach(part)
                shutil.rmtree(part)


assert set(KIND_NUMBERS) == set(KINDS_OF_PROCESSES)
