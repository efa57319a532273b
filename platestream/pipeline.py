"""``platestream run``: Redis and the services as processes, from a source to files on disk."""

from __future__ import annotations

import contextlib
import signal
import time
import uuid
from collections.abc import Callable
from types import FrameType

from platestream import cores, messages, settings, streams
from platestream.camera_claim import take_camera
from platestream.children import Child, ServiceError, start_all
from platestream.embedded_redis import EmbeddedRedis
from platestream.errors import MessageError, RedisError, SourceError
from platestream.job import Ages, Job, PlatesRead, Progress, Result
from platestream.messages import End
from platestream.outputs import check_free
from platestream.pixels import RunFolder
from platestream.process_limit import StartError
from platestream.reading_lines import overlay_ages
from platestream.runtime import HEARTBEAT_LIFE_S, HEARTBEAT_S
from platestream.settings import RedisSettings
from platestream.video import is_live, open_file

_POLL_S = 0.05
_DRAIN_S = 30.0
_LAST_PASSAGES_S = 10.0
REDIS_PATIENCE_S = 30.0
_ANSWER_S = 3.0  # how long Redis may take for an answer while services are at work
# what the environment says of another Redis is not for the private one
_WITHOUT_LOGIN = {
    f"PLATESTREAM_REDIS__{name}": ""
    for name in ("USERNAME", "PASSWORD_FILE", "CA_FILE", "CERT_FILE", "KEY_FILE")
}
SOURCE_PATIENCE_S = 15.0
OCR_PATIENCE_S = 20.0  # loading takes one, compiling the networks for the first time some more
DISK_PATIENCE_S = 30.0


