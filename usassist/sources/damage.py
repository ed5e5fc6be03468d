"""Which pictures of a stream are whole: what is lost or damaged stays in every picture that is predicted from it.

A decoder paints over a damaged part and goes on, and its mark is on that one picture alone, if it sets any. So the
chain of prediction is followed here: after damage no picture is whole before the next one that needs no other.

What is known as damage: a packet that the demuxer marks (MPEG-TS: lost packets), one that the decoder refuses, and a
picture that it marks. A change of bytes that still decodes is seen by nobody; how often that is, see
``docs/adr/0026-after-damage-no-answer-until-the-picture-is-whole.md``.
"""

from __future__ import annotations

from typing import Any

from usassist.common.pyav import PictureType, av
from usassist.sources.recovery import recovery_frames

__all__ = ["FrameDecoder", "set_threads"]

_NO_KEY = "no key frame has come yet"
_DAMAGED = "part of the video is lost or damaged; it waits for the next key frame"
_WAITING_KEPT = 256  # packets that gave no picture would gather for ever
_MAX_DAMAGED_KEPT = 64
_IN_ONE_THREAD = {"h264", "mpeg4"}

_Decoded = tuple[av.VideoFrame, int, bool]  # with the number of its packet, and whether it needs no other


def set_threads(stream: av.VideoStream, *, low_latency: bool) -> None:
    """Choose how a decoder uses threads: it must notice damage, and must not hold pictures back in a live stream.

    FFmpeg's H.264 decoder looks for missing parts of a picture only where it does not decode slices at the same time.
    Where it decodes pictures at the same time, one may be given out before it was marked; so may one of MPEG-4.
    """
    if stream.codec_context.name in _IN_ONE_THREAD:
        stream.thread_type = "NONE"
    else:
        stream.thread_type = "SLICE" if low_latency else "AUTO"


