"""Rules that the ways round Holdfast are tried against."""

# One file is named in full, its neighbours by a pattern.
VAULT = """
rules:
  - id: secret
    description: A secret file.
    severity: high
    match: { open: { path: "{place}/vault/secret" } }
    action: ask
  - id: vault
    description: All that lies beside it.
    severity: high
    match: { open: { path: "{place}/vault/**" } }
    action: ask
"""


def and_asking(match: str, base: str = VAULT) -> str:
    """Return rules with one more, which asks about what matches."""
    return f"""{base}
  - id: further
    description: What the way takes.
    severity: high
    match: {{ {match} }}
    action: ask
"""
