"""The real nginx as a process, with the configurations that are shipped."""

from __future__ import annotations

import os
import pwd
import re
import signal
from pathlib import Path

from tests.proxies.process import DEPLOY, ProxyProcess, replace
from tests.support.ports import free_port

CONFIGURATION = DEPLOY / "nginx.conf"
TLS_CONFIGURATION = DEPLOY / "nginx-tls.conf"
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Nginx(ProxyProcess):
    """nginx before the server on ``port``, on a free port of its own (the same after a restart).

    ``without`` names directives to be left out of the shipped configuration. An async context
    manager.
    """

    started = "start worker process "

    def __init__(self, folder: Path, port: int, *, without: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.folder = folder
        self.port = free_port()
        text = self._configuration(port)
        for directive in without:
            text, found = re.subn(rf"^ +{directive} [^;]+;\n", "", text, flags=re.MULTILINE)
            assert found, f"{directive} does not stand in the configuration"
        text = replace(text, r"worker_processes auto;", "worker_processes 1;")
        text = replace(text, r"/var/log/nginx/access\.log", "/dev/stderr")
        paths = "".join(f"{name}_temp_path {folder / name};\n" for name in _TEMPORARY)
        text = replace(text, r"^http \{\n", "http {\n" + paths)
        (folder / "nginx.conf").write_text(text)

    @property
    def origin(self) -> str:
        """The origin that browsers see."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Fairlead's address through nginx."""
        return f"{self.origin}/api"

    def command(self) -> list[str]:
        user = pwd.getpwuid(os.getuid()).pw_name
        return [
            *("nginx", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")),
            *("-e", "stderr", "-g"),
            f"daemon off; user {user}; pid {self.folder}/nginx.pid; error_log stderr notice;",
        ]

    def reload(self) -> None:
        """SIGHUP: new workers take over, the old ones finish what they have."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def _configuration(self, port: int) -> str:
        text = CONFIGURATION.read_text()
        text = replace(text, r"listen 8080;", f"listen 127.0.0.1:{self.port};")
        return replace(text, r"server 127\.0\.0\.1:8000;", f"server 127.0.0.1:{port};")
