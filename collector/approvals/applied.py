"""The policies in force, and what they say of one request at a moment."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from collector.approvals.crowd import Crowd
from collector.approvals.record import Record
from collector.errors import StateError
from collector.identity.people import Caller
from collector.policy.load import load
from collector.policy.model import FOR_EVER, ONE_REVIEWER, Policy, PolicySet, Silence
from wire.ids import HostId

log = logging.getLogger(__name__)

_NS = 1_000_000_000
# How long it may take until somebody new counts as known.
_KNOWN_S = 5.0

# The enrolled name and the labels of a host, from its id and the name that it claims.
HostFacts = Callable[[HostId, str], tuple[str, Mapping[str, str]]]


@dataclass(frozen=True, slots=True)
class Applied:
    """What the policy of one request says. `stuck`: why nobody who is known may approve it, or "".

    For somebody who is not there nobody waits: a request that is stuck is escalated at once.
    `unknown`: whose request it is without being anybody who is known; an approval may be theirs.
    `asked_ns`: since when people are asked, by the centre's clock, which all its times count from.
    """

    policy: Policy
    asked_ns: int
    reason_required: bool
    stuck: str = ""
    unknown: tuple[str, ...] = ()
    known: Crowd = field(default_factory=Crowd, compare=False)
    ask_ends_ns: int | None = None  # of an ask: its own deadline, which no policy lengthens

    @property
    def deadline_ns(self) -> int | None:
        """When silence becomes a denial, since the epoch; None: not by the centre."""
        policy = self.policy
        if policy.deadline_s is None or policy.silence is Silence.KEEP:
            return self.ask_ends_ns
        ends_ns = self.asked_ns + policy.deadline_s * _NS
        return ends_ns if self.ask_ends_ns is None else min(ends_ns, self.ask_ends_ns)

    def late(self, now_ns: int) -> bool:
        """Return whether silence has become a denial by now."""
        return self.deadline_ns is not None and now_ns >= self.deadline_ns

    def counts_for(self, caller: Caller, now_ns: int) -> tuple[str, ...]:
        """Return the groups of the policy whose quota an approval by this person may fill."""
        mine = frozenset(caller.groups)
        stands_in = bool(mine & self.stand_ins(now_ns))
        wanted = dict.fromkeys(quota.group for quota in self.policy.approve)
        return tuple(group for group in wanted if not group or stands_in or group in mine)

    def stand_ins(self, now_ns: int) -> frozenset[str]:
        """Return the groups that escalation has let in."""
        return self.policy.stand_ins(self._waited(now_ns))

    def escalated_to(self, now_ns: int) -> tuple[str, ...]:
        """Return the channels that escalation has added."""
        return self.policy.escalated_to(self._waited(now_ns))

    def steps_ns(self) -> tuple[int, ...]:
        """Return when escalation lets others in, since the epoch."""
        if self.stuck:
            return ()
        return tuple(self.asked_ns + step.after_s * _NS for step in self.policy.escalate)

    def _waited(self, now_ns: int) -> int:
        return FOR_EVER if self.stuck else now_ns - self.asked_ns


class Policies:
    """Chooses policies from a file that can be read again; the old ones stay if it is broken."""

    def __init__(
        self, file: Path | None, *, host: HostFacts, people: Callable[[], Sequence[Caller]]
    ) -> None:
        """`people`: everybody who has signed in or has a token. Raises ConfigError."""
        self._file = file
        self._set = ONE_REVIEWER if file is None else load(file)
        self._host = host
        self._people = people
        self._seen = tuple(people())
        self._known = Crowd(self._seen)
        # Raises ConfigError for a set that cannot be put in force here.
        self.check: Callable[[PolicySet], None] = lambda found: None
        # Called when another set is in force: what open requests wait for may be another thing.
        self.changed: Callable[[], None] = lambda: None
        # Called when others are known: who may approve, and whether anybody, may be another thing.
        self.people_changed: Callable[[], None] = lambda: None

    @property
    def policies(self) -> PolicySet:
        """The set in force."""
        return self._set

    @property
    def known(self) -> Crowd:
        """Everybody who is known now."""
        return self._known

    def reload(self) -> None:
        """Read the file again; raise ConfigError, with what is in force left as it is."""
        if self._file is not None:
            self.replace(load(self._file))

    def replace(self, found: PolicySet) -> None:
        """Put another set in force; raise ConfigError, with nothing changed, if it cannot be."""
        self.check(found)
        self._set = found
        self._known = Crowd(self._seen)  # it remembers what it said of the old ones
        self.changed()

    async def follow_people(self) -> None:
        """Keep up with who is known, for ever; the file is read beside the event loop."""
        while True:
            await asyncio.sleep(_KNOWN_S)
            try:
                seen = tuple(await asyncio.to_thread(self._people))
            except StateError as error:
                log.warning("who is known stays as it was: %s", error)
                continue
            if seen != self._seen:
                self._seen, self._known = seen, Crowd(seen)
                self.people_changed()

    def apply(self, record: Record) -> Applied:
        """Return what is asked for a request now."""
        opened = record.opened
        policy = self._set.choose(opened, *self._host(opened.host, opened.host_name))
        return Applied(
            policy=policy,
            # A host's clock may be wrong: it must neither let others in early nor put silence off.
            asked_ns=record.heard_ns or opened.opened_ns,
            reason_required=policy.reason_required(opened.rule),
            stuck=self._known.stuck(policy, record),
            unknown=self._known.unknown(record),
            known=self._known,
            ask_ends_ns=opened.deadline_ns if record.is_ask else None,
        )
