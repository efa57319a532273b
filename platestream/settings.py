"""Settings: one tree, from flags, then the environment, then a TOML file, then defaults.

``PLATESTREAM_OCR__THREADS=1`` sets ``ocr.threads``; ``REDIS_URL`` sets ``redis.url``. The TOML
file is ``platestream.toml`` in the working folder, or the one ``PLATESTREAM_CONFIG`` names.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings.exceptions import SettingsError as UnreadableError

from platestream import setting_faults
from platestream.errors import SettingsError
from platestream.messages import CameraName
from platestream.shares import LEAST_MIB, Shares, share_out

_PREFIX = "PLATESTREAM_"
CONFIG_VARIABLE = f"{_PREFIX}CONFIG"
DEFAULT_CONFIG = Path("platestream.toml")

OptionalPath = Annotated[Path | None, BeforeValidator(lambda given: None if given == "" else given)]
"""A file; the empty text is none, so that the environment can take one back."""


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


CameraNames = Annotated[tuple[CameraName, ...], NoDecode, BeforeValidator(_split)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RedisSettings(_Section):
    """Where Redis is, and how long to wait for it."""

    url: str = Field(
        "redis://127.0.0.1:6379/0",
        description="redis://, rediss:// (TLS), unix://; a cluster: redis+cluster://host:port,…",
    )
    username: str = Field("", max_length=256, description="none: the URL's, else Redis's default")
    password_file: OptionalPath = Field(
        None, description="the password is its one line; read anew for every connection"
    )
    ca_file: OptionalPath = Field(
        None, description="rediss://: who signed the server's certificate; none: the system's"
    )
    cert_file: OptionalPath = Field(None, description="rediss://: a certificate of our own")
    key_file: OptionalPath = Field(None, description="rediss://: that certificate's key")
    patience_s: float | None = Field(
        None, ge=0, description="give up when Redis is away for so long; none: wait for ever"
    )


class StreamSettings(_Section):
    """What may lie in Redis, and how pixels travel."""

    pixels: Literal["auto", "shm", "jpeg", "raw"] = Field(
        "auto",
        description="how pixels travel; auto: shm for the services of `run` if there is room, "
        "jpeg for others, which may be on other hosts",
    )
    shm_dir: Path | None = Field(
        None, description="shm: the folder of rings, in memory; none: /dev/shm/platestream"
    )
    jpeg_quality: int = Field(92, ge=1, le=100)
    camera_mib: int = Field(
        448,
        ge=LEAST_MIB,
        description="most that one camera may take in Redis, all of its keys together; with shm "
        "its pictures are in shared memory instead, and take four sevenths of it there",
    )
    budget_mib: int | None = Field(
        None,
        ge=4,
        description="most that the pictures of one stream of frames may take, of which a camera "
        "has two; none: two sevenths of camera_mib, 128 MiB",
    )
    readings_mib: int | None = Field(
        None, ge=1, description="most that readings may take; none: a 56th of camera_mib, 8 MiB"
    )
    tracks_mib: int | None = Field(
        None, ge=1, description="most that tracks may take; none: a 56th of camera_mib, 8 MiB"
    )
    passages_mib: int | None = Field(
        None, ge=1, description="most that passages may take; none: a 14th of camera_mib, 32 MiB"
    )
    dead_mib: int | None = Field(
        None,
        ge=1,
        description="most that dead frames may take, those to be tried again included; none: two "
        "sevenths of camera_mib, 128 MiB",
    )
    window_frames: int = Field(
        8, ge=2, description="file mode: frames a producer may be ahead of its slowest group"
    )

    @property
    def shares(self) -> Shares:
        """What of ``camera_mib`` is whose.

        Raises:
            ValueError: Sizes that are set leave too little for the others.
        """
        return share_out(
            self.camera_mib,
            {
                "frames": self.budget_mib,
                "rendered": self.budget_mib,
                "dead": self.dead_mib,
                "passages": self.passages_mib,
                "readings": self.readings_mib,
                "tracks": self.tracks_mib,
            },
        )


class CaptureSettings(_Section):
    """Where frames come from."""

    source: str = Field(
        "", description="file, folder of pictures, rtsp://, http:// or udp:// URL, or /dev/video0"
    )
    live: bool | None = Field(
        None, description="pace and never wait; none: true for URLs and devices, false for files"
    )
    wait_for: str = Field(
        "visualize,ocr",
        pattern=r"^(|(visualize|ocr)(,(visualize|ocr))?)$",
        description="file mode: the groups that capture waits for",
    )
    ocr_patience_s: float = Field(
        0,
        ge=0,
        description="live: wait for so long, at most, until a replica reads, before the source is "
        "opened; `run` waits 20 s",
    )
    rtsp_transport: Literal["tcp", "udp"] = "tcp"
    tls_verify: bool = Field(
        True, description="https, rtsps: whether the source's certificate is checked"
    )
    ca_file: OptionalPath = Field(
        None,
        description="https, rtsps: certificates of the authorities, or the source's own; none: the "
        "system's authorities",
    )
    tls_name: str = Field(
        "",
        max_length=255,
        description="https, rtsps: whom the certificate is for; default: the URL's host",
    )
    folder_fps: float = Field(5.0, gt=0, le=240, description="pictures of a folder in a second")
    timeout_s: float = Field(
        10.0, gt=0, description="a live source that gives no frame for so long has stalled"
    )
    live_backlog_frames: int = Field(
        12, ge=1, description="live source: frames that may wait to be published"
    )
    live_lag_s: float = Field(
        1.0, gt=0, description="live source: how late a frame may be decoded, else key frames only"
    )
    reconnect_max_s: float = Field(30.0, gt=0, description="longest pause between two tries")
    patience_s: float | None = Field(
        None, ge=0, description="give up on a live source away for so long; none: never"
    )
    run_id: str = Field("", max_length=64, description="a restart with the same id goes on")
    stay: bool = Field(
        False, description="at the end, wait to be stopped, for supervisors that start it again"
    )


class OcrSettings(_Section):
    """How plates are found and read."""

    name: str = Field("", max_length=100, description="this replica; default: host and process")
    cameras: CameraNames = Field(
        (), description="the cameras to serve, by commas; none: all that are registered in Redis"
    )
    policy: Literal["auto", "every", "newest"] = Field(
        "auto", description="which frames to read; auto: every one of a file, the newest if live"
    )
    read_every: int = Field(
        1, ge=1, le=1000, description="of a file, read one frame in so many, always the same ones"
    )
    whole_look_ms: int = Field(
        300,
        ge=0,
        description="where the newest frames are read: longest pause between looks at the whole "
        "picture; in between only where plates are expected; 0: always the whole",
    )
    tile: int = Field(
        0,
        ge=0,
        le=8192,
        description="pixels; larger frames are looked at in parts of that size, too, for plates "
        "that are small in them; 0: never",
    )
    batch: int = Field(4, ge=1, le=64, description="most frames taken at once, of all cameras")
    claim_after_ms: int = Field(
        2000, ge=100, description="take over what was held for so long, or longer if batches are"
    )
    max_deliveries: int = Field(3, ge=1, description="then a frame is put aside as dead")
    backend: Literal["auto", "openvino", "onnxruntime", "torch"] = Field(
        "auto", description="what runs the networks; auto: the fastest that is installed"
    )
    device: str = Field("cpu", description="cpu, cuda, cuda:0, …")
    precision: Literal["auto", "fp32", "bf16", "int8"] = Field(
        "auto",
        description="auto: with openvino int8 of the networks that are shipped so, else bf16 "
        "where it finds a CPU that computes in it, else fp32",
    )
    threads: int | None = Field(
        None,
        ge=0,
        description="CPU threads of a replica; none: 1, of `run` its share of the cores, 4 at "
        "most; 0: let the backend choose",
    )
    detector_weights: Path | None = None
    recognizer_weights: Path | None = None
    threshold: float | None = Field(
        None, ge=0, le=1, description="least confidence of a character; none: the model's own"
    )
    plates_file: Path | None = Field(
        None, description="what plates may carry; none: what the recognizer was trained for"
    )


class TrackSettings(_Section):
    """When plates of several frames are one, and when one has gone."""

    gone_after_ms: int = Field(1500, ge=0, description="a plate not seen for so long has gone")
    least_readings: int = Field(2, ge=1, description="seen on fewer frames, a plate is none")
    threshold: float = Field(0.6, ge=0, le=1, description="least confidence of a character")
    reorder_frames: int = Field(
        256, ge=1, description="most readings that wait for one of an earlier frame"
    )
    reorder_ms: int = Field(2000, ge=0, description="live: longest that a reading waits so")


class VisualizeSettings(_Section):
    """What is drawn."""

    sync: Literal["latest", "exact"] = Field(
        "latest",
        description="latest: never wait; exact (files only): every frame with its own reading",
    )
    stale_after_ms: int = Field(1000, ge=0, description="an older reading is no longer drawn")
    live_backlog_frames: int = Field(
        12, ge=1, description="live: that far behind, skip to the newest frame"
    )
    wait_for_writer: bool = Field(True, description="file mode: do not run ahead of the writer")


class WriterSettings(_Section):
    """What is written, and how."""

    output: str = Field(
        "out/{camera}-{started}.mp4",
        description="the video; {camera}, {started} (the recording, UTC), {segment} (a number) "
        "and {segment_started} (UTC) are filled in; where there is no {segment}, segments get "
        "'-{segment}' before the ending",
    )
    readings: str = Field(
        "", description="a line of JSON per frame; default: beside the video, .readings.jsonl"
    )
    force: bool = Field(False, description="overwrite what is there")
    once: bool = Field(False, description="exit after one recording")
    run_id: str = Field(
        "", max_length=64, description="once: a restart with the same id knows that it was done"
    )
    segment_s: Literal["auto"] | Annotated[float, Field(ge=0)] = Field(
        "auto",
        description="a new file after so many seconds of video; 0: never; auto: 600 if live, "
        "never for a file",
    )
    segment_mib: float = Field(0, ge=0, description="a new file after so many MiB; 0: never")
    keep_hours: float = Field(
        0, ge=0, description="delete this camera's finished files when older; 0: never"
    )
    keep_mib: float = Field(
        0, ge=0, description="delete this camera's oldest finished files above so much; 0: never"
    )
    fsync_s: float = Field(
        5.0, ge=0, description="sync what is written to the disk so often; 0: at a file's end only"
    )
    patience_s: float | None = Field(
        None, ge=0, description="give up when the disk takes nothing for so long; none: never"
    )
    codec: Literal[
        "auto",
        "libx264",
        "h264_nvenc",
        "h264_qsv",
        "h264_amf",
        "h264_videotoolbox",
        "h264_v4l2m2m",
    ] = Field("libx264", description="auto: the first in hardware that works, else libx264")
    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium"] = "superfast"
    crf: int = Field(23, ge=0, le=51, description="quality; less is better and larger")
    threads: int = Field(2, ge=0, le=64, description="of libx264; 0: let it choose")


class LogSettings(_Section):
    """What is said on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = Field(
        "auto", description="auto: console on a terminal, else JSON lines"
    )


