from __future__ import annotations

from pathlib import Path

import pytest

from usassist.common.processor import FEATURES, LIMITS, read_processor

X86 = """processor\t: {number}
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 143
model name\t: Intel(R) Xeon(R) Platinum 8480+
stepping\t: 8
flags\t\t: fpu sse2 {more}avx2 avx fma

"""
ARM = """processor\t: 0
BogoMIPS\t: 243.75
Features\t: fp asimd fphp asimdhp asimddp i8mm bf16
CPU implementer\t: 0x41
CPU architecture: 8
CPU part\t: 0xd40

"""


def _read(tmp_path: Path, text: str, environment: dict[str, str] | None = None):  # type: ignore[no-untyped-def]
    (tmp_path / "cpuinfo").write_text(text)
    return read_processor(tmp_path / "cpuinfo", environment or {})


def test_an_x86_processor_has_its_features_in_one_order(tmp_path: Path) -> None:
    found = _read(tmp_path, "".join(X86.format(number=number, more="avx512_vnni amx_int8 ") for number in range(4)))
    assert (found.vendor, found.name, found.count) == ("GenuineIntel", "Intel(R) Xeon(R) Platinum 8480+", 4)
    assert found.generation == "family 6 model 143"
    assert found.features == ("avx", "fma", "avx2", "avx512_vnni", "amx_int8")


def test_a_feature_that_not_every_core_has_is_left_out(tmp_path: Path) -> None:
    found = _read(tmp_path, X86.format(number=0, more="avx_vnni ") + X86.format(number=1, more=""))
    assert found.features == ("avx", "fma", "avx2")


def test_an_arm_processor_is_identified_by_its_part(tmp_path: Path) -> None:
    found = _read(tmp_path, ARM)
    assert (found.vendor, found.generation) == ("0x41", "architecture 8 part 0xd40")
    assert found.features == ("asimd", "asimddp", "asimdhp", "bf16", "i8mm")


def test_limits_of_the_environment_are_kept_apart_from_features(tmp_path: Path) -> None:
    text = X86.format(number=0, more="avx512f ")
    found = _read(tmp_path, text, {"ONEDNN_MAX_CPU_ISA": "AVX2", "OPENCV_CPU_DISABLE": "", "PATH": "/bin"})
    assert found.limits == ("ONEDNN_MAX_CPU_ISA=AVX2",)
    assert "avx512f" in found.features  # present, but disabled


def test_without_cpuinfo_no_feature_is_claimed(tmp_path: Path) -> None:
    found = read_processor(tmp_path / "nothing", {})
    assert found.features == ()
    assert found.name
    assert found.count >= 1


def test_this_machine_has_a_name_and_features() -> None:
    here = read_processor()
    assert here.name
    assert here.features
    assert set(here.features) <= set(FEATURES)
    assert all(limit.partition("=")[0] in LIMITS for limit in here.limits)


@pytest.mark.parametrize(
    ("more", "limit", "kind"),
    [
        ("avx512_vnni ", "", "vnni"),
        ("avx_vnni ", "", "vnni"),
        ("avx_vnni ", "AVX2", "avx2"),
        ("avx512_vnni ", "AVX512_CORE", "avx2"),
        ("avx512_vnni ", "AVX512_CORE_VNNI", "vnni"),
        ("", "", "avx2"),
        ("", "AVX", "avx"),
        ("", "SSE41", "other"),
    ],
)
def test_the_int8_kind_follows_from_features_and_limits(tmp_path: Path, more: str, limit: str, kind: str) -> None:
    assert _read(tmp_path, X86.format(number=0, more=more), {"ONEDNN_MAX_CPU_ISA": limit}).kind == kind
