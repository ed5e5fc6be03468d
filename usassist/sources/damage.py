"""Track which frames of a stream are damaged: damage propagates to every frame that is predicted from it.

A decoder conceals a damaged part and continues; it marks at most that one frame. So prediction is followed here: after
damage all frames count as damaged up to the next one that needs no other.

Signs of damage: a packet that the demuxer marks (MPEG-TS: lost packets), one that the decoder rejects, and a frame that
the decoder marks. Changed bytes that still decode go unnoticed; for how often that happens, see
``docs/adr/0026-after-damage-no-answer-until-the-picture-is-whole.md``.
"""

from __future__ import annotations

from typing import Any

from usassist.common.pyav import PictureType, av
from usassist.sources.recovery import recovery_frames

__all__ = ["FrameDecoder", "set_threads"]

_NO_KEYFRAME = "no keyframe has arrived yet"
_DAMAGED = "part of the video is lost or damaged; waiting for the next keyframe"
_MAX_PENDING = 256  # packets that gave no frame would accumulate
_MAX_DAMAGED_KEPT = 64
_SINGLE_THREADED = {"h264", "mpeg4"}

_Decoded = tuple[av.VideoFrame, int, bool]  # with its packet's number, and whether it is predicted from no other


def set_threads(stream: av.VideoStream, *, low_latency: bool) -> None:
    """Choose a decoder's threading: it must detect damage, and must not delay frames of a live stream.

    FFmpeg's H.264 decoder looks for missing parts of a frame only without slice threading. With frame threading, a
    frame may be returned before it is marked; the same holds for MPEG-4.
    """
    if stream.codec_context.name in _SINGLE_THREADED:
        stream.thread_type = "NONE"
    else:
        stream.thread_type = "SLICE" if low_latency else "AUTO"