class FrameDecoder:
    """Decodes the packets of one stream and says of each picture why it is not whole, or "" where it is.

    Parameters
    ----------
    stream : of an open container
    hold : wait with a picture until those that it may be predicted from have come out of the decoder (in streams with
        B-pictures they come later), so that their marks are known. Costs up to as many pictures of delay as the
        decoder reorders, and nothing in a stream without B-pictures
    stamps_in_order : the container stamps packets in the order of decoding and not of presentation, as AVI does; the
        same stamps are given to the pictures in the order in which these come
    """

    def __init__(self, stream: av.VideoStream, *, hold: bool, stamps_in_order: bool = False) -> None:
        self._context = stream.codec_context
        self._intra_only = stream.codec_context.codec.intra_only
        self._is_h264 = stream.codec_context.name == "h264"
        self._hold, self._stamps_in_order = hold, stamps_in_order
        self._number = 0  # of the next packet
        # of packets whose picture has not come: stamp, and whether the demuxer takes it for a key picture
        self._waiting: dict[int, tuple[int | None, bool]] = {}
        self._damaged_packets: list[int] = []  # numbers of packets since the last whole key picture
        self._started = False  # by a key picture, or a complete intra refresh
        self._recovers: tuple[int, int] | None = None  # intra refresh: the packet it began with, pictures still to come
        self._held: list[_Decoded] = []

    def lost(self) -> None:
        """Note that a packet was lost before it came here."""
        self._mark_damaged(self._number)
        self._number += 1

    def decode(self, packet: Any, *, damaged: bool = False) -> list[tuple[av.VideoFrame, str]]:
        """Decode a packet; one without data gives what the decoder still holds.

        Parameters
        ----------
        packet : of the stream; its stamp is lost
        damaged : it is known to be, although it may decode

        Returns
        -------
        pictures : in the order of presentation, each with why it is not whole

        Raises
        ------
        av.error.FFmpegError
            If it cannot be decoded; what was predicted from it will not be whole.
        """
        number, self._number = self._number, self._number + 1
        ends = not packet.size
        if damaged:
            self._mark_damaged(number)
        if not ends:
            if packet.is_corrupt:
                # The mark comes with the data behind which the gap is noticed, which a parser gives out one later.
                self._mark_damaged(number)
                self._mark_damaged(number + 1)
            is_key = bool(packet.is_keyframe)
            if self._is_h264 and is_key:
                is_key = False  # so is the start of an intra refresh called; the decoder knows better
                self._begin_refresh(packet, number)
            self._waiting[number] = packet.pts, is_key
            packet.pts = number  # comes back with the picture, whatever the decoder does with their order
            if len(self._waiting) > _WAITING_KEPT:
                del self._waiting[next(iter(self._waiting))]
        try:
            frames = packet.decode()
        except av.error.EOFError:
            frames = []
        except av.error.FFmpegError:
            failed = min(self._waiting, default=number)  # with several threads it may be of an earlier packet
            self._waiting.pop(failed, None)
            self._mark_damaged(failed)
            self._mark_damaged(number)
            raise
        pictures = [self._identify(frame, number) for frame in frames if isinstance(frame, av.VideoFrame)]
        if self._hold and (self._held or self._context.reorder_depth):
            pictures = self._release(pictures, ends=ends)
        return [(frame, self._judge(frame, of, is_key)) for frame, of, is_key in pictures]

    def _identify(self, frame: av.VideoFrame, newest: int) -> _Decoded:
        """Which packet a picture came from; gives the picture its own stamp back."""
        of = newest if frame.pts is None else frame.pts
        stamp, is_key = self._waiting.pop(of, (None, False))
        frame.pts = self._swap_for_earliest(stamp) if self._stamps_in_order and stamp is not None else stamp
        if frame.is_corrupt:
            self._mark_damaged(of)
        return frame, of, is_key or self._intra_only or frame.key_frame

    def _swap_for_earliest(self, stamp: int) -> int:
        """The earliest stamp that no picture has yet; the packet that it was of gets this one."""
        others = ((other, number, is_key) for number, (other, is_key) in self._waiting.items() if other is not None)
        earliest, number, is_key = min(others, default=(stamp, -1, False))
        if earliest >= stamp:
            return stamp
        self._waiting[number] = stamp, is_key
        return earliest

    def _release(self, pictures: list[_Decoded], *, ends: bool) -> list[_Decoded]:
        """The pictures before which nothing is missing any more."""
        self._held += pictures
        depth = 0 if ends else self._context.reorder_depth
        count = 0
        for place, (_, of, _) in enumerate(self._held):
            if len(self._held) - place <= depth and any(earlier < of for earlier in self._waiting):
                break
            count += 1
        released, self._held = self._held[:count], self._held[count:]
        return released

    def _judge(self, frame: av.VideoFrame, number: int, is_key: bool) -> str:
        if is_key:
            self._restart(number)
        elif self._recovers is not None and frame.pict_type != PictureType.B and number >= self._recovers[0]:
            began, left = self._recovers
            self._recovers = (began, left - 1)
            if not left:
                self._restart(began)
        if not self._started:
            return _NO_KEY
        return _DAMAGED if self._damaged_packets and self._damaged_packets[0] <= number else ""

    def _restart(self, number: int) -> None:
        """From this packet on nothing is needed of what came before."""
        self._started, self._recovers = True, None
        if self._damaged_packets:
            self._damaged_packets = [hurt for hurt in self._damaged_packets if hurt >= number]

    def _begin_refresh(self, packet: Any, number: int) -> None:
        """Where an intra refresh begins, all is whole so many pictures later."""
        if self._recovers is None and (self._damaged_packets or not self._started):
            count = recovery_frames(bytes(packet), self._context.extradata)
            self._recovers = None if count is None else (number, count)

    def _mark_damaged(self, number: int) -> None:
        if number not in self._damaged_packets:
            self._damaged_packets.append(number)
            self._damaged_packets.sort()
            if len(self._damaged_packets) > _MAX_DAMAGED_KEPT:
                del self._damaged_packets[1]  # the first says since when, the last whether a key picture is hurt itself
        if self._recovers is not None and number >= self._recovers[0]:
            self._recovers = None
