from __future__ import annotations

import contextlib
import dataclasses
import json
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.golden.messages.make import CONTROL, NEWEST_ENGINE, NEWEST_SESSION, messages
from tests.samples import (
    CALIBRATED_ENGINE,
    DESCRIBED,
    ENGINE,
    LIVE_SESSION,
    SESSION,
    damaged_session,
    make_frame,
    make_result,
)
from usassist.bus import (
    TOPICS,
    FrameBody,
    LabelBody,
    PointBody,
    PointSetBody,
    decode,
    frame_from,
    peek_topic,
    result_from,
)
from usassist.bus.codec import encode, encode_frame, encode_result
from usassist.common.wire_fields import Travel
from usassist.errors import MessageError, RecordError, SchemaVersionError
from usassist.records import Cause, Descriptors, Frame, Measurements, Result, ResultState, SignalState

ABSTAINS = {
    "cause": Cause.OUT_OF_DOMAIN,
    "reason": "not thyroid (0.03 < 0.50)",
    "t_infer_start_ns": 4,
    "t_infer_end_ns": 5,
}
GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "messages"


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("hw", [(48, 64), (1, 1), (253, 187)])
def test_a_frame_comes_back_as_it_was(channels: int, hw: tuple[int, int]) -> None:
    frame = make_frame(7, hw, channels, spacing_rc_mm=(0.1, 0.2), spacing_rel_sd=0.01, calibration_id="x", pts=5)
    message = decode(encode_frame(frame, seq=3, t_publish_ns=9))
    assert (message.seq, message.t_publish_ns, message.source_id) == (3, 9, "us0")
    back = frame_from(message)
    np.testing.assert_array_equal(back.image, frame.image)
    for name in FrameBody.__struct_fields__:
        assert getattr(back, name) == getattr(frame, name)


@pytest.mark.parametrize("state", list(ResultState))
def test_a_result_comes_back_as_it_was(state: ResultState) -> None:
    result = make_result(4, state)
    back = result_from(decode(encode_result(result, 0, 0)))
    _assert_same(back, result)


def test_a_result_in_pixels_only_stays_in_pixels_only() -> None:
    sizes = make_result().measurements
    bare = Measurements(major_px=sizes.major_px, minor_px=sizes.minor_px, area_px2=sizes.area_px2)
    back = result_from(decode(encode_result(make_result(measurements=bare), 0, 0)))
    assert not back.measurements.calibrated


@pytest.mark.parametrize("descriptors", [(), ((),), DESCRIBED])
def test_descriptors_come_back_as_they_were_also_where_nothing_can_be_said(descriptors: Descriptors) -> None:
    back = result_from(decode(encode_result(make_result(descriptors=descriptors), 0, 0)))
    assert back.descriptors == descriptors


def test_agreement_with_readers_is_sent_once_per_engine_and_not_in_results() -> None:
    (agreement,) = CALIBRATED_ENGINE.descriptor_agreement.values()
    assert agreement.encode() in encode(TOPICS["engine"], "us0", 0, 0, CALIBRATED_ENGINE, {})
    plain, described = (encode_result(make_result(descriptors=of), 0, 0) for of in ((), DESCRIBED))
    assert agreement.encode() not in described
    assert len(described) - len(plain) <= 128


@pytest.mark.parametrize("entries", [[[]] * 2, [[{"name": "a", "value": "b", "probability": 2.0}]], [[{"name": "a"}]]])
def test_descriptors_that_do_not_fit_their_result_are_message_errors(entries: Any) -> None:
    data = bytes(encode_result(make_result(), 0, 0))
    broken = _with_header(data, lambda header: header["body"].update(descriptors=entries))
    with pytest.raises(MessageError):
        result_from(decode(broken))


def test_arrays_received_are_views_that_cannot_be_written() -> None:
    data = encode_frame(make_frame(), 0, 0)
    image = frame_from(decode(data)).image
    assert np.shares_memory(image, np.frombuffer(data, np.uint8))
    assert not image.flags.writeable


def test_no_cut_off_message_is_read() -> None:
    data = bytes(encode_result(make_result(), 0, 0))
    for length in range(len(data)):
        with pytest.raises(MessageError):
            decode(data[:length])
    with pytest.raises(MessageError):
        decode(data + b"\0")


def test_another_major_version_is_refused_with_both_versions() -> None:
    data = bytes(encode_frame(make_frame(), 0, 0)).replace(b"frame/v1/", b"frame/v2/", 1)
    with pytest.raises(SchemaVersionError, match="v2 came, this usassist reads v1"):
        decode(data)


def test_an_unknown_field_is_ignored() -> None:
    data = bytes(encode(TOPICS["session"], "us0", 1, 2, SESSION, {}))
    newer = _with_header(data, lambda header: header["body"].update(added_in_1_1=[1, 2]))
    assert decode(newer).body == SESSION


