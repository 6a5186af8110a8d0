"""What a backup has: each file with its size and digest, signed. Without it there is no backup."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath

import msgspec

from collector.errors import BackupError
from collector.keys import write_atomically
from collector.proof.checkpoint import canonical
from wire.errors import SignatureError
from wire.signing import Signer, Verifier

NAME = "manifest.json"
_CONTEXT = b"holdfast backup 1\0"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file: its bytes, and their SHA-256 in hex."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """`files` by their paths in the backup; `settings`: which of them is for which key of the
    configuration; `checkpoint`: the newest that is in it; `made_ns`: since 1970.
    """

    trail: str
    schema: int
    made_ns: int
    checkpoint: int
    files: Mapping[str, Entry]
    settings: Mapping[str, str] = field(default_factory=dict)
    v: int = 1


def write(directory: Path, manifest: Manifest, signer: Signer) -> None:
    """Write it into a backup, signed; raise StateError."""
    body = asdict(manifest) | {"key": signer.key_id}
    body["signature"] = signer.sign(canonical(body), context=_CONTEXT)
    text = json.dumps(body, indent=1, sort_keys=True) + "\n"
    write_atomically(directory / NAME, text)


def read(directory: Path) -> tuple[Manifest, str]:
    """Return the manifest of a backup and the key (hex) that signed it; raise BackupError.

    The signature is checked against that key, which need not be one that anybody trusts.
    """
    place = directory / NAME
    try:
        text = place.read_bytes()
    except OSError as error:
        raise BackupError(
            f"{place}: cannot be read ({error.strerror}): {directory} is no whole backup; take "
            "another one"
        ) from error
    try:
        body = json.loads(text)
        key, signature = body["key"], body.pop("signature")
        Verifier(frozenset({key})).check_bytes(
            canonical(body), key=key, signature=signature, context=_CONTEXT
        )
        del body["key"]
        manifest = msgspec.convert(body, Manifest)
        if manifest.v != 1:
            raise ValueError("it is of a newer version; restore with a newer collector")
        for name in manifest.files:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or not path.parts:
                raise ValueError(f"{name!r} is no path within the backup")
    except (ValueError, KeyError, TypeError, RecursionError, SignatureError) as error:
        raise BackupError(f"{place}: was changed: {error}; take another backup") from error
    return manifest, key
