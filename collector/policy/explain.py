"""Which policy a request would get, and what that means for it, in lines for people. Pure."""

from collections.abc import Mapping

from collector.policy.model import FOR_EVER, Policy, PolicySet, Silence, Unknown
from wire.messages import Severity


def explain(
    policies: PolicySet,
    *,
    host: str,
    labels: Mapping[str, str],
    rule: str,
    severity: Severity,
    subject: str,
) -> str:
    """Return which policy is the first that fits, who is asked, and what happens when."""
    policy = policies.first(host, labels, rule=rule, severity=severity, subject=subject)
    before = policies.policies.index(policy)
    lines = [f"policy {policy.id}" + (f": {policy.description}" if policy.description else "")]
    if before:
        passed = ", ".join(one.id for one in policies.policies[:before])
        lines.append(f"  does not fit: {passed}")
    lines += [f"  {label:<12}{words}" for label, words in _facts(policy)]
    return "\n".join(lines)


def _facts(policy: Policy) -> list[tuple[str, str]]:
    asked = " and ".join(
        f"{quota.votes} of {f'group {quota.group}' if quota.group else 'any reviewers'}"
        for quota in policy.approve
    )
    reason = {None: "as the rule says", True: "required", False: "waived"}[policy.reason]
    facts = [("asked", asked), ("reason", reason), ("shown in", _where(policy.channels))]
    for step in policy.escalate:
        groups = f"group {' and '.join(step.groups)} may stand in" if step.groups else ""
        places = f"also shown in {_where(step.channels)}" if step.channels else ""
        words = "; ".join(part for part in (groups, places) if part)
        facts.append((f"after {_time(step.after_s)}", words))
    if policy.deadline_s is None or policy.silence is Silence.KEEP:
        facts.append(("silence", "until the host's own deadline, by the rule"))
    else:
        facts.append(("silence", f"denied after {_time(policy.deadline_s)}"))
    facts.append(("break-glass", " or ".join(policy.break_glass) or "nobody"))
    if policy.unknown_requester is Unknown.REFUSE:
        facts.append(("unknown requester", "nobody may approve what somebody unknown asks"))
    every = [_where(policy.channels)]
    every += [channel for channel in policy.escalated_to(FOR_EVER) if channel not in every]
    if policy.escalate:
        facts.append(("nobody able", f"escalated at once: shown in {', '.join(every)}"))
    else:
        facts.append(("nobody able", "shown in those of [channels] fallback as well, at once"))
    return facts


def _where(channels: tuple[str, ...]) -> str:
    return ", ".join(channels) or "those of [channels] default"


def _time(seconds: int) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