def test_a_reader_of_an_older_minor_version_still_reads_an_engine_with_an_operating_point() -> None:
    class EngineBody10(msgspec.Struct, frozen=True, kw_only=True):
        engine_id: str
        backend: str
        labels: tuple[LabelBody, ...]
        intended_use: str

    older = msgspec.json.decode(msgspec.json.encode(CALIBRATED_ENGINE), type=EngineBody10)
    assert (older.engine_id, older.labels) == (ENGINE.engine_id, ENGINE.labels)


@pytest.mark.parametrize(
    ("sensitivity", "false_alarms", "on_negatives", "words"),
    [
        (0.95, 0.08, None, "balanced: finds 95 of 100 nodules, 0.08 false alarms per frame (validation frames)"),
        (0.999, 0.0, None, "balanced: finds 99 of 100 nodules, 0 false alarms per frame (validation frames)"),
        (1.0, 1.25, None, "balanced: finds 100 of 100 nodules, 1.25 false alarms per frame (validation frames)"),
        (
            0.29,
            0.2,
            0.031,
            "finds 29 of 100 nodules, 0.2 false alarms per frame, 0.04 on frames without a nodule (validation frames)",
        ),
    ],
)
def test_an_operating_point_is_told_in_words_and_never_better_than_measured(
    sensitivity: float, false_alarms: float, on_negatives: float | None, words: str
) -> None:
    point = PointBody(
        name="balanced",
        sensitivity=sensitivity,
        false_positives_per_frame=false_alarms,
        alarms_per_negative_frame=on_negatives,
    )
    assert point.words.endswith(words)


def test_an_operating_point_names_the_frames_that_its_figures_come_from() -> None:
    point = PointBody(
        name="quiet",
        sensitivity=0.6,
        false_positives_per_frame=0.03,
        sets=(
            PointSetBody(name="ddti_val", frames=65, shows="one older scanner (DDTI)", sensitivity=0.5),
            PointSetBody(name="own", frames=1, alarms_per_negative_frame=0.01),
        ),
    )
    assert point.words == (
        "quiet: finds 60 of 100 nodules, 0.03 false alarms per frame; on validation frames: 65 of one older scanner "
        "(DDTI), 1 of own"
    )


def test_a_header_that_claims_more_than_there_is_makes_nothing() -> None:
    frame = bytes(encode_frame(make_frame(), 0, 0))
    for shape in ([2**40, 2**20], [2**62], [-1, 4], [1] * 5):
        with pytest.raises(MessageError):
            decode(_with_header(frame, lambda header, shape=shape: header["buffers"][0].update(shape=shape)))
    with pytest.raises(MessageError, match="not there"):
        decode(b"frame/v1/us0/\n" + struct.pack("<I", 2**31) + b"{}")


@pytest.mark.parametrize("dtype", ["object", "float64", "|O", ""])
def test_types_that_are_never_sent_are_refused(dtype: str) -> None:
    frame = bytes(encode_frame(make_frame(), 0, 0))
    with pytest.raises(MessageError, match="no readable type"):
        decode(_with_header(frame, lambda header: header["buffers"][0].update(dtype=dtype)))


def test_a_cause_of_a_later_version_is_a_message_error_and_no_other_cause() -> None:
    data = bytes(encode_result(make_result(3, ResultState.NO_RESULT, **ABSTAINS), 0, 0))
    later = _with_header(data, lambda header: header["body"].update(cause="of_a_later_version"))
    with pytest.raises(MessageError, match="cannot be read"):
        decode(later)


def test_a_later_minor_version_with_another_field_is_read() -> None:
    data = bytes(encode_result(make_result(3, ResultState.NO_RESULT, **ABSTAINS), 0, 0))

    def change(header: Any) -> None:
        header["version"] = [1, 99]
        header["body"]["of_a_later_version"] = 1

    assert result_from(decode(_with_header(data, change))).cause is Cause.OUT_OF_DOMAIN


