"""A real RTSP server (GStreamer's) for tests; run it with the system's Python, which has gi.

``/usr/bin/python3 tests/rtsp_server.py HOST PORT MEDIA`` serves ``rtsp://HOST:PORT/camera``, to
every client from the beginning of the media: an MP4 or MPEG-TS file with H.264, sent as it is, or
``mjpeg``, a test picture of 640x360 at 10 frames per second. It prints ``ready`` once it listens.
With two more words, the files of a certificate and of its key, it is ``rtsps://``.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtspServer  # noqa: E402

MJPEG = (
    "videotestsrc is-live=true ! video/x-raw,format=I420,width=640,height=360,framerate=10/1 "
    "! jpegenc ! rtpjpegpay name=pay0"
)
FILE = "filesrc location={} ! qtdemux ! rtph264pay name=pay0"


def main() -> None:
    """Serves until it is killed."""
    host, port, media, *certificate = sys.argv[1:]
    Gst.init(None)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch("( " + (MJPEG if media == "mjpeg" else FILE.format(media)) + " )")
    server = GstRtspServer.RTSPServer()
    server.set_address(host)
    server.set_service(port)
    if certificate:
        server.set_auth(_tls(factory, *certificate))
    server.get_mount_points().add_factory("/camera", factory)
    if not server.attach(None):
        sys.exit(f"cannot listen on port {port}")
    print("ready", flush=True)
    GLib.MainLoop().run()


def _tls(factory, certificate, key):
    """With a certificate the server asks who somebody is, too: anybody may see the media."""
    access = GstRtspServer.RTSPPermissions.new()
    for what in ("access", "construct"):
        access.add_permission_for_role("anybody", f"media.factory.{what}", True)
    factory.set_permissions(access)
    anybody = GstRtspServer.RTSPToken.new()
    anybody.set_string("media.factory.role", "anybody")
    auth = GstRtspServer.RTSPAuth.new()
    auth.set_tls_certificate(Gio.TlsCertificate.new_from_files(certificate, key))
    auth.set_default_token(anybody)
    return auth


if __name__ == "__main__":
    main()
