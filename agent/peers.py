"""Who may not control the agent: processes of those it watches, root or not. Read from /proc.

It knows what /proc shows now; a label that has outlived user, login, cgroup and parents alike is
the kernel's, and not seen here.
"""

from collections.abc import Callable, Collection, Sequence

from agent import procfs
from agent.sensor.interface import Subject


def watched(
    subjects: Sequence[Subject], held: Callable[[], Collection[int]]
) -> Callable[[int], bool]:
    """Return the predicate: is this pid one that `subjects` match or `held` names, or below one?

    What cannot be read is taken as watched: nobody asks anything for a process that is gone.
    """
    uids = frozenset(uid for subject in subjects for uid in subject.uids)
    gids = frozenset(gid for subject in subjects for gid in subject.gids)
    cgroups = tuple(path for subject in subjects for path in subject.cgroups)

    def matches(pid: int) -> bool:
        seen = procfs.owner(pid)
        return (
            seen is None
            or pid in held()
            or bool(uids & seen.uids)
            or bool(gids & seen.gids)
            or any(f"{seen.cgroup}/".startswith(f"{path}/") for path in cgroups)
        )

    def is_watched(pid: int) -> bool:
        # Below a process that is gone or in another namespace nothing can be told.
        while pid > 0:
            if matches(pid):
                return True
            found = procfs.stat(pid)
            if found is None:
                return True
            if found.parent == 0:
                return False
            pid = found.parent
        return True

    return is_watched
