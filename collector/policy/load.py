"""A policy file to a policy set, all or nothing: each problem with file:line:column and remedy."""

import re
from collections.abc import Mapping
from pathlib import Path

from collector.config import read_regular
from collector.errors import ConfigError
from collector.policy.model import Policy, PolicySet, Quota, Silence, Step, Unknown, When
from rules import yamltree
from rules.errors import RuleErrors
from rules.globs import TextGlobs
from rules.reading import Reader
from wire.messages import Severity

KEYS = (
    "id",
    "description",
    "when",
    "approve",
    "reason",
    "deadline",
    "silence",
    "escalate",
    "channels",
    "break_glass",
    "unknown_requester",
)
WHEN_KEYS = ("hosts", "labels", "rules", "severity", "subjects")
QUOTA_KEYS = ("group", "votes")
STEP_KEYS = ("after", "groups", "channels")
MOST_VOTES = 20

_ID = re.compile(r"[a-z0-9][a-z0-9-]*(\.[a-z0-9-]+)*")
_CHANNEL = re.compile(r"[a-z][a-z0-9_-]*(:\S+)?")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")


def load(path: Path) -> PolicySet:
    """Return the policies of a file; raise ConfigError with everything that is wrong in it."""
    try:
        data = read_regular(path, largest=yamltree.LARGEST)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror or error}); see docs/policy.md for one"
        ) from error
    try:
        return load_text(str(path), data)
    except RuleErrors as errors:
        raise ConfigError(str(errors)) from errors


def load_text(name: str, data: bytes) -> PolicySet:
    """Return the policies in a file's bytes; raise RuleErrors naming each place."""
    reader = Reader()
    policies: list[Policy] = []
    root = yamltree.parse(name, data, top="policies")
    keys = reader.keys(root, ("policies",), "the file") or {}
    items = keys.get("policies")
    if isinstance(items, yamltree.Sequence) and items.items:
        policies = [policy for node in items.items if (policy := _policy(reader, node))]
        if len(policies) == len(items.items):
            _check_order(reader, policies, items)
    elif not reader.problems:
        place = items.place if items else root.place
        reader.refuse(place, "there are no policies", "write `policies:` and a list of them")
    if reader.problems:
        raise RuleErrors(tuple(reader.problems))
    return PolicySet(tuple(policies))


def _check_order(reader: Reader, policies: list[Policy], items: yamltree.Sequence) -> None:
    """Refuse policies of one id, those that no request reaches, and a set that leaves some out."""
    seen: set[str] = set()
    for policy, node in zip(policies, items.items, strict=True):
        if policy.id in seen:
            reader.refuse(node.place, f"the id {policy.id!r} stands twice", "give each its own")
        seen.add(policy.id)
    for policy, following in zip(policies, items.items[1:], strict=False):
        if policy.when.always:
            reader.refuse(
                following.place,
                f"no request gets here: {policy.id!r} before it has no `when`",
                "move that policy to the end",
            )
            return
    if not policies[-1].when.always:
        reader.refuse(
            items.items[-1].place,
            "some requests would have no policy",
            "end the list with a policy without `when`",
        )


def _policy(reader: Reader, node: yamltree.Node) -> Policy | None:
    keys = reader.keys(node, KEYS, "a policy")
    if keys is None:
        return None
    before = len(reader.problems)
    policy_id = _id(reader, node, keys)
    found = Policy(
        id=policy_id or "",
        description=_optional_text(reader, keys, "description"),
        when=_when(reader, keys["when"]) if "when" in keys else When(),
        approve=_approve(reader, keys["approve"]) if "approve" in keys else (Quota(),),
        reason=_reason(reader, keys["reason"]) if "reason" in keys else None,
        deadline_s=reader.duration(keys["deadline"], "deadline", "10s", "7d")
        if "deadline" in keys
        else None,
        silence=_silence(reader, keys),
        escalate=_escalate(reader, keys["escalate"]) if "escalate" in keys else (),
        channels=_channels(reader, keys),
        break_glass=_texts(reader, keys, "break_glass"),
        unknown_requester=_unknown(reader, keys),
    )
    return found if len(reader.problems) == before else None


def _id(reader: Reader, node: yamltree.Node, keys: Mapping[str, yamltree.Node]) -> str | None:
    if "id" not in keys:
        reader.refuse(node.place, "a policy has no id", "give it one, as in `id: databases`")
        return None
    text = reader.text(keys["id"], "id")
    if text is not None and (not _ID.fullmatch(text) or len(text) > 128):
        reader.refuse(
            keys["id"].place,
            f"id {text[:130]!r} is not an id",
            "write at most 128 of a-z, 0-9 and -, in parts joined by dots",
        )
        return None
    return text


def _when(reader: Reader, node: yamltree.Node) -> When:
    keys = reader.keys(node, WHEN_KEYS, "when") or {}
    labels: dict[str, TextGlobs] = {}
    if "labels" in keys:
        labels = _labels(reader, keys["labels"])

    def globs(name: str) -> TextGlobs | None:
        return reader.patterns(keys[name], TextGlobs, name) if name in keys else None

    severities = (
        reader.choices(keys["severity"], Severity, "severity") if "severity" in keys else None
    )
    found = When(
        hosts=globs("hosts"),
        labels=labels,
        rules=globs("rules"),
        severities=severities,
        subjects=globs("subjects"),
    )
    if found.always and isinstance(node, yamltree.Mapping) and not node.items:
        reader.refuse(node.place, "when is empty", "remove it, or give a condition")
    return found


