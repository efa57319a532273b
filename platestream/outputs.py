"""Where results go on disk, what they are called, and whether they may go there."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from platestream.errors import OutputError, SettingsError

_VIDEO_ENDINGS = (".mp4", ".m4v")
_TIME = r"\d{8}T\d{6}Z"
_FIELDS = {"started": _TIME, "segment": r"\d{5,}", "segment_started": _TIME}
_FIELD = re.compile(r"\{(started|segment|segment_started)\}")


def check_output(path: Path, *, force: bool) -> None:
    """Refuses a path that cannot or must not be written.

    Args:
        force: Whether a file that is there may be overwritten.

    Raises:
        OutputError: The folder is missing or may not be written, or the file is there.
    """
    folder = path.parent
    if path.is_dir():
        raise OutputError(f"'{path}' is a folder; name a file in it")
    if path.exists() and not path.is_file():
        raise OutputError(f"'{path}' is no ordinary file, and cannot be appended to; name another")
    if not folder.is_dir():
        raise OutputError(f"folder '{folder}' for '{path.name}' does not exist; make it first")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"folder '{folder}' may not be written")
    check_free(path, force=force)


def make_default_folder(folder: Path) -> None:
    """Makes the folder that is written into where no output is named, if it is not there.

    Raises:
        OutputError: It cannot be made: a file has its name, or its parent may not be written.
    """
    try:
        folder.mkdir(exist_ok=True)
    except FileExistsError as error:
        raise OutputError(
            f"'{folder}' is a file, and no folder; name a video with --output"
        ) from error
    except OSError as error:
        raise OutputError(
            f"cannot make folder '{folder}': {error.strerror}; name a video with --output"
        ) from error


def check_free(path: Path, *, force: bool) -> None:
    """Refuses a path at which a file is already.

    Raises:
        OutputError: A file is there, and ``force`` does not allow to overwrite it.
    """
    if path.exists() and not force:
        raise OutputError(f"'{path}' exists already; use --force to overwrite it")


def check_video_name(video: str) -> None:
    """Refuses a video's name that does not say what is in it.

    Raises:
        OutputError: It does not end as an MP4's.
    """
    path = Path(video)
    if path.suffix.lower() not in _VIDEO_ENDINGS:
        raise OutputError(
            f"'{path}': the video is an MP4; call it '{path.with_suffix(_VIDEO_ENDINGS[0])}'"
        )


def check_apart(source: str, video: Path, readings: Path) -> None:
    """Refuses to write over the source, or both outputs into one file.

    Raises:
        OutputError: Two of them are the same file.
    """
    places = {"the source": Path(source), "the video": video, "the readings": readings}
    found: dict[str, str] = {}
    for what, path in places.items():
        other = found.setdefault(os.path.realpath(path), what)
        if other != what:
            raise OutputError(f"'{path}' is {other} already; {what} must go into another file")


def readings_path(video: Path) -> Path:
    """The file of JSON lines beside a video: ``gate.mp4`` has ``gate.readings.jsonl``."""
    return video.with_name(f"{video.stem}.readings.jsonl")


@dataclass(frozen=True, slots=True)
class OutputFiles:
    """A segment's two files: the video and its JSON lines.

    Attributes:
        started: When the recording began, as the name has it; empty if it does not say.
        segment: Its number; 1 where the name has none.
    """

    video: Path
    lines: Path
    started: str = ""
    segment: int = 1


@dataclass(frozen=True)
class OutputNames:
    """The names of a camera's files, made from the settings' templates, and found again.

    Attributes:
        video: Template of the video's path, with ``{camera}``, ``{started}``, ``{segment}`` and
            ``{segment_started}``.
        readings: Template of the lines' path; empty: beside the video.
        camera: The camera's name.
    """

    video: str
    readings: str
    camera: str

    @property
    def template(self) -> str:
        """Both templates, to tell one output from another."""
        return f"{self.video}|{self.readings}"

    @property
    def tells_start(self) -> bool:
        """Whether a video's name says when the recording began."""
        return "{started}" in self.video

    def files(
        self, started: str, segment: int, segment_started: str, *, numbered: bool
    ) -> OutputFiles:
        """The files of a segment.

        Args:
            started, segment_started: Times as ``20261124T120000Z``.
            segment: From 1 on; five digits or more, so that names sort.
            numbered: Whether the number is part of the names even if the templates do not say so.
        """
        return self._filled(
            {
                "started": started,
                "segment": f"{segment:05d}",
                "segment_started": segment_started,
            },
            numbered,
        )

    def found(self) -> list[OutputFiles]:
        """The segments of this camera that are in the videos' folder, in the order of their names.

        Only what these templates make for this camera: nothing else in the folder matches.
        """
        folder = Path(self._of_camera(self.video)).parent
        pattern = self._pattern()
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            return []
        matches = [match for name in names if (match := pattern.fullmatch(name))]
        return [self._filled(m.groupdict(), numbered=m["segment"] is not None) for m in matches]

    def check_removable(self) -> None:
        """Refuses templates by which one camera's files could be taken for another's.

        Raises:
            SettingsError: Files made from them must not be deleted by their names.
        """
        folder, _, name = self.video.rpartition("/")
        of_folder = "{camera}" in folder
        if _FIELD.search(folder):
            why = "the folder has fields other than {camera}"
        elif not (name.find("{started}") >= 0 or name.find("{segment_started}") >= 0):
            why = "the name has no {started}"
        elif not of_folder and not re.match(r"[^{}]*\{camera\}[^A-Za-z0-9{}].*\{", name):
            why = "the name does not have {camera}, a sign, and {started} in this order"
        elif re.search(r"[A-Za-z0-9]\{camera\}", name):
            why = "something before {camera} could be part of a camera's name"
        else:
            return
        raise SettingsError(
            f"writer.output: files of '{self.video}' cannot be deleted safely, for {why}; "
            "use a name like '{camera}-{started}.mp4', or leave out "
            "writer.keep_hours and writer.keep_mib"
        )

    def _of_camera(self, template: str) -> str:
        return template.replace("{camera}", self.camera)

    def _filled(self, values: Mapping[str, str | None], numbered: bool) -> OutputFiles:
        def fill(template: str) -> Path:
            path = _with_number(template) if numbered else template
            return Path(_FIELD.sub(lambda m: values.get(m[1]) or "", self._of_camera(path)))

        video = fill(self.video)
        lines = fill(self.readings) if self.readings else readings_path(video)
        return OutputFiles(video, lines, values.get("started") or "", int(values["segment"] or 1))

    def _pattern(self) -> re.Pattern[str]:
        name = Path(self._of_camera(self.video)).name
        if "{segment}" in name:
            return re.compile(_regex(name))
        path = Path(name)
        number = rf"(?:-(?P<segment>{_FIELDS['segment']}))?"
        return re.compile(_regex(path.stem) + number + re.escape(path.suffix))


def _with_number(template: str) -> str:
    """A template that has ``{segment}``: put before the ending, if it has none."""
    if "{segment}" in template:
        return template
    path = Path(template)
    return str(path.with_name(f"{path.stem}-{{segment}}{path.suffix}"))


def _regex(name: str) -> str:
    """What a template's names look like; a field that comes twice must be the same twice."""
    pieces: list[str] = []
    at, seen = 0, set[str]()
    for field in _FIELD.finditer(name):
        kind = field[1]
        pieces.append(re.escape(name[at : field.start()]))
        pieces.append(f"(?P={kind})" if kind in seen else f"(?P<{kind}>{_FIELDS[kind]})")
        seen.add(kind)
        at = field.end()
    return "".join(pieces) + re.escape(name[at:])
