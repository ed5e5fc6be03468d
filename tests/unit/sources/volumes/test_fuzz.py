"""Whatever the bytes, the answer is a list, a volume, or one line: never another error, never much memory."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import ExplicitVRLittleEndian, JPEGLosslessSV1, RLELossless

from tests.ct_series import make_enhanced, make_series
from usassist.errors import UsAssistError
from usassist.sources.volumes import list_series, read_volume, write_nifti
from usassist.sources.volumes.jpeg_lossless import JpegLosslessError, decode_jpeg_lossless

HU = np.random.default_rng(8).integers(-1000, 2000, (2, 6, 8))
QUICK = settings(
    max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@functools.cache
def samples() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = {}
        for syntax in (ExplicitVRLittleEndian, RLELossless, JPEGLosslessSV1):
            (path,) = make_series(folder / syntax, HU[:1], syntax=syntax)
            found[syntax.name] = path.read_bytes()
        found["frames"] = make_enhanced(folder / "a.dcm", HU).read_bytes()
        write_nifti(folder / "a.nii", HU.astype(np.int16), np.diag([1.0, 1.0, 2.0, 1.0]))
        found["nifti"] = (folder / "a.nii").read_bytes()
        return found


@QUICK
@given(
    kind=st.sampled_from(["Explicit VR Little Endian", "RLE Lossless", "frames", "nifti"]),
    changes=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=6)), max_size=4),
    length=st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_changed_bytes(kind: str, changes: list[tuple[float, bytes]], length: float) -> None:
    data = bytearray(samples()[kind])
    for share, put in changes:
        at = int(share * (len(data) - len(put)))
        data[at : at + len(put)] = put
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "a.nii" if kind == "nifti" else "a.dcm")
        path.write_bytes(bytes(data[: int(length * len(data))]))
        try:
            series = list_series(path)
            volume = read_volume(path, session_id="s").volume
        except UsAssistError as error:
            said = str(error)
        else:
            said = ""
    assert "\n" not in said
    assert "Doe" not in said
    if not said:
        assert len(series) == 1
        assert np.isfinite(volume.affine_ijk_to_lps_mm).all()
        assert volume.voxels.size < 1 << 22


@QUICK
@given(st.data())
def test_changed_lossless_jpeg(data: st.DataObject) -> None:
    whole = bytearray(samples()[JPEGLosslessSV1.name])
    start = bytes(whole).index(b"\xff\xd8")
    stream = whole[start:]
    for _ in range(data.draw(st.integers(1, 4))):
        stream[data.draw(st.integers(2, len(stream) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(JpegLosslessError):
        assert decode_jpeg_lossless(bytes(stream)).dtype == np.uint16
