"""A live source followed, with a connection of the test's own: the clock on the wall is set."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import ClassVar

import av
import fakeredis
import numpy as np
import pytest
import redis

from platestream import messages, streams
from platestream.clock import now_ms
from platestream.messages import Frame, Pixels
from platestream.runtime import Session
from platestream.settings import CaptureSettings, Settings
from platestream.video import LiveFrame, SourceFrame
from services.capture import following
from services.capture import recording as recordings
from services.capture.recording import Recording


class Camera:
    """Ten pictures a second without time stamps; after fifty the clock is set back an hour."""

    rate = Fraction(25)
    name = "camera"
    alive = ended = goes_on = False
    taken: ClassVar[int] = 0

    def __init__(self, *_: object, **__: object) -> None:
        self.began_ms = now_ms()

    def take(self, wait_s: float) -> LiveFrame | None:
        number = self.taken
        if number == 100:
            self.ended = True
            return None
        self.taken += 1
        decoded = av.VideoFrame.from_ndarray(np.zeros((36, 64, 3), np.uint8), format="bgr24")
        set_back_ms = 3_600_000 if number >= 50 else 0
        arrived_ms = self.began_ms + 100 * number - set_back_ms
        return LiveFrame(decoded, None, arrived_ms, 1_000 + number / 10)

    def take_skipped(self) -> int:
        return 0

    take_undecoded = take_damaged = take_marred = take_skipped

    def close(self, **_: object) -> None:
        """Has nothing to close."""


def followed(session: Session) -> list[float]:
    """Follows the camera to its end; the times, in seconds, of the frames that are published."""
    times: list[float] = []

    def publisher(recording: Recording) -> following.Publish:
        def publish(frame: SourceFrame, captured_at_ms: int) -> bool:
            times.append(frame.pts_s)
            recording.next_frame_id += 1
            return True

        return publish

    following.Following(session).run(publisher)
    return times


@pytest.fixture
def session(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> Session:
    """Of a capture whose source is the camera above."""
    monkeypatch.setattr(following, "LiveReader", Camera)
    capture = CaptureSettings(source="http://camera/mjpeg")
    return Session("capture", Settings(camera="gate-1", capture=capture), client)


def test_a_clock_that_is_set_back_does_not_squeeze_a_source_without_stamps(
    session: Session,
) -> None:
    times = followed(session)
    steps = [b - a for a, b in itertools.pairwise(times)]
    assert steps == pytest.approx([0.1] * 99)


def test_where_the_clock_was_set_back_a_restarted_capture_goes_on_behind_the_last_frame(
    session: Session, client: redis.Redis
) -> None:
    """The recording began half an hour before the clock was set back by an hour."""
    earlier = recordings.begin(session, "live", 64, 36, Fraction(25))
    earlier.started_at_ms += 1_800_000
    recordings.register(session, earlier)
    last = Frame(
        frame_id=1, captured_at_ms=now_ms(), pts_s=1_800.0, width=64, height=36,
        pixels=Pixels(codec="raw", data=b"")
    )  # fmt: skip
    streams.publish_captured(
        client, "gate-1", 1, messages.frame_fields(last), captured_at_ms=last.captured_at_ms
    )
    times = followed(session)
    assert 1_800.0 <= times[0] < 1_830.0
    steps = [b - a for a, b in itertools.pairwise(times)]
    assert steps == pytest.approx([0.1] * 99)


class Overtaken(Camera):
    """Seven frames before its second one could not be decoded."""

    undecoded = 7

    def take_undecoded(self) -> int:
        if self.taken < 2:
            return 0
        undecoded, self.undecoded = self.undecoded, 0
        return undecoded


def test_what_was_counted_while_redis_was_away_is_counted_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(following, "LiveReader", Overtaken)
    server = fakeredis.FakeServer()
    client = fakeredis.FakeRedis(server=server)
    capture = CaptureSettings(source="http://camera/mjpeg")
    session = Session("capture", Settings(camera="gate-1", capture=capture), client)
    shown: list[float] = []

    def publisher(recording: Recording) -> following.Publish:
        def publish(frame: SourceFrame, captured_at_ms: int) -> bool:
            server.connected &= bool(shown)  # it goes away behind the first frame
            shown.append(frame.pts_s)
            recording.next_frame_id += 1
            return True

        return publish

    one = following.Following(session)
    with pytest.raises(redis.ConnectionError):
        one.run(publisher)
    server.connected = True
    session.catch_up()  # as a service's life has it
    one.run(publisher)
    assert streams.read_counts(client, "gate-1") == {"undecoded_by_capture": 7}
    assert session.metrics.registry.get_sample_value(
        "platestream_frames_skipped_total",
        {"service": "capture", "camera": "gate-1", "reason": "undecoded"},
    ) == 7  # fmt: skip
    assert len(shown) == 100  # and none was taken that could not be published