class HttpSettings(_Section):
    """Where a service answers ``/metrics``, ``/healthz`` and ``/readyz``."""

    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0: all of them")
    port: int = Field(0, ge=0, le=65535, description="0: no HTTP at all")
    hang_s: float = Field(
        30.0, gt=0, description="a service that has made no progress for so long has hung"
    )


class FleetSettings(_Section):
    """A service with ``--cameras``: a process for each camera."""

    stop_s: float = Field(
        25.0,
        gt=0,
        description="from SIGTERM to SIGKILL of a camera's process; a little less than whoever "
        "stops the service gives it: a container has 30 s",
    )


class Settings(BaseSettings):
    """All settings of all services."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        toml_file=None,
    )

    camera: CameraName = "camera-1"
    redis: RedisSettings = RedisSettings()
    streams: StreamSettings = StreamSettings()
    capture: CaptureSettings = CaptureSettings()
    ocr: OcrSettings = OcrSettings()
    track: TrackSettings = TrackSettings()
    visualize: VisualizeSettings = VisualizeSettings()
    writer: WriterSettings = WriterSettings()
    log: LogSettings = LogSettings()
    http: HttpSettings = HttpSettings()
    fleet: FleetSettings = FleetSettings()

    @model_validator(mode="after")
    def _check_shares(self) -> Settings:
        """Here and not in its section, of which a camera of ``cameras.toml`` says a part only."""
        _ = self.streams.shares
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Orders the sources: flags, environment, TOML file."""
        path = os.environ.get(CONFIG_VARIABLE)
        toml = Path(path) if path else DEFAULT_CONFIG
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml)


