"""The hash chain of a host's batches: what each new batch says about the ones before it. Pure."""

from dataclasses import dataclass

from wire.chain import NOTHING_BEFORE


@dataclass(frozen=True, slots=True)
class Link:
    """What is remembered of one batch. `next_event` is the number that should come after it."""

    sequence: int
    chain: str
    next_event: int


@dataclass(frozen=True, slots=True)
class Break:
    """Something that does not add up, for the trail; the batch is kept all the same.

    kind: `gap` batches are missing before this one; `broken` the batch before was another one
    than the host says; `fork` a second, different batch under a known sequence; `late` a missing
    batch that came after later ones; `contents` it is not what the host says that it sealed;
    `unknown_columns` it has columns that cannot be kept.
    """

    kind: str
    detail: str
    missing_batches: int = 0
    missing_events: int = 0


_START = Link(0, NOTHING_BEFORE, 1)


def judge(
    head: Link | None,
    *,
    sequence: int,
    first: int,
    previous: str,
    known: bool,
    before: Link | None,
) -> tuple[Break, ...]:
    """Return what is wrong with a batch that is not a redelivery.

    `head` is the newest batch of the host, `known` whether another batch has this sequence
    already, `before` the batch with the sequence before this one, if it is kept.
    """
    last = head or _START
    if known:
        return (
            Break("fork", f"another batch {sequence} came before; the host's counter went back"),
        )
    found: list[Break] = []
    if sequence < last.sequence:
        found.append(Break("late", f"batch {sequence} came after batch {last.sequence}"))
    elif sequence > last.sequence + 1:
        lost = first - last.next_event
        found.append(
            Break(
                "gap",
                f"batches {last.sequence + 1} to {sequence - 1} are missing",
                missing_batches=sequence - last.sequence - 1,
                missing_events=max(lost, 0),
            )
        )
    link = last if sequence == last.sequence + 1 else before
    if link is not None and link.sequence == sequence - 1:
        if previous != link.chain:
            found.append(
                Break(
                    "broken",
                    f"batch {sequence} follows {previous[:16]}…, but batch {link.sequence} is "
                    f"{link.chain[:16]}…",
                )
            )
        elif first != link.next_event:
            found.append(
                Break(
                    "broken",
                    f"batch {sequence} starts at event {first}, not {link.next_event}",
                    missing_events=max(first - link.next_event, 0),
                )
            )
    return tuple(found)
