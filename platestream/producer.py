"""A producer of ``frames`` or ``rendered``: room waited for, pictures packed, the budget kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from platestream import pixels, streams
from platestream.messages import Pixels
from platestream.picture import Form, Picture, form_of
from platestream.pixels import StreamName
from platestream.runtime import Session
from platestream.waiting import Waiting


class Producer:
    """What capture and visualize have in common.

    It waits for its groups (file mode: nothing is lost, and the pictures of frames that a group is
    not done with are left alone), or it waits for nobody, and the oldest frames go as the budget
    demands.
    """

    def __init__(
        self,
        session: Session,
        stream: StreamName,
        groups: Sequence[str],
        *,
        least_frames: int = 1,
    ) -> None:
        """Prepares the way for pictures.

        Args:
            groups: The groups that are waited for, where it waits.
            least_frames: So many, one or two, may be under way whatever the settings say.

        Raises:
            SharedMemoryError: It shall be used, and cannot be.
        """
        self._session = session
        self._camera = session.settings.camera
        of = {"frames": streams.frames_key, "rendered": streams.rendered_key}
        self.key = of[stream](self._camera)
        # a frame that visualize cannot publish is among those that came in, capture's is not
        self._refused = {"frames": "refused_by_redis", "rendered": "refused_before_writer"}[stream]
        self._groups = list(groups)
        self._least_frames = least_frames
        self._budget_bytes: int = getattr(session.settings.streams.shares, stream)
        self._sender = pixels.open_sender(session.client, session.settings, self._camera, stream)
        self._window: streams.Window | None = None
        self._waiting: Waiting
        self._budget: streams.ByteBudget | None = None

    def canvas(self, frame_id: int, form: Form, *, waits: bool) -> Picture | None:
        """Where to make a frame's picture, once there is room for it; ``pack`` comes next.

        Args:
            waits: Whether the groups are waited for.

        Returns:
            A picture of that form, with anything in it; None if the service was asked to stop
            before there was room.

        Raises:
            SharedMemoryError: There is too little for pictures of this size.
        """
        frames = self._sender.prepare(form, waits=waits)
        if waits and not self._wait(frame_id, frames):
            return None
        return self._sender.canvas(frame_id, form)

    def pack(self, frame_id: int, picture: Picture, *, waits: bool) -> Pixels | None:
        """Packs a frame's picture, once there is room for it.

        Args:
            picture: Any, or the canvas that was asked for last.
            waits: Whether the groups are waited for.

        Returns:
            None if the service was asked to stop before there was room.

        Raises:
            SharedMemoryError: There is too little for pictures of this size.
        """
        frames = self._sender.prepare(form_of(picture), waits=waits)
        if waits and not self._wait(frame_id, frames):
            return None
        packed = self._sender.pack(frame_id, picture)
        if waits and not self._wait(frame_id, frames, self._sender.weight(packed)):
            return None
        return packed

    def publish(
        self,
        frame_id: int,
        packed: Pixels,
        send: Callable[[str | None], object],
        *,
        size: int,
        waits: bool,
        drops: bool,
    ) -> bool:
        """Publishes a frame whose picture is packed.

        Args:
            send: Does it, given the entry id from which on the stream is to be kept.
            size: The bytes of all the entry's fields, of which the picture may be the least.
            waits: As for ``pack``.
            drops: What to do where Redis is full: leave the frame out, or wait.

        Returns:
            What ``send`` returned; None if it was left out, or the service was asked to stop.
        """
        oldest, weight = None, max(self._sender.weight(packed), streams.held_bytes(size))
        if waits:
            if self._window is not None:
                self._window.note(frame_id, weight)
        else:
            if self._budget is None:
                self._budget = streams.ByteBudget(
                    self._session.client, self.key, self._budget_bytes
                )
            oldest = self._budget.oldest_kept(frame_id, weight)
        return self._session.publish(
            self._camera, lambda: send(oldest), waits=not drops, refused=self._refused
        )

    def _wait(self, frame_id: int, frames: int, weight: int = 0) -> bool:
        if self._window is None:
            self._window = streams.Window(
                self._session.client, self.key, self._groups, frames, frame_id, self._budget_bytes
            )
            self._waiting = Waiting(self._session, self._window)
        self._window.frames = max(frames, self._least_frames)
        self._waiting.begin()
        there_is_room = self._window.wait_for_room(frame_id, self._waiting.stopped, weight)
        self._waiting.over()
        self._sender.release(self._window.lowest)
        return there_is_room

    def close(self) -> None:
        """Lets go of the pictures; those under way stay for who is to read them."""
        self._sender.close()
