"""Frames turned upright: phones write them as the sensor has them, and say how to turn them."""

from __future__ import annotations

import contextlib
import struct
from typing import Any

import av.error
from av.filter import Graph
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame

from platestream.errors import SourceError
from platestream.video.reason import reason

_MOST_KINDS = 64  # of side data; FFmpeg has half as many
_MATRIX = struct.Struct("=9i")  # FFmpeg's display matrix: a b u c d v x y w
# where a picture's right (a, b) and down (c, d) are on the screen, and what brings them there
_TURNS: dict[tuple[int, int, int, int], tuple[tuple[str, str], ...]] = {
    (1, 0, 0, 1): (),
    (0, 1, -1, 0): (("transpose", "clock"),),
    (-1, 0, 0, -1): (("hflip", ""), ("vflip", "")),
    (0, -1, 1, 0): (("transpose", "cclock"),),
    (-1, 0, 0, 1): (("hflip", ""),),
    (1, 0, 0, -1): (("vflip", ""),),
    (0, 1, 1, 0): (("transpose", "cclock_flip"),),
    (0, -1, -1, 0): (("transpose", "clock_flip"),),
}


class Orientation:
    """Turns and mirrors frames by their display matrix, in quarter turns; others stay as they are.

    A matrix that turns by anything else (a camera held askew) is not followed. It is looked at in
    the first frame and where the angle changes, not in every one: frames whose side data have been
    looked at hold themselves, and their pictures, in memory until the garbage collector comes.
    """

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._made_for: object = None
        self._rotation: int | None = None  # degrees; None before the first frame
        self._turns: tuple[tuple[str, str], ...] = ()

    def upright(self, frame: VideoFrame) -> VideoFrame:
        """The frame as it is to be shown; the same one where nothing is to be turned.

        Raises:
            SourceError: FFmpeg cannot turn such pictures.
        """
        if frame.rotation != self._rotation:
            self._rotation, self._turns = frame.rotation, _turns(frame)
        turns = self._turns
        if not turns:
            return frame
        made_for = (turns, frame.format.name, frame.width, frame.height)
        try:
            if self._graph is None or self._made_for != made_for:
                self._graph, self._made_for = _graph(frame, turns), made_for
            time_base, pts = frame.time_base, frame.pts
            self._graph.push(frame)
            turned = self._graph.pull()
        except (av.error.FFmpegError, ValueError) as error:
            raise SourceError(f"a frame cannot be turned upright: {reason(error)}") from error
        assert isinstance(turned, VideoFrame)
        turned.pts, turned.time_base = pts, time_base
        return turned


def _turns(frame: VideoFrame) -> tuple[tuple[str, str], ...]:
    found: Any = _with_known_side_data(frame).side_data.get("DISPLAYMATRIX")
    matrix = b"" if found is None else bytes(found)
    if len(matrix) != _MATRIX.size:
        return ()
    a, b, _, c, d, *_ = _MATRIX.unpack(matrix)
    return _TURNS.get((_sign(a), _sign(b), _sign(c), _sign(d)), ())


def _with_known_side_data(frame: VideoFrame) -> VideoFrame:
    """The frame, without side data that PyAV has no name for: it would give none at all.

    EXIF, which cameras put into their JPEGs, is among them.
    """
    try:
        frame.side_data.keys()
    except ValueError:
        known: set[Any] = {kind.value for kind in Type}
        nodes: list[Any] = []
        graph = Graph()
        for number in range(_MOST_KINDS):
            if number not in known:
                with contextlib.suppress(ValueError):  # nor does FFmpeg know it
                    nodes.append(graph.add("sidedata", f"mode=delete:type={number}"))
        return _through(graph, frame, nodes)
    return frame


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)


def _graph(frame: VideoFrame, turns: tuple[tuple[str, str], ...]) -> Graph:
    graph = Graph()
    nodes = [graph.add(name, argument) if argument else graph.add(name) for name, argument in turns]
    _link(graph, frame, nodes)
    return graph


def _through(graph: Graph, frame: VideoFrame, nodes: list[Any]) -> VideoFrame:
    _link(graph, frame, nodes)
    graph.push(frame)
    given = graph.pull()
    assert isinstance(given, VideoFrame)
    return given


def _link(graph: Graph, frame: VideoFrame, nodes: list[Any]) -> None:
    """Makes a graph of filters for frames such as this one."""
    begin = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format,
                             time_base=frame.time_base)  # fmt: skip
    graph.link_nodes(begin, *nodes, graph.add("buffersink")).configure()