def load(flags: dict[str, Any] | None = None, assignments: tuple[str, ...] = ()) -> Settings:
    """Reads the settings from all their places.

    Args:
        flags: Dotted names to values, as given on the command line; None values do not count.
        assignments: ``section.name=value`` texts, as given with ``--set``.

    Raises:
        SettingsError: A name is unknown, a value out of range, or the TOML file unreadable.
    """
    tree: dict[str, Any] = {}
    if "REDIS_URL" in os.environ and "PLATESTREAM_REDIS__URL" not in os.environ:
        _put(tree, "redis.url", os.environ["REDIS_URL"])
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not (equals and name.strip()):
            raise SettingsError(f"--set {assignment}: write it as section.name=value")
        _put(tree, name.strip(), value)
    for name, value in (flags or {}).items():
        if value is not None:
            _put(tree, name, value)
    config = os.environ.get(CONFIG_VARIABLE)
    if config and not Path(config).is_file():
        raise SettingsError(f"settings file '{config}' ({CONFIG_VARIABLE}) is not there")
    file = f"settings file '{config or DEFAULT_CONFIG}'"
    _check_variables()
    try:
        return Settings(**tree)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = tuple(str(part) for part in first["loc"])
        said = setting_faults.sentence(".".join(where), first, _names())
        what = f"setting {said}" if where else f"settings: {said}"
        raise SettingsError(f"{what}{_origin(where, tree, file)}") from error
    except UnreadableError as error:
        name = str(error).split('"')[1]
        raise SettingsError(
            f"{_PREFIX}{name.upper()}: '{name}' is a section; "
            f"set what is in it, as {_PREFIX}{name.upper()}__NAME"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file}: {error}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file} is not UTF-8 text") from error
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}") from error


