"""Pictures in an entry itself: ``jpeg`` or ``raw``; and crops of plates."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import simplejpeg

from platestream.errors import MessageError
from platestream.messages import MAX_CROP_BYTES, Pixels

Image = npt.NDArray[np.uint8]
Codec = Literal["jpeg", "raw"]


def pack(image: Image, codec: Codec, jpeg_quality: int = 90) -> Pixels:
    """Packs a picture for the way.

    Args:
        image: HxWx3 uint8 BGR.
        codec: ``jpeg`` (between hosts; some 150 kB at 720p, a few ms each way) or ``raw``
            (as it is: 2.8 MB at 720p, no loss, for fast local Redis).
        jpeg_quality: 1 to 100; 4:2:0 chroma, as the video will have in the end.
    """
    if codec == "raw":
        return Pixels(codec="raw", data=np.ascontiguousarray(image).tobytes())
    data = simplejpeg.encode_jpeg(
        np.ascontiguousarray(image), quality=jpeg_quality, colorspace="BGR", colorsubsampling="420"
    )
    return Pixels(codec="jpeg", data=data)


def pack_crop(image: Image) -> bytes:
    """Packs a plate's picture as a JPEG of at most ``MAX_CROP_BYTES``; empty if it will not fit.

    Args:
        image: HxWx3 uint8 BGR or HxW uint8 grey, some 256x64.
    """
    grey = image.ndim == 2
    for quality in (85, 60):
        data: bytes = simplejpeg.encode_jpeg(
            np.ascontiguousarray(image[:, :, None] if grey else image),
            quality=quality,
            colorspace="GRAY" if grey else "BGR",
            colorsubsampling="Gray" if grey else "420",
        )
        if len(data) <= MAX_CROP_BYTES:
            return data
    return b""


def unpack(pixels: Pixels, width: int, height: int, into: Image | None = None) -> Image:
    """Unpacks a picture that must have the size its entry says.

    Args:
        into: HxWx3 uint8, contiguous: where to put it; none: a new array.

    Returns:
        HxWx3 uint8 BGR; writable, owned by the caller.

    Raises:
        MessageError: The bytes are damaged or of another size. A JPEG's size is taken from its
            header, before a byte of it is decoded.
    """
    if pixels.codec == "shm":
        raise MessageError(f"a picture in shared memory ({pixels.ring}) needs a Receiver")
    if pixels.codec == "raw":
        if len(pixels.data) != width * height * 3:
            raise MessageError(
                f"raw picture of {len(pixels.data)} bytes; {width}x{height} needs "
                f"{width * height * 3}"
            )
        picture = np.frombuffer(pixels.data, np.uint8).reshape(height, width, 3)
        if into is None:
            return picture.copy()
        np.copyto(into, picture)
        return into
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
