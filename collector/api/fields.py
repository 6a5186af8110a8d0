"""Kinds of values that several models of the API take."""

import datetime as dt
import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator


def _is_text(text: str) -> str:
    # JSON can write half a surrogate pair, which no UTF-8, and so no message, can hold.
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("it has a surrogate, which is no character")
    return text


Text = Annotated[str, AfterValidator(_is_text)]


def _iso(given: object) -> object:
    # A bare number would be taken for seconds or milliseconds, by its size; ours are nanoseconds.
    if isinstance(given, str) and not re.match(r"\d{4}-\d\d-\d\d[T ]", given):
        raise ValueError("it is not a time in ISO 8601, for example 2026-01-31T12:00:00Z")
    return given


Time = Annotated[dt.datetime, BeforeValidator(_iso)]