class Pipeline:
    """A run: processes started, watched, drained and ended."""

    def __init__(self, job: Job, on_log: Callable[[str, str, str], None]) -> None:
        """Checks what can be checked before anything is started.

        Args:
            on_log: Takes a service's name, a level and a message.

        Raises:
            OutputError: An output cannot or must not be written.
            SourceError: A file cannot be read.
        """
        self.job = job
        self.progress = Progress()
        self._on_log = on_log
        self._stopping = False
        self._began_at = time.time()
        self._server = streams.ServerIdentity()
        self._first_frame_id = ""
        self._plates = PlatesRead()
        self._refused = 0  # passages that are not ours
        self._passed_frame_id = (
            0  # the last frame of the recording, once its passages are all there
        )
        self._written_since: float | None = None
        self._silent = False  # whether it was stopped without Redis, which gave no answer
        self._warnings: list[str] = []
        job.check_outputs()
        for files in job.names.found():
            check_free(files.video, force=job.force)
        if not is_live(job.source):
            with open_file(job.source) as video:
                self.progress.promised = video.promised

    def stop(self) -> None:
        """Asks for an end: capture stops, what it has published is finished."""
        self._stopping = True  # no lock: this is called from a signal handler

    def run(self, on_progress: Callable[[Progress], None]) -> Result:
        """Runs to the end of the source, or until ``stop``.

        Raises:
            ServiceError: A service gave up; what was written can be played.
            RedisError: Redis was away too long, or could not be started.
            SharedMemoryError: ``streams.pixels`` is ``shm``, and there is no place for it.
        """
        if self.job.redis_url is not None:
            loaded = settings.load({"redis.url": self.job.redis_url}, self.job.assignments)
            return self._run(loaded.redis, None, on_progress)
        with EmbeddedRedis() as server:
            return self._run(RedisSettings(url=server.url), server, on_progress)

    def _run(
        self,
        address: RedisSettings,
        server: EmbeddedRedis | None,
        on_progress: Callable[[Progress], None],
    ) -> Result:
        client = streams.connect(address, identity=self._server)
        watching = streams.connect(address, timeout_s=_ANSWER_S, identity=self._server)
        claim = streams.RunClaim(watching, self.job.camera)
        folder: RunFolder | None = None
        try:
            try:
                client.ping()
                take_camera(client, claim)
            except streams.FAILURE as error:
                raise streams.unreachable(error, address) from error
            folder, why_not = RunFolder.wanted(settings.load({}, self.job.assignments).streams)
            if why_not:
                self._on_log("run", "warning", f"pictures travel as JPEG: {why_not}")
            return self._serve(watching, address.url, folder, server, claim, on_progress)
        finally:
            if folder is not None:
                folder.remove()
            if not self._silent:
                with contextlib.suppress(*streams.FAILURE):
                    claim.release()

    def _serve(
        self,
        client: streams.Client,
        url: str,
        folder: RunFolder | None,
        server: EmbeddedRedis | None,
        claim: streams.RunClaim,
        on_progress: Callable[[Progress], None],
    ) -> Result:
        children = self._children(url, folder)
        if server is not None:
            for child in children:
                child.environment = {**child.environment, **_WITHOUT_LOGIN}
        capture, writer = children[0], children[1]
        began = time.monotonic()
        try:
            start_all(children)
            self._watch(client, children, server, claim, on_progress)
            wall_s = time.monotonic() - began
            return self._result(client, wall_s)
        except (ServiceError, RedisError, StartError) as error:
            kind = RedisError if isinstance(error, RedisError) else ServiceError
            raise kind(f"{error}{self._left_over()}") from error
        finally:
            capture.terminate()
            for child in children[2:]:
                child.terminate()
            for child in children[2:]:
                child.wait(10)
            writer.terminate()  # last, so that it takes what is still under way
            for child in (capture, writer):
                child.wait(10)

    def _children(self, url: str, folder: RunFolder | None) -> list[Child]:
        job = self.job
        common = ["--camera", job.camera, "--redis", url]
        for assignment in job.assignments:
            common += ["--set", assignment]
        if folder is not None:
            common += ["--set", "streams.pixels=shm", "--set", f"streams.shm_dir={folder.path}"]
        wait_for = "visualize,ocr" if job.replicas else "visualize"
        run_id = uuid.uuid4().hex
        own = {
            "PLATESTREAM_LOG__FORMAT": "json",
            "PLATESTREAM_REDIS__PATIENCE_S": str(REDIS_PATIENCE_S),
            "PLATESTREAM_CAPTURE__PATIENCE_S": str(SOURCE_PATIENCE_S),
            "PLATESTREAM_CAPTURE__OCR_PATIENCE_S": str(OCR_PATIENCE_S if job.replicas else 0),
            "PLATESTREAM_CAPTURE__RUN_ID": run_id,
            "PLATESTREAM_WRITER__PATIENCE_S": str(DISK_PATIENCE_S),
            "PLATESTREAM_WRITER__RUN_ID": run_id,
            "PLATESTREAM_CAPTURE__WAIT_FOR": wait_for,
            # not as an argument: a URL may hold a password, and everybody can list processes
            "PLATESTREAM_CAPTURE__SOURCE": job.source,
        }
        pace = [] if job.live is None else ["--live" if job.live else "--file"]
        loaded = settings.load({}, job.assignments)
        if not job.segments and loaded.writer.segment_s == "auto":
            own["PLATESTREAM_WRITER__SEGMENT_S"] = "0"
        if job.replicas and loaded.ocr.threads is None:
            own["PLATESTREAM_OCR__THREADS"] = str(cores.share(job.replicas))
        # --force: outputs are checked already, and a writer that is started again must go on
        files = [job.names.video, "--readings", job.names.readings, "--once", "--force"]
        table = [
            ("capture", ["services.capture", *pace]),
            ("writer", ["services.writer", *files]),
            ("visualize", ["services.visualize"]),
        ]
        if job.replicas:
            table.append(("track", ["services.track"]))
        for number in range(1, job.replicas + 1):
            table.append((f"ocr-{number}", ["services.ocr", "--name", f"ocr-{number}"]))
        first_port = loaded.http.port
        children = []
        for number, (name, words) in enumerate(table):
            port = ["--set", f"http.port={first_port + number}"] if first_port else []
            children.append(Child(name, [*words, *common, *port], own, self._on_log))
        return children

    def _watch(
        self,
        client: streams.Client,
        children: list[Child],
        server: EmbeddedRedis | None,
        claim: streams.RunClaim,
        on_progress: Callable[[Progress], None],
    ) -> None:
        """Looks after the processes until the writer and the tracker are through."""
        follower: streams.Follower | None = None
        stopping_since: float | None = None
        away_since: float | None = None
        renewed_at = -HEARTBEAT_S
        restarted = False
        capture, writer = children[0], children[1]
        while True:
            done = {child.name for child in children if child.check()}
            if server is not None and not server.alive():
                raise RedisError("the private redis-server died")
            if self._stopping and stopping_since is None:
                stopping_since = time.monotonic()
                capture.terminate()
            asked = time.monotonic()
            try:
                if restarted:
                    self._keep_ids(client)
                    restarted = False
                if time.monotonic() - renewed_at >= HEARTBEAT_S:
                    claim.renew(HEARTBEAT_LIFE_S)
                    renewed_at = time.monotonic()
                done -= self._start_again(client, capture, writer, done)
                if follower is None:
                    follower = streams.Follower(client, streams.passages_key(self.job.camera))
                self._take_passages(follower)
                self._measure(client)
                if capture.name in done and self._finished(client, writer.name in done):
                    on_progress(self.progress)
                    return
                away_since = None
            except streams.RestartError:
                self._server.forget()
                follower = None  # what was lost comes again; what is there is taken in again
                restarted = True
            except streams.FAILURE as error:
                if not streams.is_outage(error):
                    raise
                if self._stopping and time.monotonic() - asked >= _ANSWER_S:
                    self._silent = True
                    for child in children:  # what is under way cannot be finished
                        child.terminate()
                    raise RedisError("Redis is silent; stopped without it") from error
                away_since = away_since or time.monotonic()
                if time.monotonic() - away_since > REDIS_PATIENCE_S:
                    raise RedisError(
                        f"Redis has not answered for {REDIS_PATIENCE_S:.0f} s"
                    ) from error
            on_progress(self.progress)
            if stopping_since and time.monotonic() - stopping_since > _DRAIN_S:
                raise ServiceError(
                    f"what was under way took longer than {_DRAIN_S:.0f} s to finish"
                )
            time.sleep(_POLL_S)

    def _keep_ids(self, client: streams.Client) -> None:
        """Lets ids begin where they began, in a Redis that came back empty."""
        if self._first_frame_id:
            key, last = streams.camera_key(self.job.camera), int(self._first_frame_id) - 1
            client.hsetnx(key, "last_frame_id", str(last))

    def _start_again(
        self, client: streams.Client, capture: Child, writer: Child, done: set[str]
    ) -> set[str]:
        """Starts capture and writer again where they are done, and Redis has forgotten that.

        Returns:
            Which of them.
        """
        camera = self.job.camera
        again = set()
        if capture.name in done and not self._stopping:
            known = streams.read_hash(client, streams.camera_key(camera))
            if known.get("ended") != "1":
                capture.start()
                again.add(capture.name)
        if writer.name in done:
            written = streams.read_hash(client, streams.recording_key(camera))
            if written.get("state") != "finished":
                writer.start()
                again.add(writer.name)
        return again

    def _finished(self, client: streams.Client, writer_done: bool) -> bool:
        """Whether the writer has acknowledged the end, and the tracker has passed it on.

        The tracker does so when OCR is through. A file waits for it as long as it takes; where
        frames are dropped anyway, the last plates are not worth more than ``_LAST_PASSAGES_S``.
        """
        known = streams.read_hash(client, streams.camera_key(self.job.camera))
        if not writer_done or known.get("ended") != "1":
            return False
        last = int(known.get("last_frame_id", "0"))
        if not self.job.replicas or not last or self._passed_frame_id >= last:
            return True
        self._written_since = self._written_since or time.monotonic()
        late = time.monotonic() - self._written_since > _LAST_PASSAGES_S
        if late and (known.get("mode") == "live" or self._stopping):
            self._warnings.append(
                f"the tracker was not through {_LAST_PASSAGES_S:.0f} s after the last frame; "
                "the last plates may be missing"
            )
            return True
        return False

    def _take_passages(self, follower: streams.Follower) -> None:
        while entries := follower.read():
            for fields in entries:
                try:
                    passage = messages.parse_passage(fields)
                except MessageError as error:
                    if not self._refused:  # the others are counted: there may be any number
                        self._on_log("run", "error", f"a passage was refused: {error}")
                    self._refused += 1
                    continue
                if isinstance(passage, End):
                    self._passed_frame_id = passage.frame_id
                else:
                    self._plates.take(passage)

    def _measure(self, client: streams.Client) -> None:
        camera, progress = self.job.camera, self.progress
        if not self._first_frame_id:
            known = streams.read_hash(client, streams.camera_key(camera))
            self._first_frame_id = known.get("first_frame_id", "")
        counts = streams.read_counts(client, camera)
        progress.frames_in = counts.get("frames_in", 0)
        progress.frames_written = counts.get("frames_written", 0)
        progress.readings = counts.get("readings", 0)
        progress.plates = len(self._plates)
        if self.job.replicas and progress.frames_in:
            head = streams.last_frame_id(client, camera)
            through = streams.first_unfinished(client, streams.frames_key(camera), streams.OCR)
            progress.ocr_behind = max(0, head + 1 - through)

    def _result(self, client: streams.Client, wall_s: float) -> Result:
        known = streams.read_hash(client, streams.camera_key(self.job.camera))
        frames_in = int(known.get("frames", 0))
        warnings = ([known["warning"]] if known.get("warning") else []) + self._warnings
        whole = 0 < self.progress.promised <= frames_in
        if self._stopping and not whole and not is_live(self.job.source):
            of = f" of {self.progress.promised}" if self.progress.promised else ""
            warnings.append(f"stopped by a signal after {frames_in}{of} frames")
        if self._refused:
            warnings.append(f"{self._refused} passages were refused")
        if not frames_in:
            raise SourceError(f"'{self.job.source}' gave no frame that can be decoded")
        recording = streams.read_hash(client, streams.recording_key(self.job.camera))
        started, last = recording.get("started", ""), int(recording.get("segment", 0))
        files = [
            one
            for one in self.job.names.found()
            if one.segment <= last and one.started in ("", started) and one.lines.exists()
        ]
        written, ages = int(recording.get("frames_before", 0)), Ages()
        for one in files:  # without those that were deleted to make room
            lines = 0
            for age_ms in overlay_ages(one.lines):
                lines += 1
                if age_ms is not None:
                    ages.add(age_ms)
            if one.segment == last:
                written += lines
        if known.get("mode") == "file" and written < frames_in:
            warnings.append(f"{frames_in - written} frames were lost in Redis")
        plates = self._plates
        return Result(
            frames_in, written, wall_s, ages, plates.in_order(), warnings, files, plates.left_out
        )

    def _left_over(self) -> str:
        for files in reversed(self.job.names.found()):
            if not files.lines.exists() or files.lines.stat().st_mtime < self._began_at:
                continue  # of an earlier run
            if any(True for _ in overlay_ages(files.lines)):
                return f"; '{files.video}' holds what was written until then and can be played"
        return ""


def stop_on_signals(pipeline: Pipeline) -> None:
    """Makes SIGINT and SIGTERM end a run in good order."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        pipeline.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