class FrameDecoder:
    """Decodes the packets of one stream; each frame comes with the reason why it is damaged, "" where it is not.

    Parameters
    ----------
    stream : of an open container
    hold : hold a frame back until the frames that it may be predicted from have been decoded (with B-frames these come
        later), so that their damage is known. Delays by up to as many frames as the decoder reorders, and not at all
        in a stream without B-frames
    stamps_in_order : the container stamps packets in decoding order instead of presentation order, as AVI does; the
        same timestamps are assigned to the frames in presentation order
    """

    def __init__(self, stream: av.VideoStream, *, hold: bool, stamps_in_order: bool = False) -> None:
        self._context = stream.codec_context
        self._intra_only = stream.codec_context.codec.intra_only
        self._is_h264 = stream.codec_context.name == "h264"
        self._hold, self._stamps_in_order = hold, stamps_in_order
        self._number = 0  # of the next packet
        # of packets whose frame is still to come: timestamp, and whether the demuxer takes it for a keyframe
        self._pending: dict[int, tuple[int | None, bool]] = {}
        self._damaged_packets: list[int] = []  # numbers of packets since the last intact keyframe
        self._started = False  # by a keyframe, or a complete intra refresh
        self._refresh: tuple[int, int] | None = None  # intra refresh: its first packet, frames still to come
        self._held: list[_Decoded] = []

    def lost(self) -> None:
        """Record that a packet was lost on the way here."""
        self._mark_damaged(self._number)
        self._number += 1

    def decode(self, packet: Any, *, damaged: bool = False) -> list[tuple[av.VideoFrame, str]]:
        """Decode a packet; one without data flushes the decoder.

        Parameters
        ----------
        packet : of the stream; its timestamp is overwritten
        damaged : it is known to be damaged, although it may decode

        Returns
        -------
        frames : in presentation order, each with the reason why it is damaged

        Raises
        ------
        av.error.FFmpegError
            If it cannot be decoded; frames predicted from it will count as damaged.
        """
        number, self._number = self._number, self._number + 1
        ends = not packet.size
        if damaged:
            self._mark_damaged(number)
        if not ends:
            if packet.is_corrupt:
                # The mark is on the data after the gap; the parser may return that one packet later.
                self._mark_damaged(number)
                self._mark_damaged(number + 1)
            is_key = bool(packet.is_keyframe)
            if self._is_h264 and is_key:
                is_key = False  # the start of an intra refresh is marked the same; the decoder tells them apart
                self._begin_refresh(packet, number)
            self._pending[number] = packet.pts, is_key
            packet.pts = number  # comes back with the frame, however the decoder reorders
            if len(self._pending) > _MAX_PENDING:
                del self._pending[next(iter(self._pending))]
        try:
            frames = packet.decode()
        except av.error.EOFError:
            frames = []
        except av.error.FFmpegError:
            failed = min(self._pending, default=number)  # with several threads it may be of an earlier packet
            self._pending.pop(failed, None)
            self._mark_damaged(failed)
            self._mark_damaged(number)
            raise
        decoded = [self._identify(frame, number) for frame in frames if isinstance(frame, av.VideoFrame)]
        if self._hold and (self._held or self._context.reorder_depth):
            decoded = self._release(decoded, ends=ends)
        return [(frame, self._damage_reason(frame, packet_no, is_key)) for frame, packet_no, is_key in decoded]

    def _identify(self, frame: av.VideoFrame, newest: int) -> _Decoded:
        """Find the packet that a frame came from, and restore the frame's timestamp."""
        packet_no = newest if frame.pts is None else frame.pts
        stamp, is_key = self._pending.pop(packet_no, (None, False))
        frame.pts = self._swap_for_earliest(stamp) if self._stamps_in_order and stamp is not None else stamp
        if frame.is_corrupt:
            self._mark_damaged(packet_no)
        return frame, packet_no, is_key or self._intra_only or frame.key_frame

    def _swap_for_earliest(self, stamp: int) -> int:
        """The earliest timestamp that no frame has yet; its packet gets this one."""
        others = ((other, number, is_key) for number, (other, is_key) in self._pending.items() if other is not None)
        earliest, number, is_key = min(others, default=(stamp, -1, False))
        if earliest >= stamp:
            return stamp
        self._pending[number] = stamp, is_key
        return earliest

    def _release(self, decoded: list[_Decoded], *, ends: bool) -> list[_Decoded]:
        """The frames for which no earlier packet is pending any more."""
        self._held += decoded
        depth = 0 if ends else self._context.reorder_depth
        count = 0
        for index, (_, packet_no, _) in enumerate(self._held):
            if len(self._held) - index <= depth and any(earlier < packet_no for earlier in self._pending):
                break
            count += 1
        released, self._held = self._held[:count], self._held[count:]
        return released

    def _damage_reason(self, frame: av.VideoFrame, number: int, is_key: bool) -> str:
        if is_key:
            self._restart(number)
        elif self._refresh is not None and frame.pict_type != PictureType.B and number >= self._refresh[0]:
            began, left = self._refresh
            self._refresh = (began, left - 1)
            if not left:
                self._restart(began)
        if not self._started:
            return _NO_KEYFRAME
        return _DAMAGED if self._damaged_packets and self._damaged_packets[0] <= number else ""

    def _restart(self, number: int) -> None:
        """Drop damage before this packet: nothing from it on is predicted from earlier packets."""
        self._started, self._refresh = True, None
        if self._damaged_packets:
            self._damaged_packets = [damaged for damaged in self._damaged_packets if damaged >= number]

    def _begin_refresh(self, packet: Any, number: int) -> None:
        """Note where an intra refresh begins, and after how many frames it is complete."""
        if self._refresh is None and (self._damaged_packets or not self._started):
            count = recovery_frames(bytes(packet), self._context.extradata)
            self._refresh = None if count is None else (number, count)

    def _mark_damaged(self, number: int) -> None:
        if number not in self._damaged_packets:
            self._damaged_packets.append(number)
            self._damaged_packets.sort()
            if len(self._damaged_packets) > _MAX_DAMAGED_KEPT:
                del self._damaged_packets[1]  # the first gives the start, the last whether a keyframe itself is damaged
        if self._refresh is not None and number >= self._refresh[0]:
            self._refresh = None