def test_an_invalid_result_on_the_wire_is_a_message_error() -> None:
    data = bytes(encode_result(make_result(), 0, 0))
    broken = _with_header(data, lambda header: header["body"].update(state="no_finding"))
    with pytest.raises(MessageError, match="no valid result"):
        result_from(decode(broken))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_changed_bytes_never_do_more_than_raise_our_errors(data: st.DataObject) -> None:
    message = bytearray(encode_result(make_result(), 0, 0))
    for _ in range(data.draw(st.integers(1, 8))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(MessageError, SchemaVersionError, RecordError):
        result_from(decode(message))


@given(st.binary(max_size=400))
def test_any_bytes_never_do_more_than_raise_our_errors(data: bytes) -> None:
    peek_topic(data)
    with pytest.raises((MessageError, SchemaVersionError)):
        decode(data)


@pytest.mark.parametrize("topic", list(TOPICS))
def test_messages_of_every_release_can_still_be_read(topic: str) -> None:
    files = sorted(GOLDEN.glob(f"{topic}-*.bin"))
    assert files, f"no frozen message of topic {topic}"
    for file in files:
        minor = int(file.stem.rpartition(".")[2])
        message = decode(file.read_bytes())
        assert message.topic.name == topic
        if topic == "frame":
            frame = frame_from(message)
            np.testing.assert_array_equal(frame.image, make_frame(3, (8, 12), 3).image)
            state = SignalState.DAMAGED if minor >= 3 else SignalState.FROZEN if minor else SignalState.LIVE
            assert (frame.picture, frame.t_decoded_ns) == (state, 4 if minor else None)
            assert frame.t_cropped_ns == (5 if minor >= 2 else None)
        elif topic == "result":
            descriptors = DESCRIBED if minor else ()
            stamps = {"t_input_ns": 2, "t_output_ns": 3} if minor == 2 else {}
            expected = make_result(3, descriptors=descriptors, **stamps)
            if minor == 3:
                expected = make_result(3, ResultState.NO_RESULT, cause=Cause.DAMAGED)
            if minor >= 4:
                expected = make_result(3, follows_frame_id=1)
            if minor < 6:
                sizes = (_as_before_1_5 if minor < 5 else _as_before_1_6)(expected.measurements)
                expected = dataclasses.replace(expected, measurements=sizes)
            _assert_same(result_from(message), expected)
        elif topic == "engine":
            note = CALIBRATED_ENGINE.note if minor >= 2 else ""
            expected = NEWEST_ENGINE if minor >= 3 else CALIBRATED_ENGINE if minor else ENGINE
            expected = msgspec.structs.replace(expected, note=note)
            expected = expected if minor >= 4 else msgspec.structs.replace(expected, tracking=None)
            assert message.body == (expected if minor >= 5 else msgspec.structs.replace(expected, points=()))
        elif topic == "session":
            newest = NEWEST_SESSION if minor >= 3 else damaged_session()
            newest = newest if minor >= 4 else msgspec.structs.replace(newest, kind="", replayed=False)
            assert message.body == (newest if minor >= 2 else LIVE_SESSION if minor else SESSION)
        elif topic == "control":
            assert message.body == CONTROL


@pytest.mark.parametrize("topic", list(TOPICS))
def test_a_message_is_written_with_the_bytes_that_this_version_was_released_with(topic: str) -> None:
    major, minor = TOPICS[topic].version
    assert messages()[topic] == (GOLDEN / f"{topic}-{major}.{minor}.bin").read_bytes()


@pytest.mark.parametrize(("topic", "record"), [("frame", Frame), ("result", Result)])
def test_no_field_is_newer_than_the_version_of_its_topic(topic: str, record: type) -> None:
    versions = [field.metadata.get("travel", Travel()).since for field in dataclasses.fields(record)]
    assert max(versions) <= TOPICS[topic].version


@pytest.mark.parametrize("time_base", [[1, 0], [1], [1, 2, 3], ["1", 2], [1.0, 2], [2**63, 1], 3, "x"])
def test_a_time_base_that_is_no_fraction_is_a_message_error(time_base: Any) -> None:
    data = bytes(encode_frame(make_frame(pts=1, time_base=Fraction(1, 30)), 0, 0))
    assert frame_from(decode(data)).time_base == Fraction(1, 30)
    with pytest.raises(MessageError):
        decode(_with_header(data, lambda header: header["body"].update(time_base=time_base)))


def _with_header(data: bytes, change: Any) -> bytes:
    start = data.index(b"\n") + 1
    (length,) = struct.unpack_from("<I", data, start)
    header = json.loads(data[start + 4 : start + 4 + length])
    change(header)
    text = json.dumps(header).encode()
    head = data[:start] + struct.pack("<I", len(text)) + text
    old_head = -(-(start + 4 + length) // 64) * 64
    return head + b"\0" * (-len(head) % 64) + data[old_head:]


def _as_before_1_5(sizes: Measurements) -> Measurements:
    names = Measurements.PIXEL_COLUMNS + Measurements.MILLIMETRE_COLUMNS
    return Measurements(**{name: getattr(sizes, name) for name in names})


def _as_before_1_6(sizes: Measurements) -> Measurements:
    return dataclasses.replace(sizes, **dict.fromkeys(Measurements.ENDS_COLUMNS))


def _assert_same(one: Result, other: Result) -> None:
    for name in Result.__dataclass_fields__:
        first, second = getattr(one, name), getattr(other, name)
        if name not in ("detections", "segmentation", "measurements"):
            assert first == second, name
            continue
        for column in type(first).__dataclass_fields__:
            a, b = getattr(first, column), getattr(second, column)
            np.testing.assert_array_equal(a, b) if a is not None else None
            assert (a is None) == (b is None)