def _labels(reader: Reader, node: yamltree.Node) -> dict[str, TextGlobs]:
    if not isinstance(node, yamltree.Mapping) or not node.items:
        reader.refuse(node.place, "labels is not a mapping", "write it as `labels: {env: prod}`")
        return {}
    found: dict[str, TextGlobs] = {}
    for key, value in node.items:
        if not _LABEL.fullmatch(key.text):
            reader.refuse(key.place, f"{key.text[:80]!r} is not a label", LABEL_REMEDY)
        globs = reader.patterns(value, TextGlobs, f"label {key.text[:80]}")
        if globs is not None:
            found[key.text] = globs
    return found


LABEL_REMEDY = "write at most 63 letters, digits, dots, dashes, slashes and underscores"


def _approve(reader: Reader, node: yamltree.Node) -> tuple[Quota, ...]:
    items = node.items if isinstance(node, yamltree.Sequence) else (node,)
    if not items:
        reader.refuse(node.place, "approve is an empty list", "remove the key or give a quota")
    quotas: list[Quota] = []
    for item in items:
        keys = reader.keys(item, QUOTA_KEYS, "a quota of approve")
        if keys is None:
            continue
        group = reader.text(keys["group"], "group") if "group" in keys else ""
        votes = _votes(reader, keys["votes"]) if "votes" in keys else 1
        quotas.append(Quota(group=group or "", votes=votes))
    if sum(quota.votes for quota in quotas) > MOST_VOTES:
        reader.refuse(node.place, f"more than {MOST_VOTES} votes are asked for", "ask for fewer")
    return tuple(quotas) or (Quota(),)


def _votes(reader: Reader, node: yamltree.Node) -> int:
    text = reader.text(node, "votes") or ""
    if not re.fullmatch(r"[0-9]{1,2}", text, re.ASCII) or not 1 <= int(text) <= MOST_VOTES:
        reader.refuse(
            node.place, f"votes cannot be {text[:40]!r}", f"write a number from 1 to {MOST_VOTES}"
        )
        return 1
    return int(text)


def _reason(reader: Reader, node: yamltree.Node) -> bool | None:
    text = reader.text(node, "reason")
    if text not in (None, "required", "waived"):
        reader.refuse(node.place, f"reason cannot be {text[:40]!r}", "use required or waived")
    return text != "waived"


def _silence(reader: Reader, keys: Mapping[str, yamltree.Node]) -> Silence:
    if "silence" not in keys:
        return Silence.DENY
    if "deadline" not in keys:
        reader.refuse(
            keys["silence"].place, "silence has no effect without a deadline", "give a deadline too"
        )
    return reader.choice(keys["silence"], Silence, "silence") or Silence.DENY


def _unknown(reader: Reader, keys: Mapping[str, yamltree.Node]) -> Unknown:
    if "unknown_requester" not in keys:
        return Unknown.SHOW
    # What cannot be read refuses, whatever else becomes of the file.
    return reader.choice(keys["unknown_requester"], Unknown, "unknown_requester") or Unknown.REFUSE


def _escalate(reader: Reader, node: yamltree.Node) -> tuple[Step, ...]:
    items = node.items if isinstance(node, yamltree.Sequence) else (node,)
    steps: list[Step] = []
    for item in items:
        keys = reader.keys(item, STEP_KEYS, "a step of escalate")
        if keys is None:
            continue
        if "after" not in keys or not keys.keys() & {"groups", "channels"}:
            reader.refuse(
                item.place,
                "a step needs `after`, and groups or channels",
                "as in {after: 5m, groups: [leads], channels: [slack:#urgent]}",
            )
            continue
        after = reader.duration(keys["after"], "after", "1s", "7d")
        steps.append(
            Step(
                after_s=after or 0,
                groups=_texts(reader, keys, "groups"),
                channels=_channels(reader, keys),
            )
        )
    return tuple(sorted(steps, key=lambda step: step.after_s))


def _channels(reader: Reader, keys: Mapping[str, yamltree.Node]) -> tuple[str, ...]:
    if "channels" not in keys:
        return ()
    found = reader.texts(keys["channels"], "channels")
    for one in found:
        if not _CHANNEL.fullmatch(one.text):
            reader.refuse(
                one.place,
                f"{one.text[:80]!r} is not a channel",
                "write its kind, and where it has several places, which: slack:#approvals",
            )
    return tuple(one.text for one in found)


def _texts(reader: Reader, keys: Mapping[str, yamltree.Node], name: str) -> tuple[str, ...]:
    return tuple(one.text for one in reader.texts(keys[name], name)) if name in keys else ()


def _optional_text(reader: Reader, keys: Mapping[str, yamltree.Node], name: str) -> str:
    return (reader.text(keys[name], name) or "") if name in keys else ""
