"""Pictures in an entry itself: ``jpeg`` or ``raw``; and crops of plates."""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np
import simplejpeg

from platestream import picture as pictures
from platestream.colour import Colour
from platestream.errors import MessageError
from platestream.messages import MAX_CROP_BYTES, Pixels
from platestream.picture import Form, Image, Picture, bgr, form_of, memory_of

Codec = Literal["jpeg", "raw"]

_CROP_WIDTH = 192


def pack(picture: Picture, codec: Codec, jpeg_quality: int = 90) -> Pixels:
    """Packs a picture for the way.

    Args:
        codec: ``jpeg`` (between hosts; some 150 kB at 720p, a few ms each way) or ``raw``
            (as it is: 1.4 MB of planes at 720p, 2.8 MB of BGR, no loss, for fast local Redis).
        jpeg_quality: 1 to 100; 4:2:0 chroma, as the video will have in the end.
    """
    if codec == "raw":
        return Pixels(codec="raw", data=memory_of(picture).tobytes(), **layout(form_of(picture)))
    data = simplejpeg.encode_jpeg(
        np.ascontiguousarray(bgr(picture)),
        quality=jpeg_quality,
        colorspace="BGR",
        colorsubsampling="420",
    )
    return Pixels(codec="jpeg", data=data)


def layout(form: Form) -> dict[str, Any]:
    """What ``Pixels`` say of a picture's form."""
    if form.colour is None:
        return {}
    colour = form.colour
    return {"layout": "i420", "matrix": colour.matrix, "full_range": colour.full_range}


def form(pixels: Pixels, width: int, height: int) -> Form:
    """The form that a picture has once it is unpacked.

    Raises:
        MessageError: Planes of an odd size.
    """
    if pixels.codec == "jpeg" or pixels.layout == "bgr":
        return Form(width, height)
    if width % 2 or height % 2:
        raise MessageError(f"planes of {width}x{height}: with 4:2:0 chroma both sides are even")
    return Form(width, height, Colour(pixels.matrix, pixels.full_range))


def pack_crop(image: Image) -> bytes:
    """Packs a plate's picture as a JPEG of at most ``MAX_CROP_BYTES``; empty if it will not fit.

    Passages keep thousands of them. 192 pixels of width, quality 60 and Huffman tables of its own
    make 2.0 kB of what takes 4.8 with 256, 85 and the standard tables; a person reads it as well.
    Chroma is 4:2:0.

    Args:
        image: HxWx3 uint8 BGR or HxW uint8 grey, some 256x64.
    """
    wanted = [cv2.IMWRITE_JPEG_QUALITY, 60, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    height, width = image.shape[:2]
    if width > _CROP_WIDTH:
        size = (_CROP_WIDTH, max(1, round(height * _CROP_WIDTH / width)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    _, packed = cv2.imencode(".jpg", image, wanted)
    data: bytes = packed.tobytes()
    return data if len(data) <= MAX_CROP_BYTES else b""


def unpack(pixels: Pixels, width: int, height: int, into: Picture | None = None) -> Picture:
    """Unpacks a picture that must have the size its entry says.

    Args:
        into: Where to put it, of the form that ``form`` says, in one piece; none: a new one.

    Returns:
        A picture of that form; writable, owned by the caller.

    Raises:
        MessageError: The bytes are damaged or of another size. A JPEG's size is taken from its
            header, before a byte of it is decoded.
    """
    if pixels.codec == "shm":
        raise MessageError(f"a picture in shared memory ({pixels.ring}) needs a Receiver")
    if pixels.codec == "raw":
        raw = form(pixels, width, height)
        if len(pixels.data) != raw.size:
            raise MessageError(
                f"raw picture of {len(pixels.data)} bytes; {width}x{height} needs {raw.size}"
            )
        return pictures.copy(raw.over(np.frombuffer(pixels.data, np.uint8)), into)
    try:
        jpeg_height, jpeg_width, _, _ = simplejpeg.decode_jpeg_header(pixels.data, strict=False)
        if (jpeg_width, jpeg_height) != (width, height):
            raise MessageError(
                f"JPEG of {jpeg_width}x{jpeg_height} in an entry that says {width}x{height}"
            )
        image: Image = simplejpeg.decode_jpeg(
            pixels.data,
            colorspace="BGR",
            fastdct=True,
            fastupsample=True,
            strict=False,
            buffer=into,
        )
    except (ValueError, KeyError) as error:  # a KeyError: of a colour space that there is not
        raise MessageError(f"damaged JPEG in an entry: {error}") from error
    return image
