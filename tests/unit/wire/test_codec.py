"""Every message comes back as it was; bytes that are no message give one named error, no other."""

from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.values import (
    ANY_MESSAGE,
    JUNK,
    MESSAGES,
    messages,
    mutated,
    nested,
    packed_map,
)
from wire import codec
from wire.acts import Act, Guarantee, Kind, Process, act_digest
from wire.codec import LARGEST, chain_digest, decode, decode_as, encode
from wire.errors import IdError, MessageError, SignatureError, WireError
from wire.events import COLUMNS, check_columns
from wire.ids import check_id
from wire.messages import Answer, EventBatch, HoldOpened, Message, Vote
from wire.signing import KEY_HEADER, SIGNATURE_HEADER, Signer, Verifier

SIGNER = Signer.generate()
VERIFIER = Verifier(frozenset({SIGNER.key_id}))
FIRST = "95b0d0afbe1691fd23bd9b5712e0f075546945bcaa51658421a77048cf9780ac"
VERSION, TYPE = msgpack.packb(codec.VERSION), msgpack.packb("vote")


def vote(**changes: Any) -> Vote:
    """Return a vote, with any values in it."""
    fields: dict[str, Any] = {
        "vote": "a" * 32,
        "request": "b" * 32,
        "by": "ann",
        "via": "cli",
        "answer": Answer.DENY,
        "reason": "",
        "digest": "d",
        "time_ns": 1,
    }
    return Vote(**(fields | changes))


def read(data: bytes) -> Message | None:
    """Return the message in any bytes, None if it is refused as a user can understand it."""
    try:
        message = decode(data)
        if isinstance(message, EventBatch):
            check_columns(message)
    except WireError as error:
        assert 10 < len(str(error)) < 1_000
        return None
    return message


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: str(kind.type))
def test_every_message_comes_back_as_it_was(kind: type[Any]) -> None:
    """Each field with each value of its type; the same bytes each time, and no other type's."""

    @given(messages(kind), st.sampled_from(MESSAGES))
    def check(message: Any, other: type[Any]) -> None:
        data = encode(message)
        assert decode_as(data, kind) == message
        assert encode(decode(data)) == data
        if other is not kind:
            with pytest.raises(MessageError, match="was expected"):
                decode_as(data, other)
        if isinstance(message, HoldOpened):
            again = decode_as(data, HoldOpened)
            assert act_digest(again.act) == act_digest(message.act)
        if isinstance(message, EventBatch):
            check_columns(message)

    check()


@given(ANY_MESSAGE)
def test_a_signature_is_of_exactly_these_bytes(message: Message) -> None:
    """It holds for them, and for no other message, key or header."""
    data = encode(message)
    headers = SIGNER.headers(data)
    assert VERIFIER.check(data, headers) == SIGNER.key_id
    for bytes_, given_ in (
        (data + b"\0", headers),
        (data[:-1], headers),
        (data, {}),
        (data, None),
        (data, headers | {SIGNATURE_HEADER: headers[SIGNATURE_HEADER][::-1]}),
        (data, headers | {KEY_HEADER: Signer.generate().key_id}),
    ):
        with pytest.raises(SignatureError):
            VERIFIER.check(bytes_, given_)


@given(st.binary(max_size=64), st.text(max_size=140), st.text(max_size=140))
def test_a_header_that_is_no_signature_is_refused(data: bytes, key: str, signature: str) -> None:
    """Whatever a publisher writes into it."""
    for headers in (
        {KEY_HEADER: key, SIGNATURE_HEADER: signature},
        {KEY_HEADER: SIGNER.key_id, SIGNATURE_HEADER: signature},
        {KEY_HEADER: SIGNER.key_id, SIGNATURE_HEADER: signature.encode().hex()},
    ):
        with pytest.raises(SignatureError):
            VERIFIER.check(data, headers)


@given(ANY_MESSAGE, st.data())
def test_a_message_that_was_cut_is_refused(message: Message, data: st.DataObject) -> None:
    """At any place; and so is one with something behind it."""
    packed = encode(message)
    assert read(packed[: data.draw(st.integers(0, len(packed) - 1))]) is None
    assert read(packed + data.draw(st.binary(min_size=1, max_size=9))) is None


@given(ANY_MESSAGE, st.data())
def test_flipped_bytes_are_another_message_or_none(message: Message, data: st.DataObject) -> None:
    """Never an error of another kind; and the chain and the signature notice."""
    packed = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(packed) - 1))
        packed[at] ^= data.draw(st.integers(1, 255))
    read(bytes(packed))
    if bytes(packed) != encode(message):
        assert chain_digest(bytes(packed)) != chain_digest(encode(message))
        with pytest.raises(SignatureError):
            VERIFIER.check(bytes(packed), SIGNER.headers(encode(message)))


