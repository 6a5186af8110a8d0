"""What each session has last said about why it acts: a claim, believed by nobody. Pure, bounded."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from agent.errors import WhyError

LONGEST_TEXT = 1000  # bytes
LONGEST_NAME = 100
_MOST_SESSIONS = 1024
# What was said so long ago is about something else.
_LIFE_NS = 3600 * 1_000_000_000
# How much one session may say: so many at once, and so many a second.
_BURST = 20.0
_PER_S = 5.0


@dataclass(frozen=True, slots=True)
class Claim:
    """What a session says. `time_ns` since the epoch; `name` is what it calls itself."""

    text: str = ""
    time_ns: int = 0
    name: str = ""


NOTHING = Claim()


@dataclass(slots=True)
class _Said:
    claim: Claim
    left: float
    at_ns: int


class Claims:
    """The last claim of each session, of the newest sessions; of each only so many a second."""

    def __init__(self, redacted: Callable[[str], str] = str) -> None:
        """`redacted` takes secrets out of what is said: nothing else of it is kept."""
        self._redacted = redacted
        self._said: OrderedDict[str, _Said] = OrderedDict()

    def state(self, session: str, text: object, name: object, now_ns: int) -> Claim:
        """Keep a claim in place of the session's last; raise WhyError if it cannot be one."""
        known = self._said.get(session)
        left = _BURST if known is None else self._left(known, now_ns)
        if left < 1:
            raise WhyError("this session has said too much of late; wait a second")
        said = self._redacted(_checked("text", text, LONGEST_TEXT))
        called = self._redacted(_checked("session", name, LONGEST_NAME))
        if not said:
            raise WhyError("nothing is said; say in a few words what you are about to do, and why")
        # A name stays until another is given.
        claim = Claim(said, now_ns, called or (known.claim.name if known else ""))
        self._said[session] = _Said(claim, left - 1, now_ns)
        self._said.move_to_end(session)
        if len(self._said) > _MOST_SESSIONS:
            self._said.popitem(last=False)
        return claim

    def of(self, session: str, now_ns: int) -> Claim:
        """Return what a session says now; NOTHING if it has said nothing in the last hour."""
        known = self._said.get(session)
        if known is None or now_ns - known.claim.time_ns > _LIFE_NS:
            return NOTHING
        return known.claim

    @staticmethod
    def _left(known: _Said, now_ns: int) -> float:
        passed_s = max(0, now_ns - known.at_ns) / 1e9
        return min(_BURST, known.left + passed_s * _PER_S)


def _checked(name: str, value: object, longest: int) -> str:
    if not isinstance(value, str):
        raise WhyError(f"{name} is no text; give one")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:  # half a surrogate pair
        raise WhyError(f"{name} is no text: {error.reason}") from error
    if size > longest:
        raise WhyError(f"{name} has {size} bytes, more than {longest}; say it in fewer words")
    return value.strip()