def _names() -> list[str]:
    """All settings, by their dotted names, and the sections."""
    names = []
    for name, field in Settings.model_fields.items():
        inner = getattr(field.annotation, "model_fields", {})
        names += [name, *(f"{name}.{leaf}" for leaf in inner)]
    return names


def _check_variables() -> None:
    """Refuses variables of the environment that set nothing, which pydantic passes over.

    Those without a section are left alone: Kubernetes sets ``PLATESTREAM_PORT`` and such for a
    service of that name.

    Raises:
        SettingsError: There is no such section.
    """
    for variable in os.environ:
        section, parts, _ = variable.upper().removeprefix(_PREFIX).lower().partition("__")
        if not parts or not variable.upper().startswith(_PREFIX):
            continue
        if section not in Settings.model_fields:
            said = setting_faults.unknown(section, Settings.model_fields)
            raise SettingsError(f"{variable}: section {said}")


def _origin(where: tuple[str, ...], tree: dict[str, Any], file: str) -> str:
    """Where a setting was found, if not among the flags."""
    found: Any = tree
    for part in where:
        found = found.get(part) if isinstance(found, dict) else None
    if found is not None or not where:
        return ""
    variables = {name.upper() for name in os.environ}
    names = [_PREFIX + "__".join(where[:depth]).upper() for depth in range(len(where), 0, -1)]
    variable = next((name for name in names if name in variables), None)
    return f" ({variable or file})"


def _put(tree: dict[str, Any], name: str, value: Any) -> None:
    *sections, leaf = name.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise SettingsError(f"setting '{name}' is not one: '{section}' is a value")
    tree[leaf] = value