@given(ANY_MESSAGE.flatmap(lambda message: mutated(encode(message))))
def test_a_changed_key_or_value_is_refused_or_fits(packed: bytes) -> None:
    """One that fits is read and written again as the same."""
    found = read(packed)
    if found is not None:
        assert decode(encode(found)) == found


@given(st.binary(max_size=400))
def test_any_bytes_are_refused(data: bytes) -> None:
    """What is not ours says so."""
    assert read(data) is None


@given(st.fixed_dictionaries({"v": JUNK, "t": JUNK, "b": JUNK}))
def test_any_value_in_the_outer_map_is_refused(outer: dict[str, object]) -> None:
    """Version, type and body of any type."""
    assert read(msgpack.packb(outer, use_bin_type=True)) is None


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: str(kind.type))
def test_each_field_is_checked(kind: type[Any]) -> None:
    """Left out, or with a value of another type, or beside one that nobody knows."""

    @given(messages(kind), st.data())
    def check(message: Any, data: st.DataObject) -> None:
        outer = msgpack.unpackb(encode(message), raw=False)
        body = outer["b"]
        name = data.draw(st.sampled_from(sorted(body)))
        wrong = body | {name: msgpack.Timestamp(1, 2)}
        assert read(msgpack.packb(outer | {"b": wrong}, use_bin_type=True)) is None
        more = body | {"unheard-of": 1}
        with pytest.raises(MessageError, match="unheard-of"):
            decode(msgpack.packb(outer | {"b": more}, use_bin_type=True))

    check()


def test_an_unknown_key_inside_an_act_or_a_rule_is_refused() -> None:
    """A condition that this side does not know is not left out in silence."""

    @given(messages(HoldOpened), st.sampled_from(["act", "rule", "process", "ancestors"]))
    def check(message: HoldOpened, place: str) -> None:
        outer = msgpack.unpackb(encode(message), raw=False)
        act = outer["b"]["act"]
        act["ancestors"] = [*act["ancestors"], dict(act["process"])]
        inner = {
            "act": act,
            "rule": outer["b"]["rule"],
            "process": act["process"],
            "ancestors": act["ancestors"][-1],
        }[place]
        inner["only_until"] = 7
        with pytest.raises(MessageError, match=f"{place}: the key 'only_until' is unknown"):
            decode(msgpack.packb(outer, use_bin_type=True))

    check()


def test_a_column_that_this_side_does_not_know_is_left_alone() -> None:
    """A newer host may tell more of an event."""

    @given(messages(EventBatch))
    def check(batch: EventBatch) -> None:
        more = {"mood": [None] * batch.count}
        outer = msgpack.unpackb(encode(batch), raw=False)
        outer["b"]["columns"] |= more
        found = decode_as(msgpack.packb(outer, use_bin_type=True), EventBatch)
        check_columns(found)
        assert found.columns == batch.columns | more

    check()


@given(messages(EventBatch), st.sampled_from(COLUMNS), st.integers(-2, 2))
def test_a_column_of_another_length_is_refused(
    batch: EventBatch, column: Any, difference: int
) -> None:
    """A row that is in one column only would shift all behind it."""
    values = batch.columns[column.name]
    changed = [*values, None, None] if difference > 0 else values[: len(values) - 1]
    if len(changed) == batch.count:
        return
    broken = {**batch.columns, column.name: changed}
    outer = msgpack.unpackb(encode(batch), raw=False)
    outer["b"]["columns"] = broken
    with pytest.raises(MessageError, match=column.name):
        check_columns(decode_as(msgpack.packb(outer, use_bin_type=True), EventBatch))


