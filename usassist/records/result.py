"""An answer about one frame, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass, field

from usassist.common.wire_fields import Int64, travels
from usassist.errors import RecordError
from usassist.records.checks import require_identity
from usassist.records.findings import Descriptors, Detections, Segmentation
from usassist.records.measurements import Measurements
from usassist.records.states import Cause, ResultState

__all__ = ["Answer", "Result"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """The answer of an engine's modality for one frame: one row each per detection, descriptors where estimated.

    Attributes
    ----------
    detections, segmentation, measurements, descriptors : see :class:`Result`
    domain_prob : probability that the frame shows what the engine was made for; None = it does not judge that
    abstains : why the engine abstains, in words; there is nothing else then, and it does not mean that nothing was
        found. Empty = it answers
    on_the_way : of candidates alone: what their modality found on the way to them and needs again to complete them;
        nothing outside of it reads this, and it is not published
    """

    detections: Detections = field(default_factory=Detections.empty)
    segmentation: Segmentation = field(default_factory=Segmentation.empty)
    measurements: Measurements = field(default_factory=Measurements.empty)
    descriptors: Descriptors = ()
    domain_prob: float | None = None
    abstains: str = ""
    on_the_way: object | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Check that an engine that abstains has found nothing."""
        if self.abstains and len(self.detections):
            raise RecordError(f"an engine that abstains cannot give {len(self.detections)} detections")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result:
    """One answer about one frame, or the reason why there is none.

    Attributes
    ----------
    session_id, source_id, frame_id, t_capture_ns : copied from the frame
    t_infer_start_ns, t_infer_end_ns : monotonic ns around everything from pixels to answer; None when the engine was
        not asked
    t_input_ns, t_output_ns : monotonic ns around the engine's own call within that; None where it was not reached
    engine_id, backend : what answered, or would have
    calibration_id : the geometry file that the millimetres rest on
    image_hw_px : height and width of the frame's image
    frames_dropped : frames overwritten in the capture slot since the previous result that the engine was asked for
    state : see :class:`ResultState`
    cause, reason : why there is no answer; set exactly when ``state`` is ``no_result`` or ``stale``
    detections, segmentation, measurements : one row each per detection
    descriptors : see :data:`Descriptors`; only in state ``finding``, a late answer is not described
    follows_frame_id : the last frame before it that it depends on, where findings are associated over frames; None =
        on its own frame alone
    """

    session_id: str = field(metadata=travels(line="never"))
    source_id: str = field(metadata=travels(message=False, line="never"))
    frame_id: Int64
    t_capture_ns: Int64
    t_infer_start_ns: Int64 | None
    t_infer_end_ns: Int64 | None
    engine_id: str
    backend: str
    calibration_id: str | None
    image_hw_px: tuple[Int64, Int64]
    frames_dropped: Int64
    state: ResultState
    cause: Cause | None = None
    reason: str = ""
    detections: Detections = field(default_factory=Detections.empty, metadata=travels(message=False, line="never"))
    segmentation: Segmentation = field(
        default_factory=Segmentation.empty, metadata=travels(message=False, line="never")
    )
    measurements: Measurements = field(
        default_factory=Measurements.empty, metadata=travels(message=False, line="never")
    )
    descriptors: Descriptors = field(default=(), metadata=travels(since=(1, 1), line="never"))
    t_input_ns: Int64 | None = field(default=None, metadata=travels(since=(1, 2), line="always"))
    t_output_ns: Int64 | None = field(default=None, metadata=travels(since=(1, 2), line="always"))
    follows_frame_id: Int64 | None = field(default=None, metadata=travels(since=(1, 4)))

    @property
    def is_verdict(self) -> bool:
        """True where the engine's own verdict on the frame stands: an answer, or that it abstains."""
        return self.state.is_answer or self.cause is Cause.OUT_OF_DOMAIN

    def __post_init__(self) -> None:
        """Check that state, cause and content agree."""
        require_identity(self.session_id, self.source_id, self.frame_id)
        count = len(self.detections)
        if len(self.segmentation) != count or len(self.measurements) != count:
            raise RecordError(
                f"{count} detections, {len(self.segmentation)} outlines and {len(self.measurements)} measurements: "
                "there must be one of each per detection"
            )
        if self.state.is_answer:
            if self.cause is not None or self.reason:
                raise RecordError(
                    f"a result in state {self.state} has no cause and no reason, got {self.cause} {self.reason!r}"
                )
            if self.t_infer_start_ns is None or self.t_infer_end_ns is None:
                raise RecordError(f"a result in state {self.state} must have the times of the engine")
        else:
            if self.cause is None or not self.reason:
                raise RecordError(f"a result in state {self.state} must have a cause and a reason")
            if self.cause is Cause.OUT_OF_DOMAIN and self.state is not ResultState.NO_RESULT:
                raise RecordError(f"an engine that abstains gives no result, got state {self.state}")
        if self.state is ResultState.FINDING and not count:
            raise RecordError("state finding needs at least one detection")
        if self.state in (ResultState.NO_FINDING, ResultState.NO_RESULT) and count:
            raise RecordError(f"state {self.state} cannot carry detections")
        if self.follows_frame_id is not None and not 0 <= self.follows_frame_id < self.frame_id:
            raise RecordError(f"frame {self.frame_id} cannot follow frame {self.follows_frame_id}")
        if self.descriptors:
            if self.state is not ResultState.FINDING:
                raise RecordError(f"state {self.state} cannot carry descriptors")
            if len(self.descriptors) != count:
                raise RecordError(
                    f"{count} detections and {len(self.descriptors)} entries of descriptors: there must be one entry "
                    "per detection, or none at all"
                )
            for entry in self.descriptors:
                names = [descriptor.name for descriptor in entry]
                if len(set(names)) != len(names):
                    raise RecordError(f"a nodule has a descriptor twice: {', '.join(names)}")
        if count:
            height_px, width_px = self.image_hw_px
            xyxy = self.detections.xyxy_px
            if (xyxy < 0).any() or (xyxy[:, 2] > width_px).any() or (xyxy[:, 3] > height_px).any():
                raise RecordError(f"every box must lie inside the image of {height_px} x {width_px} px")
