"""The short list of reasons that a reviewer picks from, the same in every channel."""

FOR_APPROVAL = (
    "Expected for this task",
    "Checked with the person responsible",
    "Known command, harmless arguments",
)
FOR_DENIAL = (
    "Not needed for this task",
    "Looks like a mistake",
    "Reaches secrets or data it must not",
    "Cannot tell what it does",
)


def joined(picked: str, typed: str) -> str:
    """Return one reason from what was picked and what was typed; either may be empty."""
    parts = [part.strip() for part in (picked, typed)]
    return ": ".join(part for part in parts if part)
