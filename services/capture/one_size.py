"""All frames of a recording in the size of its first."""

from __future__ import annotations

from platestream import streams
from platestream.picture import Picture, form_of
from platestream.runtime import Session
from platestream.video import fit
from services.capture.recording import Recording


class OneSize:
    """Fits frames into a recording's size; says and counts where they come in another."""

    def __init__(self, session: Session, recording: Recording) -> None:
        self._session = session
        self._recording = recording
        self._said: tuple[int, int] | None = None

    def fit(self, picture: Picture) -> Picture:
        """The frame in the recording's size, with black borders where its sides' ratio differs."""
        recording = self._recording
        width, height, _ = form_of(picture)
        if not recording.frames and (width, height) != (recording.width, recording.height):
            recording.width, recording.height = width, height  # the header lied
            streams.register_camera(
                self._session.client,
                self._session.settings.camera,
                width=str(width),
                height=str(height),
            )
        if (width, height) == (recording.width, recording.height):
            self._said = None
            return picture
        if self._said != (width, height):
            self._said = (width, height)
            self._session.log.warning(
                f"the source gives {width}x{height} now; its frames are fitted into "
                f"{recording.width}x{recording.height}, the size of the recording"
            )
        self._session.count(self._session.settings.camera, resized=1)
        return fit(picture, recording.width, recording.height)
