"""What an approval policy is, once it is read: frozen values, patterns compiled. No files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from rules.globs import TextGlobs
from wire.messages import HoldOpened, RuleFacts, Severity

# A wait, in nanoseconds, after which every step of escalation is due.
FOR_EVER = 1 << 62
# How long after the glass was broken a host may still act on that, unless the configuration says.
BREAK_GLASS_S = 300


class Silence(StrEnum):
    """What the centre does when nobody has decided by the policy's own deadline."""

    DENY = "deny"
    KEEP = "keep"  # the request waits on, for as long as its host lets it


class Unknown(StrEnum):
    """What becomes of a request whose requester is nobody who is known to the centre."""

    SHOW = "show"  # reviewers are told
    REFUSE = "refuse"  # nobody may approve it


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """Conditions on a request; None, or no label, is no condition. All that are given must hold."""

    hosts: TextGlobs | None = None
    labels: Mapping[str, TextGlobs] = field(default_factory=dict)
    rules: TextGlobs | None = None
    severities: frozenset[Severity] | None = None
    subjects: TextGlobs | None = None

    @property
    def always(self) -> bool:
        """Whether there is no condition."""
        return self == When()

    def fits(
        self,
        host_name: str,
        labels: Mapping[str, str],
        *,
        rule: str,
        severity: Severity,
        subject: str,
    ) -> bool:
        """Return whether a request of that host, rule and subject is meant."""
        return (
            (self.hosts is None or self.hosts.matches(host_name))
            and all(
                name in labels and globs.matches(labels[name])
                for name, globs in self.labels.items()
            )
            and (self.rules is None or self.rules.matches(rule))
            and (self.severities is None or severity in self.severities)
            and (self.subjects is None or self.subjects.matches(subject))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """So many approvals from people of one group; no group: from any reviewer."""

    group: str = ""
    votes: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """From `after_s` on, people of these groups may stand in for any of the quotas' groups,
    and the request is shown in these channels too.
    """

    after_s: int
    groups: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One policy. `reason` None leaves it to the rule; `deadline_s` None to the host.

    A person counts for one quota and one vote, however many groups they are in.
    """

    id: str
    description: str = ""
    when: When = field(default_factory=When)
    approve: tuple[Quota, ...] = (Quota(),)
    reason: bool | None = None
    deadline_s: int | None = None
    silence: Silence = Silence.DENY
    escalate: tuple[Step, ...] = ()
    channels: tuple[str, ...] = ()
    break_glass: tuple[str, ...] = ()
    unknown_requester: Unknown = Unknown.SHOW

    @property
    def asks_several(self) -> bool:
        """Whether one person alone can never fill it."""
        return sum(quota.votes for quota in self.approve) > 1

    def reason_required(self, rule: RuleFacts) -> bool:
        """Return whether an answer must say why."""
        return rule.reason_required if self.reason is None else self.reason

    def stand_ins(self, waited_ns: int) -> frozenset[str]:
        """Return the groups that escalation has let in after so much waiting."""
        return frozenset(
            group
            for step in self.escalate
            if waited_ns >= step.after_s * 1_000_000_000
            for group in step.groups
        )

    def escalated_to(self, waited_ns: int) -> tuple[str, ...]:
        """Return the channels that escalation has added after so much waiting, each once."""
        escalated = (
            channel
            for step in self.escalate
            if waited_ns >= step.after_s * 1_000_000_000
            for channel in step.channels
        )
        return tuple(dict.fromkeys(escalated))

    def all_channels(self) -> tuple[str, ...]:
        """Return every channel that the policy names, each once."""
        return tuple(dict.fromkeys((*self.channels, *self.escalated_to(FOR_EVER))))


@dataclass(frozen=True, slots=True)
class PolicySet:
    """Policies in the order of their file; the first that fits a request is the one that counts.

    The last one fits every request: a request without a policy cannot be meant.
    """

    policies: tuple[Policy, ...]

    def choose(self, opened: HoldOpened, host_name: str, labels: Mapping[str, str]) -> Policy:
        """Return the policy of a request, by its host's enrolled name and labels."""
        rule = opened.rule
        return self.first(
            host_name, labels, rule=rule.id, severity=rule.severity, subject=opened.act.subject
        )

    def first(
        self,
        host_name: str,
        labels: Mapping[str, str],
        *,
        rule: str,
        severity: Severity,
        subject: str,
    ) -> Policy:
        """Return the first policy that fits."""
        return next(
            policy
            for policy in self.policies
            if policy.when.fits(host_name, labels, rule=rule, severity=severity, subject=subject)
        )


# What counts where no file is given: the first reviewer's answer decides.
ONE_REVIEWER = PolicySet((Policy(id="one-reviewer"),))