BODY = msgpack.packb({"vote": "a" * 32})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(nested(100_000), "not msgpack", id="nest"),
        pytest.param(nested(100_000, of=b"\x81\xa1a"), "not msgpack", id="nest-of-maps"),
        pytest.param(nested(900), "not a version", id="shallow-nest"),
        pytest.param(
            packed_map({"v": nested(900), "t": TYPE, "b": BODY}), "upgrade", id="nest-as-version"
        ),
        pytest.param(
            packed_map({"v": VERSION, "t": nested(900), "b": BODY}), "upgrade", id="nest-as-type"
        ),
        pytest.param(
            packed_map({"v": VERSION, "t": TYPE, "b": nested(900)}), "forged", id="nest-as-body"
        ),
        # Each level claims a million values; whoever made room for them would need gigabytes.
        pytest.param(b"\xdd\x00\x0f\x00\x00" * 1_000 + b"\xc0" * 10, "msgpack", id="huge-arrays"),
        pytest.param(b"\xdf\xff\xff\xff\xff" * 1_000, "msgpack", id="huge-maps"),
        pytest.param(b"\xdb\xff\xff\xff\xff" + b"x" * 100, "msgpack", id="huge-text"),
        pytest.param(b"\xc9\xff\xff\xff\xff\x01", "msgpack", id="huge-extension"),
        pytest.param(b"\xc1", "msgpack", id="never-used"),
        pytest.param(b"", "msgpack", id="nothing"),
        pytest.param(b"\x81\xa3a\xffb\x01", "UTF-8|utf-8", id="key-no-utf-8"),
        pytest.param(b"\x82\xa1a\xc0\xa1a\xc0", "twice", id="key-twice"),
        pytest.param(b"\x81\x91\xc0\xc0", "map key", id="key-no-text"),
        pytest.param(b"\x00" * (LARGEST + 1), "larger than any", id="oversize"),
        pytest.param(
            msgpack.packb({"v": True, "t": "vote", "b": {}}), "version True", id="version-true"
        ),
        pytest.param(
            msgpack.packb({"v": 1.0, "t": "vote", "b": {}}), "version 1.0", id="version-float"
        ),
        pytest.param(msgpack.packb({"v": 2, "t": "vote", "b": {}}), "version 2", id="version-2"),
        pytest.param(
            msgpack.packb({"v": 1, "t": "vote", "b": {}, "x": 1}), "Holdfast's", id="outer-key"
        ),
    ],
)
def test_hostile_bytes_are_refused_in_words(data: bytes, words: str) -> None:
    """Each by the error of the wire, which names what is wrong."""
    with pytest.raises(MessageError, match=words) as caught:
        decode(data)
    assert len(str(caught.value)) < 1_000


def test_a_key_that_stands_twice_is_refused_at_any_depth() -> None:
    """Two readers could take different ones of them."""
    body = msgpack.unpackb(encode(vote()), raw=False)["b"]
    pairs = [*body.items(), ("answer", "approve")]
    twice = msgpack.Packer().pack_map_header(len(pairs)) + b"".join(
        msgpack.packb(name) + msgpack.packb(value) for name, value in pairs
    )
    with pytest.raises(MessageError, match="twice"):
        decode(packed_map({"v": VERSION, "t": TYPE, "b": twice}))


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, "\ud800", object(), 10**1000])
def test_what_cannot_be_sent_is_said_before_it_is(value: Any) -> None:
    """By the sender, which can still name the place."""
    with pytest.raises(MessageError, match="vote: a value cannot be sent"):
        encode(vote(time_ns=value))
    with pytest.raises(MessageError, match="send it in parts"):
        encode(vote(reason="x" * LARGEST))


@given(st.text(max_size=80))
def test_an_id_is_one_or_is_refused_with_its_place(text: str) -> None:
    """32 hexadecimal digits, lower case, and no line behind them."""
    good = len(text) == 32 and all(digit in "0123456789abcdef" for digit in text)
    if good:
        assert check_id(text, place="here") == text
        return
    with pytest.raises(IdError, match=r"^here: "):
        check_id(text, place="here")


@given(st.text(max_size=80))
def test_a_seed_is_one_or_is_refused_with_its_place(text: str) -> None:
    """A key file of other contents names the file and what makes one."""
    try:
        signer = Signer.from_seed(text, place="signing.key")
    except SignatureError as error:
        assert str(error).startswith("signing.key: ")
        return
    assert len(signer.seed_hex) == 64


def test_a_field_that_an_older_host_does_not_know_changes_no_digest() -> None:
    """The digest of version 1 stands as it was written; a value in a later field changes it."""
    process = Process(pid=7, start_ns=8, comm="sh", uid=1000)
    act = Act(
        kind=Kind.OPEN,
        guarantee=Guarantee.STOPPED,
        time_ns=1,
        boot_ns=2,
        subject="ai",
        session="7-8",
        process=process,
        tid=7,
        gid=1000,
        executable="/bin/sh",
        path="/etc/passwd",
        flags=("read",),
    )
    assert act_digest(act) == FIRST
    later: list[dict[str, Any]] = [
        {"second_path": "/b"},
        {"second_path_cut": True},
        {"operation": "file"},
        {"target": process},
    ]
    digests = {act_digest(replace(act, **changes)) for changes in later}
    assert len(digests | {act_digest(act)}) == 5
