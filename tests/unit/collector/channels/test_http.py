"""What an answer means, with a real server that fails in every way."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from collector.channels.http import Http, retry_after
from collector.errors import ChannelBusyError, ChannelError
from tests.support.centre import free_port
from tests.support.receiver import Receiver, receiver


@asynccontextmanager
async def _both(timeout_s: float = 10) -> AsyncIterator[tuple[Receiver, Http]]:
    async with receiver() as far:
        http = Http(timeout_s=timeout_s)
        try:
            yield far, http
        finally:
            await http.close()


async def test_a_success_is_an_acknowledgement() -> None:
    """Any status of 2xx; Teams answers 202."""
    async with _both() as (far, http):
        far.script(200, 202, 204)
        for _ in range(3):
            await http.post(far.url, b"{}", {"x-one": "1"})
        first = await far.next()
        assert first.headers["content-type"] == "application/json"
        assert first.headers["x-one"] == "1"


@pytest.mark.parametrize(
    ("word", "wish_s", "unsure"),
    [
        ("429", None, False),
        ("429 7", 7.0, False),
        ("503 2", 2.0, False),
        ("408", None, False),
        ("500", None, True),
        ("502", None, True),
        ("504", None, True),
        ("507", None, False),
        ("lost", None, True),
        ("reset", None, True),
    ],
)
async def test_what_may_pass_is_busy(word: str, wish_s: float | None, unsure: bool) -> None:
    """And whether it may have been accepted all the same is told apart."""
    async with _both() as (far, http):
        far.script(word)
        with pytest.raises(ChannelBusyError) as caught:
            await http.post(far.url, b"{}", {})
        assert (caught.value.retry_after_s, caught.value.unsure) == (wish_s, unsure)


@pytest.mark.parametrize("word", ["slow", "endless"])
async def test_an_answer_that_does_not_come_is_given_up(word: str) -> None:
    """Also one whose body never ends: only its start is read."""
    async with _both(timeout_s=0.3) as (far, http):
        far.script(word)
        with pytest.raises(ChannelBusyError) as caught:
            await http.post(far.url, b"{}", {})
        assert caught.value.unsure


async def test_nobody_there_is_busy_and_surely_not_accepted() -> None:
    """The card was never sent."""
    http = Http(timeout_s=5)
    with pytest.raises(ChannelBusyError, match="no connection") as caught:
        await http.post(f"http://127.0.0.1:{free_port()}/hook", b"{}", {})
    assert not caught.value.unsure
    await http.close()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    """It would carry the card to an address that nobody has written down."""
    async with _both() as (far, http):
        far.script(status)
        with pytest.raises(ChannelError, match="redirects are not followed"):
            await http.post(far.url, b"{}", {})
        assert far.count == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 422])
async def test_a_refusal_is_for_good_and_its_words_are_harmless(status: int) -> None:
    """The other side's text is shown to people, sanitised."""
    async with _both() as (far, http):
        far.script(status)
        with pytest.raises(ChannelError, match=rf"answered {status}: it is {status}") as caught:
            await http.post(far.url, b"{}", {})
        assert r"\x1b[2J" in str(caught.value)


async def test_the_address_is_in_no_error_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """A Teams address lets whoever has it post."""
    caplog.set_level("DEBUG")
    async with _both() as (far, http):
        far.script(404, "lost", 307, "ok")
        words = []
        for _ in range(3):
            with pytest.raises((ChannelError, ChannelBusyError)) as caught:
                await http.post(f"{far.url}?sig=geheim", b"{}", {})
            words.append(str(caught.value))
        await http.post(f"{far.url}?sig=geheim", b"{}", {})
    assert "geheim" not in caplog.text + "".join(words)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("5", 5.0),
        ("Wed, 21 Oct 2015 07:28:10 GMT", 10.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("9" * 400, None),
        ("٣", 3.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str | None, seconds: float | None) -> None:
    """And what is neither says nothing."""
    assert retry_after(text, 1_445_412_480.0) == seconds
