"""What they are told whose word could not be stored: that nothing was, or that it is not known."""

from collections.abc import Iterator
from contextlib import contextmanager

from collector.errors import CentreError, Refusal, UnconfirmedError


@contextmanager
def refusals(*, voted: bool = False) -> Iterator[None]:
    """Turn NATS trouble into what the caller is told: nothing was decided, or it is not known.

    A vote that is stored will be decided upon, so with `voted` it is never the former.
    """
    try:
        yield
    except CentreError as error:
        if not voted and not isinstance(error, UnconfirmedError):
            raise Refusal(
                503,
                "nats_unavailable",
                f"nothing was decided: {error}",
                "see to the NATS server, then answer again",
            ) from error
        raise Refusal(
            503,
            "answer_unconfirmed",
            f"it is not known whether your answer was stored: {error}",
            "look at the request again before you answer it again",
        ) from error
