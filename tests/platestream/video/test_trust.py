"""Sources over TLS: whose certificates are trusted, and what is said of others; real servers."""

from __future__ import annotations

import functools
import http.server
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from platestream.errors import SourceError
from platestream.video import Trust, VideoSource
from tests.sources import rtsp_server, self_made_certificate, write_video


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip, and two certificates: for 127.0.0.1, and for another name."""
    made = tmp_path_factory.mktemp("tls")
    self_made_certificate(made / "good.pem", "IP:127.0.0.1")
    self_made_certificate(made / "other.pem", "DNS:camera.example")
    write_video(made / "a.ts", [n / 25 for n in range(25)])
    write_video(made / "a.mp4", [n / 25 for n in range(25)])
    return made


class _Handler(http.server.SimpleHTTPRequestHandler):
    elsewhere = ""

    def do_GET(self) -> None:
        if self.path == "/moved.ts":
            self.send_response(302)
            self.send_header("Location", f"{self.elsewhere}/a.ts")
            self.end_headers()
            return
        super().do_GET()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Who does not trust it goes away."""


def _serve(folder: Path, certificate: str = "") -> _Server:
    server = _Server(("127.0.0.1", 0), functools.partial(_Handler, directory=str(folder)))
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / certificate)
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture
def https(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """A server with the certificate that the test names."""
    server = _serve(folder, getattr(request, "param", "good.pem"))
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def frames(source: str, trust: Trust | None) -> int:
    with VideoSource(source, timeout_s=5, trust=trust) as video:
        return sum(1 for _ in video.decoded())


def test_a_certificate_of_nobody_known_is_refused_with_a_sentence(https: str) -> None:
    with pytest.raises(SourceError, match=r"not trusted \(self.signed certificate\).*ca_file"):
        frames(f"{https}/a.ts", None)


def test_a_certificate_that_is_named_is_trusted(https: str, folder: Path) -> None:
    assert frames(f"{https}/a.ts", Trust(ca_file=folder / "good.pem")) == 25


def test_one_need_not_check(https: str) -> None:
    assert frames(f"{https}/a.ts", Trust(verify=False)) == 25


@pytest.mark.parametrize("https", ["other.pem"], indirect=True)
def test_a_certificate_counts_for_the_name_in_it(https: str, folder: Path) -> None:
    named = Trust(ca_file=folder / "other.pem")
    with pytest.raises(SourceError, match=r"not trusted \(.*127\.0\.0\.1.*tls_name"):
        frames(f"{https}/a.ts", named)
    trust = Trust(ca_file=folder / "other.pem", name="camera.example")
    assert frames(f"{https}/a.ts", trust) == 25


def test_a_redirect_does_not_lead_past_the_check(
    https: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = _serve(folder)
    monkeypatch.setattr(_Handler, "elsewhere", f"http://127.0.0.1:{plain.server_address[1]}")
    try:
        with pytest.raises(SourceError):
            frames(f"{https}/moved.ts", Trust(ca_file=folder / "good.pem"))
        assert frames(f"{https}/moved.ts", Trust(verify=False)) == 25
    finally:
        plain.shutdown()
        plain.server_close()


@pytest.mark.parametrize(
    ("certificate", "trusted", "name", "said"),
    [
        ("good.pem", "good.pem", "", ""),
        ("good.pem", None, "", "self.signed certificate"),
        ("other.pem", "other.pem", "", "127.0.0.1"),
        ("other.pem", "other.pem", "camera.example", ""),
    ],
)
def test_rtsps_is_checked_as_https_is(
    folder: Path, certificate: str, trusted: str | None, name: str, said: str
) -> None:
    trust = Trust(ca_file=folder / trusted if trusted else None, name=name)
    file = folder / certificate
    with rtsp_server(certificate=(file, file)) as server:
        server.start(folder / "a.mp4")
        if said:
            with pytest.raises(SourceError, match=rf"not trusted \(.*{said}"):
                frames(server.url, trust)
        else:
            with VideoSource(server.url, timeout_s=5, trust=trust) as video:
                assert next(video.decoded()).width == 320


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot read"), ("no certificate", "holds no certificate")]
)
def test_a_file_without_certificates_is_refused(
    tmp_path: Path, content: str | None, said: str
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SourceError, match=said):
        Trust(ca_file=file).check()
