"""``run --sequential``: read, draw and write one frame after the other, in one process.

The slow way, which the services must beat; it is the baseline of the benchmark.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack

from platestream import cores, overlay
from platestream.colour import BT601
from platestream.errors import SourceError
from platestream.job import Ages, Job, PlatesRead, Progress, Result
from platestream.masking import mask
from platestream.messages import Frame, Pixels, RenderedFrame
from platestream.outputs import OutputFiles
from platestream.picture import bgr, copy, form_of
from platestream.plate_messages import fused_plate, to_passage
from platestream.reading_lines import reading_line
from platestream.settings import Settings
from platestream.video import VideoEncoder, codecs, fit, open_file
from platestream.vision import plate_formats
from platestream.vision.reader import PlateReader
from platestream.vision.tracking import Observation, Track, Tracker, TrackSettings


def run(job: Job, settings: Settings, on_progress: Callable[[Progress], None]) -> Result:
    """Runs a file to its end.

    Raises:
        SourceError: The file cannot be read.
        OutputError: An output cannot or must not be written.
        WeightsError: Weights are missing or not ours.
    """
    job.check_outputs()
    progress = Progress()
    tracker = Tracker(
        TrackSettings(
            settings.track.gone_after_ms,
            settings.track.least_readings,
            settings.track.threshold,
            plate_formats.choose(settings.ocr.recognizer_weights, settings.ocr.plates_file),
        )
    )
    plates, passages = PlatesRead(), itertools.count(1)

    def take(gone: Iterable[Track]) -> None:
        for track in gone:
            plates.take(to_passage(track, next(passages)))

    folder_fps = settings.capture.folder_fps
    with open_file(job.source, folder_fps) as video, ExitStack() as opened:
        progress.promised = video.promised
        reader = PlateReader.load(
            detector_weights=settings.ocr.detector_weights,
            recognizer_weights=settings.ocr.recognizer_weights,
            backend=settings.ocr.backend,
            device=settings.ocr.device,
            threads=cores.share(1) if settings.ocr.threads is None else settings.ocr.threads,
            precision=settings.ocr.precision,
            threshold=settings.ocr.threshold,
            plates_file=settings.ocr.plates_file,
            tile=settings.ocr.tile,
            video=True,
        )
        encoder: VideoEncoder | None = None
        began = time.monotonic()
        started_at_ms = time.time_ns() // 1_000_000
        for frame_id, source in enumerate(video.frames(), 1):
            if encoder is None:  # nothing is overwritten before there is something to write
                lines = opened.enter_context(job.readings.open("w", encoding="utf-8"))
                width, height, colour = form_of(source.picture)
                encoder = VideoEncoder(
                    job.output,
                    width,
                    height,
                    video.rate,
                    codec=codecs.choose(settings.writer.codec),
                    preset=settings.writer.preset,
                    crf=settings.writer.crf,
                    threads=settings.writer.threads,
                    colour=colour or BT601,
                )
            picture = fit(source.picture, width, height)
            read = reader.read([bgr(picture)])[0]
            picture = copy(picture)  # the decoder's memory is not drawn on
            captured_at_ms = started_at_ms + round(1000 * source.pts_s)
            observations = [
                Observation(p.detection.corners, p.detection.score, p.text, reader.alphabet)
                for p in read
            ]
            step = tracker.update(frame_id, captured_at_ms, observations, pts_s=source.pts_s)
            take(step.gone)
            shown = tuple(map(fused_plate, read, step.seen))
            overlay.draw(picture, shown, 0)
            encoder.write(picture, source.pts_s)
            frame = Frame(
                frame_id=frame_id,
                captured_at_ms=captured_at_ms,
                pts_s=source.pts_s,
                width=width,
                height=height,
                pixels=Pixels(codec="raw", data=b""),
            )
            lines.write(reading_line(RenderedFrame(**frame.model_dump(), reading_frame_id=frame_id,
                                                   overlay_age_ms=0, plates=shown)))  # fmt: skip
            progress.frames_in = progress.frames_written = progress.readings = frame_id
            progress.plates = len(plates)
            on_progress(progress)
        if encoder is None:
            raise SourceError(f"'{mask(job.source)}' gave no frame that can be decoded")
        encoder.close()
        wall_s = time.monotonic() - began
    frames = progress.frames_in
    take(tracker.end())
    ages = Ages()
    ages.add(0, frames)
    files = [OutputFiles(job.output, job.readings)]
    return Result(frames, frames, wall_s, ages, plates.in_order(), [], files, plates.left_out)
