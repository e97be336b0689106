"""nginx and Caddy as they stand on the way of browsers: with TLS and HTTP/2, and gRPC."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from pathlib import Path

from tests.proxies.nginx import TLS_CONFIGURATION, Nginx
from tests.proxies.process import DEPLOY, ProxyProcess, replace
from tests.support.ports import free_port

CADDYFILE = DEPLOY / "Caddyfile"


class Certificate:
    """A certificate for ``localhost`` that nobody has signed."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "certificate.pem"
        self.key = folder / "key.pem"
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-nodes", "-days", "2"),
                *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
                *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
                *("-keyout", str(self.key), "-out", str(self.file)),
            ],
            check=True,
            capture_output=True,
        )


class NginxTls(Nginx):
    """nginx with ``deploy/nginx-tls.conf``, before the server on ``port`` and ``grpc_port``."""

    def __init__(self, folder: Path, port: int, grpc_port: int) -> None:
        self.certificate = Certificate(folder)
        self._grpc_port = grpc_port
        super().__init__(folder, port)

    @property
    def origin(self) -> str:
        return f"https://localhost:{self.port}"

    async def reloaded(self) -> None:
        """Let it read its configuration anew, and wait until it has."""
        since = len(self.logs)
        self.reload()
        await self.wait_for("gracefully shutting down", since)

    def connections(self, path: str) -> list[str]:
        """For each logged request of ``path`` over HTTP/2, which connection it came on."""
        return re.findall(rf'"\w+ {path}" .* HTTP/2\.0 (\d+)$', self.logs, re.MULTILINE)

    def _configuration(self, port: int) -> str:
        text = TLS_CONFIGURATION.read_text()
        text = replace(text, r"listen 443 ssl", f"listen 127.0.0.1:{self.port} ssl")
        text = replace(text, r"server 127\.0\.0\.1:8000;", f"server 127.0.0.1:{port};")
        text = replace(text, r"server 127\.0\.0\.1:8001;", f"server 127.0.0.1:{self._grpc_port};")
        text = replace(text, r"/etc/ssl/fairlead/certificate\.pem", str(self.certificate.file))
        return replace(text, r"/etc/ssl/fairlead/key\.pem", str(self.certificate.key))


class Caddy(ProxyProcess):
    """Caddy with ``deploy/Caddyfile``, before the server on ``port`` and ``grpc_port``."""

    started = "serving initial configuration"

    def __init__(self, folder: Path, port: int, grpc_port: int) -> None:
        super().__init__()
        self.folder = folder
        # Where it keeps certificates, and the configuration it ran with.
        self.environment = {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        self.port = free_port()
        self.certificate = Certificate(folder)
        text = CADDYFILE.read_text()
        files = f"{self.certificate.file} {self.certificate.key}"
        text = replace(
            text,
            r"^localhost \{\n",
            f"https://localhost:{self.port} {{\n\tbind 127.0.0.1\n\ttls {files}\n",
        )
        self._admin = f"localhost:{free_port()}"
        own = f"admin {self._admin}\n\tauto_https disable_redirects"
        text = replace(text, r"^\{\n", f"{{\n\t{own}\n")
        text = replace(text, r"reverse_proxy 127\.0\.0\.1:8000", f"reverse_proxy 127.0.0.1:{port}")
        text = replace(text, r"127\.0\.0\.1:8001", f"127.0.0.1:{grpc_port}")
        (folder / "Caddyfile").write_text(text)

    @property
    def origin(self) -> str:
        """The origin that browsers see."""
        return f"https://localhost:{self.port}"

    @property
    def url(self) -> str:
        """Fairlead's address through Caddy."""
        return f"{self.origin}/api"

    def command(self) -> list[str]:
        return ["caddy", "run", "--config", str(self.folder / "Caddyfile")]

    async def reloaded(self) -> None:
        """Let it read its configuration anew, and wait until it has."""
        caddy = await asyncio.create_subprocess_exec(
            *("caddy", "reload", "--force", "--address", self._admin),
            *("--config", str(self.folder / "Caddyfile")),
            stderr=asyncio.subprocess.PIPE,
        )
        _, errors = await caddy.communicate()
        assert caddy.returncode == 0, errors.decode()

    def connections(self, path: str) -> list[str]:
        """For each logged request of ``path`` over HTTP/2, which connection it came on."""
        entries = [json.loads(line) for line in self.logs.splitlines() if line.startswith("{")]
        requests = [entry["request"] for entry in entries if "status" in entry]
        return [
            request["remote_port"]
            for request in requests
            if request["proto"] == "HTTP/2.0" and re.fullmatch(path, request["uri"])
        ]
