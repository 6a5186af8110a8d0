"""What stands for events that retention has dropped: a row that the collector signs by itself.

A group is the events of one kind in one batch, which is what a leaf of the chain is over. The form
is for others too: docs/trail-proof.md has it, and docs/verify.py reads it by itself.
"""

from collections.abc import Mapping
from typing import Any

from collector.proof.checkpoint import canonical
from wire.errors import SignatureError
from wire.ids import new_id
from wire.signing import Signer, Verifier

CONTEXT = b"holdfast tombstone 1\0"
# Not signed, being the signature.
_SIGNATURE = "signature"


def signed(trail: str, values: Mapping[str, Any], signer: Signer) -> dict[str, Any]:
    """Return the values of a row of `tombstones`, with its id, key and signature."""
    body = {"tombstone": new_id(), **values, "signed_by": signer.key_id}
    signature = signer.sign(_said(trail, body), context=CONTEXT)
    return {**body, _SIGNATURE: signature}


def is_signed(trail: str, row: Mapping[str, Any]) -> bool:
    """Return whether the key that a row names has signed it, for this trail."""
    body = {name: value for name, value in row.items() if name != _SIGNATURE}
    try:
        Verifier(frozenset({row["signed_by"]})).check_bytes(
            _said(trail, body), key=row["signed_by"], signature=row[_SIGNATURE], context=CONTEXT
        )
    except (SignatureError, TypeError):
        return False
    return True


def _said(trail: str, body: Mapping[str, Any]) -> bytes:
    return canonical(["holdfast tombstone 1", trail, body])
