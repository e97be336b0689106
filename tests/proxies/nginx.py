"""The real nginx as a process, with the configuration that is shipped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import re
import signal
import socket
from pathlib import Path

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nginx.conf"
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Nginx:
    """nginx before the server on ``port``, on a free port of its own (the same after a restart).

    ``without`` names directives to be left out of the shipped configuration. An async context
    manager.
    """

    def __init__(self, folder: Path, port: int, *, without: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.port = _free_port()
        self._output = b""
        self._news = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        text = CONFIGURATION.read_text()
        for directive in without:
            text, found = re.subn(rf"^ +{directive} [^;]+;\n", "", text, flags=re.MULTILINE)
            assert found, f"{directive} does not stand in the configuration"
        text = _replace(text, r"listen 8080;", f"listen 127.0.0.1:{self.port};")
        text = _replace(text, r"server 127\.0\.0\.1:8000;", f"server 127.0.0.1:{port};")
        text = _replace(text, r"worker_processes auto;", "worker_processes 1;")
        text = _replace(text, r"/var/log/nginx/access\.log", "/dev/stderr")
        paths = "".join(f"{name}_temp_path {folder / name};\n" for name in _TEMPORARY)
        text = _replace(text, r"^http \{\n", "http {\n" + paths)
        (folder / "nginx.conf").write_text(text)

    @property
    def url(self) -> str:
        """Fairlead's address through nginx."""
        return f"http://127.0.0.1:{self.port}/api"

    async def start(self) -> None:
        """Start and wait until a worker runs."""
        user = pwd.getpwuid(os.getuid()).pw_name
        self._output = b""
        self._process = await asyncio.create_subprocess_exec(
            "nginx",
            "-p",
            str(self.folder),
            "-c",
            str(self.folder / "nginx.conf"),
            "-e",
            "stderr",
            "-g",
            f"daemon off; user {user}; pid {self.folder}/nginx.pid; error_log stderr notice;",
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        self._reading = asyncio.create_task(self._read())
        await self.wait_for("start worker process ")

    async def wait_for(self, text: str) -> None:
        """Wait until nginx has written ``text`` to one of its logs."""
        assert self._reading is not None
        async with asyncio.timeout(30):
            while text.encode() not in self._output:
                if self._reading.done():
                    raise AssertionError(f"nginx ended: {self._output.decode()}")
                self._news.clear()
                await self._news.wait()

    async def kill(self) -> None:
        """SIGKILL to the master and its workers: every connection is gone."""
        assert self._process is not None
        assert self._reading is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        await self._reading

    @property
    def logs(self) -> str:
        """What nginx has logged so far, of errors and of requests."""
        return self._output.decode()

    def reload(self) -> None:
        """SIGHUP: new workers take over, the old ones finish what they have."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    async def __aenter__(self) -> Nginx:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        while data := await self._process.stderr.read(1 << 16):
            self._output += data
            self._news.set()
        self._news.set()


def _replace(text: str, pattern: str, by: str) -> str:
    text, found = re.subn(pattern, lambda _: by, text, flags=re.MULTILINE)
    assert found == 1, f"{pattern} stands {found} times in the configuration"
    return text


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
