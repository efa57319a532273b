"""A real RTSP server (GStreamer's) for tests; run it with the system's Python, which has gi.

``/usr/bin/python3 tests/rtsp_server.py HOST PORT MEDIA`` serves ``rtsp://HOST:PORT/camera``, to
every client from the beginning of the media: an MP4 or MPEG-TS file with H.264, sent as it is, or
``mjpeg``, a test picture of 640x360 at 10 frames per second. It prints ``ready`` once it listens.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

MJPEG = (
    "videotestsrc is-live=true ! video/x-raw,format=I420,width=640,height=360,framerate=10/1 "
    "! jpegenc ! rtpjpegpay name=pay0"
)
FILE = "filesrc location={} ! qtdemux ! rtph264pay name=pay0"


def main() -> None:
    """Serves until it is killed."""
    host, port, media = sys.argv[1:]
    Gst.init(None)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch("( " + (MJPEG if media == "mjpeg" else FILE.format(media)) + " )")
    server = GstRtspServer.RTSPServer()
    server.set_address(host)
    server.set_service(port)
    server.get_mount_points().add_factory("/camera", factory)
    if not server.attach(None):
        sys.exit(f"cannot listen on port {port}")
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
