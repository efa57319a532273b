"""Whom a source over TLS is taken for: its certificate is checked, and said why it is not good."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from platestream.errors import SourceError

PORTS = {"https": 443, "rtsps": 322}
"""The schemes whose certificates are checked, and where they listen if the URL does not say."""

_CONNECTED_S = 2.0


@dataclass(frozen=True, slots=True)
class Trust:
    """Which certificates are good.

    FFmpeg checks none by itself: whoever is on the way could be the camera, and have its password.
    Of a playlist it checks only that of the playlist's first connection.

    Attributes:
        verify: Whether they are checked at all.
        ca_file: The certificates of the authorities that count, or a camera's own; None: the
            system's authorities.
        name: What the certificate must be for; empty: the host of the URL.
    """

    verify: bool = True
    ca_file: Path | None = None
    name: str = ""

    def check(self) -> None:
        """Refuses a file without certificates.

        Raises:
            SourceError: It cannot be read, or there is none in it.
        """
        if self.ca_file is None:
            return
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(self.ca_file)
        except ssl.SSLError as error:
            raise SourceError(
                f"capture.ca_file: '{self.ca_file}' holds no certificate (PEM)"
            ) from error
        except OSError as error:
            raise SourceError(
                f"capture.ca_file: cannot read '{self.ca_file}': {error.strerror}"
            ) from error

    def options(self, scheme: str) -> dict[str, str]:
        """The same for FFmpeg, of a source with that scheme."""
        if scheme not in PORTS:
            return {}
        options = {"tls_verify": "1" if self.verify else "0"}
        if (authorities := self._authorities()) is not None:
            options["ca_file"] = authorities
        if self.name:
            options["verifyhost"] = self.name
        return options

    def trouble(self, source: str) -> str | None:
        """What is wrong with the certificate of a source that does not open, and what to do.

        None where it is good, or the source is not one that has any. FFmpeg does not say.
        """
        url = urlsplit(source)
        if not self.verify or url.scheme not in PORTS or not url.hostname:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            where = (url.hostname, url.port or PORTS[url.scheme])
            with (
                socket.create_connection(where, _CONNECTED_S) as plain,
                context.wrap_socket(plain, server_hostname=self.name or url.hostname),
            ):
                return None
        except ssl.SSLCertVerificationError as error:
            return (
                f"its certificate is not trusted ({error.verify_message.rstrip('.')}); name its "
                "authority's, or its own, with capture.ca_file, the name that it is for with "
                "capture.tls_name, or set capture.tls_verify to false"
            )
        except (OSError, ValueError):
            return None

    def _authorities(self) -> str | None:
        if self.ca_file is not None:
            return str(self.ca_file)
        system = ssl.get_default_verify_paths()
        files = (system.cafile, system.openssl_cafile)
        return next((file for file in files if file and Path(file).is_file()), None)
