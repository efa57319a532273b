"""Frames of a file that never come to the writer."""

from __future__ import annotations

from platestream import streams
from platestream.messages import RenderedFrame
from platestream.runtime import Session


class Missing:
    """The writer's place in ``rendered``, remembered over outages of Redis.

    Of a file nothing is skipped or trimmed before the writer has it: what was published and never
    came, Redis has lost. Of a live camera, whoever trims counts (``publish_rendered``).
    """

    def __init__(self) -> None:
        self._handled = 0  # the last frame dealt with: written, passed over, or counted as lost

    def go_on_after(self, frame_id: int) -> None:
        """Everything up to a frame is dealt with."""
        self._handled = max(self._handled, frame_id)

    def begin(self, session: Session) -> None:
        """Begins where the group is, without a recording to go on with."""
        key = streams.rendered_key(session.settings.camera)
        self.go_on_after(streams.last_handed_out(session.client, key, streams.WRITER))

    def begin_recording(self, first: RenderedFrame) -> None:
        """Begins a recording; where Redis came back empty, ids may begin anew."""
        self._handled = min(self._handled, first.frame_id - 1)

    def count(self, session: Session, frame: RenderedFrame) -> None:
        """Counts what is missing before a frame, once."""
        previous = frame.previous_frame_id
        if previous is None:  # of a visualize of before there was this field
            previous = frame.frame_id - 1 if self._handled else 0
        missing = previous - self._handled
        self.go_on_after(frame.frame_id - 1)
        if frame.mode == "file" and missing > 0:
            session.log.error(
                f"{missing} frames before frame {frame.frame_id} never came: Redis has lost them"
            )
            session.count(session.settings.camera, missed_by_writer=missing)
