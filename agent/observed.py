"""Observed acts as event columns: what the rules say is worked out once for each sort of act."""

import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import itemgetter

from agent.errors import RecordError
from agent.rows import Columns, Row, to_columns
from agent.sensor.interface import Observed
from agent.sensor.records import LATEST_NS, NO_LOGIN, NOT_OVER, PATH_AT, WHO, text

# About 0.7 kB each. A host that opens more different files than this in one go is only slower.
_KNOWN_SORTS = 16_384

# What is the same for all acts of one sort, in the order of a template.
_TEMPLATE = (
    "kind subject path device inode flags transport address port guarantee action rule detail "
    "second_path operation target_pid target_comm"
).split()
_OF_TEMPLATE = itemgetter(*_TEMPLATE)
_Template = tuple[object, ...] | None


class ObservedColumns:
    """Makes columns of observed acts. A sort of act is what was done and whether it worked.

    `unread` counts acts that no version of ours has written, until who reads it sets it to 0.
    """

    def __init__(
        self, row_of: Callable[[Observed], Row | None], redacted: Callable[[str], str]
    ) -> None:
        """`row_of` says what the row of an act is, None if no rule cares: asked once per sort.

        `redacted` takes secrets out of a program's name, which a process may choose.
        """
        self._row_of = row_of
        self._program = lru_cache(maxsize=1024)(lambda comm: redacted(text(comm)))
        self.unread = 0  # acts that nobody can read
        # By what was done: of acts that worked, of acts that failed.
        self._sorts: tuple[dict[bytes, _Template], dict[bytes, _Template]] = ({}, {})

    def forget(self) -> None:
        """Ask anew about every sort: the rules are others."""
        for sorts in self._sorts:
            sorts.clear()

    def of(self, acts: Sequence[Observed]) -> Columns:
        """Return the columns of acts, without those that no rule cares about."""
        kept = []
        templates = []
        worked, failed = self._sorts
        behind = WHO.size
        for act in acts:
            if act.boot_ns >= LATEST_NS:  # no clock shows that; it would spoil its whole batch
                self.unread += act.times
                continue
            who = WHO.unpack_from(act.record)
            # Up to the path's end, which is looked for: to strip zeros costs far more. The kernel's
            # programs always leave one.
            what = act.record[behind : act.record.find(b"\0", PATH_AT)]
            sorts = failed if who[2] < 0 else worked
            try:
                template = sorts[what]
            except KeyError:
                template = self._learn(sorts, what, act)
            if template is not None:
                kept.append((act.boot_ns, act.times, *who))
                templates.append(template)
        return _columns(kept, templates, self._program) if kept else to_columns([])

    def _learn(self, sorts: dict[bytes, _Template], what: bytes, act: Observed) -> _Template:
        try:
            row = self._row_of(act)
        except RecordError:
            self.unread += act.times  # not learned, so that each such act is counted
            return None
        template = None if row is None else _OF_TEMPLATE(row)
        if len(sorts) >= _KNOWN_SORTS:
            sorts.clear()
        sorts[what] = template
        return template


def _columns(
    kept: list[tuple[object, ...]],
    templates: list[tuple[object, ...]],
    program: Callable[[bytes], str],
) -> Columns:
    offset = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    # In the order of kept, which ends as WHO does; of the process's own start no column tells.
    boot, counts, _, root_start, result, root, tgid, tid, uid, gid, login, comm = map(
        list, zip(*kept, strict=True)
    )
    nothing: list[object] = [None] * len(kept)
    columns: Columns = {
        "time_ns": [one + offset for one in boot],
        "session": list(map(_session, root, root_start)),
        "pid": tgid,
        "tid": tid,
        "uid": uid,
        "gid": gid,
        "login_uid": [None if one == NO_LOGIN else one for one in login],
        "program": list(map(program, comm)),
        "argv": nothing,
        "result": [None if one == NOT_OVER else one for one in result],
        "hold": nothing,
        "count": counts,
    }
    for name, values in zip(_TEMPLATE, zip(*templates, strict=True), strict=True):
        columns[name] = list(values)
    return columns


@lru_cache(maxsize=1024)
def _session(root: int, start_ns: int) -> str:
    return f"{root}-{start_ns}"
