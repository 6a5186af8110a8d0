"""Rules that ask about everything under the directory of a test, of the kinds that it names."""

from collections.abc import Iterable


def asking(*kinds: str, on_deny: str = "kill") -> str:
    """Return rules that ask about these kinds, of files under `{place}/kept` if of any."""
    return "rules:" + "".join(_rule(kind, on_deny) for kind in kinds)


def _rule(kind: str, on_deny: str) -> str:
    match = "{}" if kind in _WITHOUT_PATH else '{ path: "{place}/kept/**" }'
    return f"""
  - id: ask-{kind}
    description: A {kind} that is asked about.
    severity: high
    match: {{ {kind}: {match} }}
    action: ask
    on_deny: {on_deny}
"""


_WITHOUT_PATH: Iterable[str] = frozenset(
    {"listen", "trace", "identity", "bpf", "namespace", "module"}
)
