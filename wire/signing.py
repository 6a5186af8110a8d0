"""Ed25519 over exact bytes: the signature travels beside the message, never inside it."""

from dataclasses import dataclass

import nacl.exceptions
import nacl.signing

from wire.errors import SignatureError

SIGNATURE_HEADER = "Holdfast-Signature"
KEY_HEADER = "Holdfast-Key"
_CONTEXT = b"holdfast signed message 1\0"


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key. `key_id` is the public half in hex, which names it."""

    _key: nacl.signing.SigningKey

    @classmethod
    def generate(cls) -> "Signer":
        """Return a new random key."""
        return cls(nacl.signing.SigningKey.generate())

    @classmethod
    def from_seed(cls, seed_hex: str, *, place: str) -> "Signer":
        """Return the key of a 32-byte seed in hex; raise SignatureError naming `place`."""
        try:
            return cls(nacl.signing.SigningKey(bytes.fromhex(seed_hex.strip())))
        except (ValueError, nacl.exceptions.CryptoError) as error:
            raise SignatureError(
                f"{place}: not a signing key (64 hexadecimal digits expected); "
                "make one with holdfast-collector init"
            ) from error

    @property
    def seed_hex(self) -> str:
        """The secret seed, to be written to a file of mode 0600 and nowhere else."""
        return bytes(self._key).hex()

    @property
    def key_id(self) -> str:
        """The public key in hex."""
        return bytes(self._key.verify_key).hex()

    def headers(self, data: bytes) -> dict[str, str]:
        """Return the NATS headers that carry the signature over `data`."""
        return {
            SIGNATURE_HEADER: self.sign(data, context=_CONTEXT),
            KEY_HEADER: self.key_id,
        }

    def sign(self, data: bytes, *, context: bytes) -> str:
        """Return the signature (hex) over `data`, which counts for what has this context alone."""
        signature: bytes = self._key.sign(context + data).signature
        return signature.hex()


@dataclass(frozen=True, slots=True)
class Verifier:
    """The public keys (hex) that one side trusts."""

    trusted: frozenset[str]

    def check(self, data: bytes, headers: dict[str, str] | None) -> str:
        """Return the id of the trusted key that signed `data`; raise SignatureError otherwise."""
        if not headers or SIGNATURE_HEADER not in headers or KEY_HEADER not in headers:
            raise SignatureError("the message is not signed")
        key_id = headers[KEY_HEADER]
        self.check_bytes(data, key=key_id, signature=headers[SIGNATURE_HEADER], context=_CONTEXT)
        return key_id

    def check_bytes(self, data: bytes, *, key: str, signature: str, context: bytes) -> None:
        """Raise SignatureError unless a trusted key (hex) made this signature (hex) over `data`."""
        if key not in self.trusted:
            raise SignatureError(f"signed by key {key[:16]}, which is not trusted here")
        try:
            nacl.signing.VerifyKey(bytes.fromhex(key)).verify(
                context + data, bytes.fromhex(signature)
            )
        except (ValueError, nacl.exceptions.CryptoError) as error:
            raise SignatureError(f"the signature by key {key[:16]} is not valid") from error
