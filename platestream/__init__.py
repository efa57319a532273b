"""platestream: real-time licence-plate reading on live video, over Redis Streams."""

import os

# numpy's OpenBLAS, and OpenCV's, start a thread for every core as they are imported. Nothing here
# multiplies matrices that are large enough for more than one; in a fleet, with a process for each
# camera, they would only use up the threads that a container may have. Training is not concerned:
# torch brings its own (MKL, OpenMP). Who wants another number sets it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

__version__ = "0.1.0"
