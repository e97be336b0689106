"""*relay* by nginx: ``proxy_pass`` without buffering, one worker."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from bench.processes import Failed, Server, command, free_port

_CONF = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream model {{ server 127.0.0.1:{upstream}; keepalive 256; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
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


@contextlib.contextmanager
def nginx(upstream_port: int, folder: Path) -> Iterator[Server]:
    """Run nginx before an upstream on this machine. Raises :class:`~bench.processes.Failed` where
    it is not installed."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise Failed("nginx is not installed (Debian: apt-get install nginx-light)")
    port = free_port()
    conf = folder / "nginx.conf"
    conf.write_text(_CONF.format(folder=folder, upstream=upstream_port, port=port))
    with command([program, "-c", str(conf), "-p", str(folder)], port) as server:
        yield server
