"""Errors of the wire.

WireError
├── MessageError     bytes from outside that are not the message they should be
├── IdError          text that is not an id of ours
└── SignatureError   signed bytes that do not verify
"""


class WireError(Exception):
    """Base of everything that this package raises."""


class MessageError(WireError):
    """Bytes that cannot be read as the message expected; says where and what to do."""


class IdError(WireError):
    """Text that is not an id of ours."""


class SignatureError(WireError):
    """Signed bytes that no trusted key has signed."""
