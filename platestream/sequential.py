"""``run --sequential``: read, draw and write one frame after the other, in one process.

The slow way, which the services must beat; it is the baseline of the benchmark.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from platestream import overlay
from platestream.errors import SourceError
from platestream.messages import Frame, Pixels, RenderedFrame
from platestream.outputs import check_output
from platestream.pipeline import Job, Progress, Result
from platestream.plate_messages import to_message
from platestream.reading_lines import reading_line
from platestream.settings import Settings
from platestream.tally import Tally
from platestream.video import VideoEncoder, VideoSource
from platestream.vision.reader import PlateReader


def run(job: Job, settings: Settings, on_progress: Callable[[Progress], None]) -> Result:
    """Runs a file to its end.

    Raises:
        SourceError: The file cannot be read.
        OutputError: An output cannot or must not be written.
        WeightsError: Weights are missing or not ours.
    """
    for path in (job.output, job.readings):
        check_output(path, force=job.force)
    progress, tally = Progress(), Tally()
    with VideoSource(job.source) as video, job.readings.open("w", encoding="utf-8") as lines:
        progress.promised = video.promised
        reader = PlateReader.load(
            detector_weights=settings.ocr.detector_weights,
            recognizer_weights=settings.ocr.recognizer_weights,
            backend=settings.ocr.backend,
            device=settings.ocr.device,
            threads=settings.ocr.threads,
            precision=settings.ocr.precision,
            threshold=settings.ocr.threshold,
            plates_file=settings.ocr.plates_file,
        )
        encoder: VideoEncoder | None = None
        began = time.monotonic()
        started_at_ms = time.time_ns() // 1_000_000
        for frame_id, source in enumerate(video.frames(), 1):
            height, width = source.image.shape[:2]
            if encoder is None:
                encoder = VideoEncoder(
                    job.output,
                    width,
                    height,
                    video.rate,
                    preset=settings.writer.preset,
                    crf=settings.writer.crf,
                )
            plates = tuple(to_message(plate) for plate in reader.read([source.image])[0])
            tally.add(frame_id, plates)
            overlay.draw(source.image, plates, 0)
            encoder.write(source.image, source.pts_s)
            frame = Frame(
                frame_id=frame_id,
                captured_at_ms=started_at_ms + round(1000 * source.pts_s),
                pts_s=source.pts_s,
                width=width,
                height=height,
                pixels=Pixels(codec="raw", data=b""),
            )
            lines.write(reading_line(RenderedFrame(**frame.model_dump(), reading_frame_id=frame_id,
                                                   overlay_age_ms=0, plates=plates)))  # fmt: skip
            progress.frames_in = progress.frames_written = progress.readings = frame_id
            progress.plates = len(tally.sightings())
            on_progress(progress)
        if encoder is None:
            raise SourceError(f"'{job.source}' gave no frame that can be decoded")
        encoder.close()
        wall_s = time.monotonic() - began
    frames = progress.frames_in
    return Result(frames, frames, wall_s, [0] * frames, tally.sightings(), [])
