"""Errors of the collector.

CollectorError
├── ConfigError       the configuration file, or a value in it
├── StateError        the state directory, its keys, or a person or host recorded in it
├── CentreError       the NATS server: unreachable, or set up differently from what Holdfast needs
│   ├── UnavailableError   no connection; nothing has been stored
│   └── UnconfirmedError   sent, and no acknowledgement came back
├── TrailError        the DuckDB file cannot be read or written
├── ProofError        a checkpoint that is none, or one that cannot be made or kept
├── BackupError       a backup that is not whole, or that cannot be made or put back
├── SqlError          a query of the trail that is refused or fails; the asker's to mend
├── ReportError       a chart or a page of the record cannot be made
├── ChannelError      a channel does not take a card, and would not if it were asked again
│   └── TooLargeError      because there is more in it than a receiver takes at a time
├── ChannelBusyError  a channel did not take a card now; it is tried again
└── Refusal           an answer or a comment that the centre does not take, with its code
"""

from collections.abc import Mapping


class CollectorError(Exception):
    """Base of everything that this package raises; the text names the place and the remedy."""


class ConfigError(CollectorError):
    """A configuration file that cannot be used."""


class StateError(CollectorError):
    """A state directory, key, token or host that is missing or not as it should be."""


class CentreError(CollectorError):
    """The NATS server cannot be used as it is."""


class UnavailableError(CentreError):
    """NATS is not connected; nothing has been sent."""


class UnconfirmedError(CentreError):
    """A message was sent and it is not known whether it was stored."""


class TrailError(CollectorError):
    """The trail cannot be read or written."""


class ProofError(CollectorError):
    """A checkpoint of the trail that is damaged, or that cannot be made or kept."""


class BackupError(CollectorError):
    """A backup that cannot be made, was changed, or cannot be put back where it should."""


class SqlError(CollectorError):
    """A query that is not one plain SELECT, or that DuckDB refuses."""


class ReportError(CollectorError):
    """A chart, or a page about the record, that cannot be made."""


class ChannelError(CollectorError):
    """A card that a channel refuses for good, or a channel that is set up wrongly."""


class TooLargeError(ChannelError):
    """A receiver refuses a post for its size; none of it was taken."""


class ChannelBusyError(CollectorError):
    """A card that could not be delivered now.

    `retry_after_s` is what the service asked for, None if it did not say. `unsure` says that the
    card may have been accepted all the same: it was sent, and no answer came back.
    """

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, unsure: bool = False
    ) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.unsure = unsure


class Refusal(CollectorError):  # noqa: N818 - an answer to a caller, not a fault
    """What the centre does not do for a caller: `code` for programs, `remedy` for people.

    `status` is the HTTP status that says the same; `extra` holds further facts for the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        remedy: str,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.remedy = remedy
        self.extra: Mapping[str, object] = dict(extra or {})
