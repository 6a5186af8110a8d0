"""Log lines without secrets, whoever writes them and whatever they quote."""

import logging

from wire.redaction.redactor import Redactor


class RedactedLines(logging.Formatter):
    """What another formatter makes of a record, its traceback included, redacted."""

    def __init__(self, inner: logging.Formatter, redactor: Redactor) -> None:
        super().__init__()
        self.inner = inner
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return self._redactor.words(self.inner.format(record))


def redact_logs(redactor: Redactor) -> None:
    """Have everything that is logged from now on redacted, by this redactor and no earlier one."""
    for handler in logging.getLogger().handlers:
        inner = handler.formatter or logging.Formatter()
        if isinstance(inner, RedactedLines):
            inner = inner.inner
        handler.setFormatter(RedactedLines(inner, redactor))
