"""Which holds are one request: identical acts of one session, while people can still answer. Pure.

Folding is for showing and for answering in one go. Each hold keeps its own deadline, votes,
decision, verdict and end; a vote names every hold that it is about. So two collectors that have
folded differently come to the same decisions, and no hold is released that no vote has named.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from collector.approvals.record import Record, RequestState, together
from wire.acts import Act, Guarantee, Kind, Process, act_digest
from wire.ids import RequestId, VoteId
from wire.messages import HoldOpened

MOST = 100  # holds of one request: a vote names them all

Key = tuple[object, ...]


def fold_key(opened: HoldOpened) -> Key | None:
    """Return what identical holds have in common; None for an act that is like no other.

    Everything a reviewer is shown must be the same, but for pids and times. What was not read
    whole, is not known to be one file, or has happened in part, is compared with nothing.
    """
    act = opened.act
    cut = act.argv_cut or act.path_cut or act.second_path_cut or act.addresses_cut
    begun = act.guarantee is Guarantee.LATE or act.messages > 0 or "shared" in act.flags
    if cut or begun or not act.path_resolved or _vague(act):
        return None
    facts = (opened.host, opened.boot_id, opened.owner, opened.rule, opened.claim)
    return *facts, act_digest(_timeless(act))


def _vague(act: Act) -> bool:
    """Return whether two acts that look the same may be about different things."""
    match act.kind:
        case Kind.ASK | Kind.BPF:
            return True  # of a bpf call only the command is known
        case Kind.CREATE | Kind.SYMLINK | Kind.MOUNT:
            return not act.path  # there is no file yet
        case Kind.CONNECT | Kind.SEND | Kind.LISTEN:
            return not (act.address or act.path)
        case Kind.TRACE:
            return act.target is None
        case Kind.IDENTITY | Kind.NAMESPACE:
            return not act.operation
        case _:
            return not act.inode


def _timeless(act: Act) -> Act:
    def nameless(process: Process) -> Process:
        return replace(process, pid=0, start_ns=0)

    ancestors = tuple(nameless(one) for one in act.ancestors)
    process = nameless(act.process)
    return replace(act, time_ns=0, boot_ns=0, tid=0, process=process, ancestors=ancestors)


@dataclass(slots=True)
class _Group:
    request: RequestId
    key: Key | None
    members: list[RequestId] = field(default_factory=list)  # in the order they came
    past: int = 0  # what was said of holds that have left


class Folds:
    """Keeps each hold in one group. `get` returns the record of a hold that is in memory."""

    def __init__(self, get: Callable[[RequestId], Record]) -> None:
        self._get = get
        self._groups: dict[RequestId, _Group] = {}  # by hold
        self._newest: dict[Key, _Group] = {}

    def add(self, record: Record) -> None:
        """Put a hold into the request that waits for the same, or into one of its own."""
        key = fold_key(record.opened) if record.state is RequestState.OPEN else None
        group = None if key is None else self._newest.get(key)
        if group is None or not self._takes(group, record):
            group = _Group(record.id, key)
        if key is not None:
            self._newest[key] = group
        group.members.append(record.id)
        self._groups[record.id] = group

    def changed(self, record: Record) -> list[RequestId]:
        """Take notice of what happened to a hold; return those that are in other requests now.

        The holds of a request that wait have the same votes, so one decision will be right for all.
        """
        group = self._groups.get(record.id)
        if group is None:
            return []
        waiting = self._waiting(group)
        strangers = [one for one in waiting[1:] if _votes(one) != _votes(waiting[0])]
        for one in strangers:
            self._leave(group, one)
        for one in strangers:
            self.add(one)
        if not waiting:
            self._close(group)
        return [one.id for one in strangers]

    def drop(self, record: Record) -> None:
        """Forget a hold that leaves the memory."""
        group = self._groups[record.id]
        self._leave(group, record)
        if not group.members:
            self._close(group)

    def shown(self, record: Record) -> Record:
        """Return the request of a hold, with the hold as given here."""
        group = self._groups.get(record.id)
        if group is None or (group.members == [group.request] and not group.past):
            return record
        holds = [record if one == record.id else self._get(one) for one in group.members]
        return together(group.request, holds, past=group.past)

    def all(self) -> Iterator[Record]:
        """Yield every request."""
        for one, group in self._groups.items():
            if one == group.members[0]:
                yield self.shown(self._get(one))

    def _takes(self, group: _Group, record: Record) -> bool:
        waiting = self._waiting(group)
        return (
            bool(waiting)
            and len(group.members) < MOST
            and all(_votes(one) == _votes(record) for one in waiting)
        )

    def _waiting(self, group: _Group) -> list[Record]:
        records = (self._get(one) for one in group.members)
        return [one for one in records if one.state is RequestState.OPEN]

    def _leave(self, group: _Group, record: Record) -> None:
        group.members.remove(record.id)
        group.past += 1 + record.length
        del self._groups[record.id]

    def _close(self, group: _Group) -> None:
        """See that nothing is folded into a request that nobody can answer any more."""
        if group.key is not None and self._newest.get(group.key) is group:
            del self._newest[group.key]


def _votes(record: Record) -> tuple[VoteId, ...]:
    return tuple(vote.vote for vote in record.votes)
