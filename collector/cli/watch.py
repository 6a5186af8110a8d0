"""`holdfast watch`: follows the stream of requests, shows them, and takes answers at a keyboard.

A thread reads the stream and wakes the one that owns the terminal; nothing is polled.
"""

import contextlib
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from collector.cli.answering import send_answer
from collector.cli.asking import Answer, question
from collector.cli.cards import print_card, state_words
from collector.cli.desk import Desk
from collector.cli.errors import CliError, UnreachableError
from collector.cli.keys import Keyboard
from collector.cli.run import Run, need_terminal
from collector.sanitize import visible

Facts = dict[str, Any]
_LONGEST_PAUSE_S = 15.0


class Feed:
    """The stream as a queue. `wake` is a file descriptor that becomes readable with every item.

    Items are ("connected", None), ("request", facts), ("ready", None), ("lost", error) and
    ("failed", error); the last ends the feed.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._items: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self.wake, self._bell = os.pipe()
        # A full pipe is rung enough; the reader of the stream must never wait for it.
        os.set_blocking(self._bell, False)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """Follow no longer. The thread may sit in a read until the connection is closed."""
        self._ended.set()

    def next(self) -> tuple[str, Any]:
        """Return the next item, waiting for it."""
        return self._items.get()

    def ready(self) -> Iterator[tuple[str, Any]]:
        """Yield the items that are there already."""
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._items.get_nowait()

    def _read(self) -> None:
        pause = 0.5
        while not self._ended.is_set():
            try:
                self._put("connected", None)
                for event in self._run.centre.follow():
                    pause = 0.5
                    if event.name in ("request", "ready"):
                        self._put(event.name, event.data)
                error: CliError = UnreachableError("stream_ended", "the stream ended", "")
            except UnreachableError as lost:
                error = lost
            except CliError as final:
                self._put("failed", final)
                return
            self._put("lost", error)
            self._ended.wait(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    def _put(self, name: str, value: Any) -> None:
        if not self._ended.is_set():
            self._items.put((name, value))
            with contextlib.suppress(BlockingIOError):
                os.write(self._bell, b"!")


def watch(run: Run, *, answer: bool) -> None:
    """Show requests as they come and change, until the end; with `answer`, ask about them."""
    if answer:
        need_terminal(run, "watch --answer", "use `holdfast watch` and `holdfast approve`")
    feed = Feed(run)
    # The first connection is made here, so that a wrong address ends the command.
    run.centre.get("/whoami")
    feed.start()
    try:
        _Watch(run, feed, asks=answer).go()
    finally:
        feed.stop()


class _Watch:
    """The loop of the thread that owns the terminal."""

    def __init__(self, run: Run, feed: Feed, *, asks: bool) -> None:
        self._run = run
        self._feed = feed
        self._asks = asks
        self._desk = Desk()
        self._unsaid: list[Callable[[], None]] = []
        self._following = True
        self._caught_up = False  # all that was open at the start of this stream has come

    def go(self) -> None:
        """Show, and ask if told to, until the reviewer quits or the centre refuses."""
        while True:
            self._take(*self._feed.next())
            if self._asks and self._caught_up and not self._ask_all():
                return
            self._speak()

    def _take(self, name: str, value: Any) -> None:
        if name == "request":
            self._request(value)
        elif name == "connected":
            self._caught_up = False
            self._desk.connected()
        elif name == "ready":
            self._ready()
        elif name == "lost":
            self._lost(value)
        elif name == "failed":
            raise value

    def _request(self, request: Facts) -> None:
        new = self._desk.is_new(request)
        if not self._desk.take(request):
            return
        if self._run.json:
            self._run.print_json(request)
        elif new and not (self._asks and self._answerable(request)):
            self._unsaid.append(lambda: print_card(self._run.console, request))
        elif not new:
            self._unsaid.append(lambda: self._run.say(_change(request)))

    def _ready(self) -> None:
        self._caught_up = True
        if not self._following:
            self._following = True
            self._run.note("connected again")
        for name in self._desk.missing():
            try:
                self._request(self._run.centre.get(f"/requests/{name}"))
            except CliError as error:
                # The next stream asks for it again; an answer to it would be refused.
                self._run.fail(error)

    def _lost(self, error: CliError) -> None:
        if self._following:
            self._following = False
            self._run.note(f"{visible(error.message)}; connecting again")

    def _speak(self) -> None:
        said, self._unsaid = self._unsaid, []
        for say in said:
            say()

    def _answerable(self, request: Facts) -> bool:
        return request["state"] == "open" and bool(request["may_decide"]["allowed"])

    def _ask_all(self) -> bool:
        """Ask about everything that waits; return False if the reviewer quits."""
        while (request := self._desk.next_question()) is not None:
            self._speak()
            if not self._answerable(request):
                why = visible(request["may_decide"]["why"])
                self._run.say(f"{_short(request)} is not yours to decide: {why}")
                self._desk.set_aside(request["request"])
            elif not self._ask(request):
                return False
        return True

    def _ask(self, request: Facts) -> bool:
        name = request["request"]

        def stands() -> bool:
            for item in self._feed.ready():
                self._take(*item)
            return self._desk.is_open(name)

        if not stands():
            return True
        print_card(self._run.console, request, brief=True)
        if (others := self._desk.waiting() - 1) > 0:
            self._run.say(f"{others} more waiting")
        keyboard = Keyboard(sys.stdin.fileno(), self._feed.wake)
        choice = question(self._run.console, request, keyboard, stands)
        if choice == "quit":
            return False
        if choice == "skip":
            self._desk.set_aside(name)
        elif choice == "gone":
            self._run.say(f"{_short(request)} is no longer open")
        elif isinstance(choice, Answer):
            self._send(request, choice)
        return True

    def _send(self, request: Facts, answer: Answer) -> None:
        try:
            done = send_answer(self._run, request, answer.answer, answer.reason, answer.digest)
        except CliError as error:
            self._run.fail(error)
            if not isinstance(error, UnreachableError):
                self._desk.set_aside(request["request"])
            return
        self._desk.take(done)
        self._run.say(_change(done))


def _change(request: Facts) -> str:
    comments = request["comments"]
    waits = request["state"] == "open" and comments
    said = f"; {visible(comments[-1]['by'])}: {visible(comments[-1]['text'])}" if waits else ""
    return f"{_short(request)} {state_words(request)}{said}"


def _short(request: Facts) -> str:
    return visible(request["request"])[:8]
