"""What an act has already done when a person reads its card, and what the host promises of it.

Where the facts do not say whether something happened, the words say that it may have.
"""

from collector.changes_happened import change_words
from wire.acts import Act, Guarantee, Kind, Transport

# In progress, or interrupted by the stop itself (EINTR and the kernel's restart codes).
_UNDER_WAY = frozenset({-115, -4, -512, -513, -514, -516})

_GUARANTEES = {
    Guarantee.HELD: "Held before the act: it happens only if it is approved.",
    Guarantee.STOPPED: (
        "Stopped after the call, before this process could use its result. "
        "The process goes on only if it is approved."
    ),
    Guarantee.LATE: (
        "Late: the act has happened, in part or whole, and cannot be taken back. "
        "The process is stopped and goes on only if it is approved."
    ),
    Guarantee.ASKED: (
        "Only asked: nothing is stopped. Whoever asks says that they wait for the answer, and "
        "nothing holds them to it."
    ),
}


def guarantee_words(guarantee: Guarantee) -> str:
    """Return in plain words what the host could promise."""
    return _GUARANTEES[guarantee]


def happened_words(act: Act) -> str:
    """Return what has and what has not happened, in one or more sentences."""
    if act.kind is Kind.ASK:
        return "Nothing has happened yet, as far as who asks says."
    if act.kind is not Kind.EXEC and _failed(act):
        return f"The call failed with error {-(act.result or 0)}, so it did not take effect."
    if act.kind is Kind.EXEC:
        words = _exec(act)
    elif act.kind is Kind.OPEN:
        words = _open(act)
    elif act.kind is Kind.CONNECT:
        words = _connect(act)
    elif act.kind is Kind.SEND:
        words = _send(act)
    else:
        words = change_words(act)
    if act.addresses_cut:
        words += " The call named more addresses than were inspected; not all of them are shown."
    return words


def _failed(act: Act) -> bool:
    if act.result is None or act.result >= 0 or act.messages:
        return False
    return act.result not in _UNDER_WAY


def _exec(act: Act) -> str:
    if act.guarantee is Guarantee.HELD:
        return "No instruction of the new program has run."
    return "The new program has started and may have run in part."


def _open(act: Act) -> str:
    if act.guarantee is Guarantee.HELD:
        return "The file has not been opened, created or changed."
    done = []
    if "created" in act.flags:
        done.append("The file has been created.")
    elif "create" in act.flags:
        done.append("If the file did not exist, it has been created.")
    if "truncate" in act.flags and "created" not in act.flags:
        done.append("The file has been emptied.")
    if act.guarantee is Guarantee.STOPPED:
        done.append("The file is open; this program has not read from it yet.")
        if {"write", "append"} & set(act.flags):
            done.append("Nothing has been written to it through this call.")
    elif done:
        done.append("This program has not read from it or written to it yet.")
    else:
        done.append("The file is open and may have been read or written.")
    return " ".join(done)


def _connect(act: Act) -> str:
    if act.guarantee is Guarantee.HELD:
        return "No connection has been started."
    if act.guarantee is Guarantee.LATE:
        return "The connection attempt was made and data may have been exchanged."
    if act.transport is Transport.TCP:
        return "The connection attempt was started; the program has not been told the result."
    if act.transport is Transport.UNIX:
        return "The local socket was called; the program has sent nothing over it yet."
    return "The socket was given its address; no data has been sent by this call."


def _send(act: Act) -> str:
    if act.guarantee is not Guarantee.LATE:
        return "Nothing has been sent."
    if act.transport is Transport.TCP:
        return "The connection attempt was started and may have carried data with it."
    if act.messages == 0:
        return "The data may have been sent."
    noun = "datagram has" if act.messages == 1 else "datagrams have"
    return f"{act.messages} {noun} been sent."
