"""One checkpoint: what it says of the trail, its line of canonical JSON, its signature. Pure.

The form is for others too: docs/trail-proof.md has it, and docs/verify.py reads it by itself.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import astuple, dataclass

from collector.errors import ProofError
from wire.chain import NOTHING_BEFORE
from wire.errors import SignatureError
from wire.signing import Signer, Verifier

CONTEXT = b"holdfast checkpoint 1\0"
MARK = 12  # digits
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class TableState:
    """A table up to its `rows`-th row, of which the first `columns` columns count.

    `digest` is the running one; `marks` are the beginnings of the digests of the rows that are new
    since the checkpoint before, one behind the other, or "" where they are too many.
    """

    name: str
    columns: int
    rows: int
    digest: str = NOTHING_BEFORE
    marks: str = ""


@dataclass(frozen=True, slots=True)
class HostState:
    """The newest batch of a host that has sent some since the checkpoint before."""

    host: str
    sequence: int
    chain: str


@dataclass(frozen=True, slots=True)
class AfterRestore:
    """The first checkpoint after a backup was put back, whose newest was `checkpoint` (0: none).

    Those between are of the disk that was lost: they stay in the chain, and their rows came again
    as far as the streams had them, in another order. Times in nanoseconds since 1970.
    """

    checkpoint: int
    backup_ns: int
    restored_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What is signed. `previous` is the digest of the line of the checkpoint before."""

    trail: str
    number: int
    previous: str
    time_ns: int
    tables: tuple[TableState, ...]
    hosts: tuple[HostState, ...]
    restored: AfterRestore | None = None


def canonical(value: object) -> bytes:
    """Return JSON of one form: UTF-8, no spaces, keys in order."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return text.encode()


def digest_of(line: str) -> str:
    """Return the digest (hex) of a line, which the next checkpoint carries as `previous`."""
    return hashlib.sha256(line.encode()).hexdigest()


def sign(checkpoint: Checkpoint, signer: Signer) -> str:
    """Return the line of a checkpoint, signed, without its line break."""
    body: dict[str, object] = {
        "v": 1,
        "trail": checkpoint.trail,
        "number": checkpoint.number,
        "previous": checkpoint.previous,
        "time_ns": checkpoint.time_ns,
        "tables": [[t.name, t.columns, t.rows, t.digest, t.marks] for t in checkpoint.tables],
        "hosts": [[h.host, h.sequence, h.chain] for h in checkpoint.hosts],
        "key": signer.key_id,
    }
    if checkpoint.restored is not None:
        body["restored"] = [*astuple(checkpoint.restored)]
    signature = signer.sign(canonical(body), context=CONTEXT)
    return canonical(body | {"signature": signature}).decode()


def read(line: str) -> tuple[Checkpoint, str]:
    """Return a checkpoint and the key (hex) that signed it; raise ProofError if it is not one.

    The signature is checked against that key, which need not be one that anybody trusts.
    """
    try:
        body = json.loads(line)
        if not isinstance(body, dict) or canonical(body).decode() != line:
            raise ValueError("it is not in canonical form")
        signature, key = body.pop("signature"), body["key"]
        Verifier(frozenset({key})).check_bytes(
            canonical(body), key=key, signature=signature, context=CONTEXT
        )
        return _checkpoint(body), key
    except (ValueError, KeyError, TypeError, RecursionError, SignatureError) as error:
        raise ProofError(f"not a checkpoint: {error}") from error


def _checkpoint(body: Mapping[str, object]) -> Checkpoint:
    version, trail, tables, hosts = (body[name] for name in ("v", "trail", "tables", "hosts"))
    if version != 1 or not isinstance(tables, list) or not isinstance(hosts, list):
        raise ValueError("it is of another version; use a newer holdfast")
    return Checkpoint(
        trail=str(trail),
        number=_whole(body["number"]),
        previous=_digest(body["previous"]),
        time_ns=_whole(body["time_ns"]),
        tables=tuple(
            TableState(str(name), _whole(columns), _whole(rows), _digest(digest), str(marks))
            for name, columns, rows, digest, marks in tables
        ),
        hosts=tuple(
            HostState(str(host), _whole(sequence), _digest(chain))
            for host, sequence, chain in hosts
        ),
        restored=_restored(body["restored"]) if "restored" in body else None,
    )


def _restored(value: object) -> AfterRestore:
    if not isinstance(value, list):
        raise ValueError("what it says of a restore is no list")
    checkpoint, backup_ns, restored_ns = value
    return AfterRestore(_whole(checkpoint), _whole(backup_ns), _whole(restored_ns))


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("a number is not one")
    return value


def _digest(value: object) -> str:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise ValueError("a digest is not one")
    return value
