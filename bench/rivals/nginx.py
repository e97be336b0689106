"""nginx in front of a server on this machine: ``proxy_pass`` without buffering, one worker."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from bench.processes import Failed, Server, command, free_port

#: What every configuration of ours begins with.
COMMON = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 8192; }}
"""

_CONF = """
{common}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream model {{ server 127.0.0.1:{upstream}; keepalive 256; }}
    server {{
        listen 127.0.0.1:{port}{http2} backlog=4096;
        location / {{
            proxy_pass http://model;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 3600s;
        }}
    }}
}}
"""


def program() -> str:
    """Where nginx is. Raises :class:`~bench.processes.Failed` where it is not installed."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise Failed("nginx is not installed (Debian: apt-get install nginx-light)")
    return found


@contextlib.contextmanager
def nginx(upstream_port: int, folder: Path, *, http2: bool = False) -> Iterator[Server]:
    """Run it before an upstream; ``http2``: that is what it speaks, in cleartext. Raises
    :class:`~bench.processes.Failed` where it is not installed."""
    port = free_port()
    conf = folder / "nginx.conf"
    conf.write_text(
        _CONF.format(
            common=COMMON.format(folder=folder),
            folder=folder,
            upstream=upstream_port,
            port=port,
            http2=" http2" if http2 else "",
        )
    )
    with command([program(), "-c", str(conf), "-p", str(folder)], port) as server:
        yield server
