"""platestream: real-time licence-plate reading on live video, over Redis Streams."""

__version__ = "0.1.0"
