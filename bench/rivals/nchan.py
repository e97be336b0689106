"""*fan-out* by nchan: nginx with a module, in C, that passes messages on to subscribers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bench.processes import Failed, Server, command, free_port
from bench.rivals.nginx import COMMON, program

SUBSCRIBE, PUBLISH = "/subscribe", "/publish"
_MODULES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/local/nginx/modules")

_CONF = """
load_module {module};
{common}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000;
    nchan_max_reserved_memory 64M;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = {subscribe} {{
            nchan_subscriber websocket eventsource;
            nchan_channel_id bench;
        }}
        location = {publish} {{
            nchan_publisher http;
            nchan_channel_id bench;
        }}
    }}
}}
"""


@contextlib.contextmanager
def nchan(folder: Path) -> Iterator[Server]:
    """Run it with one worker. Raises :class:`~bench.processes.Failed` where it is not installed."""
    modules = [Path(at) / "ngx_nchan_module.so" for at in _MODULES]
    module = next((path for path in modules if path.exists()), None)
    if module is None:
        raise Failed("nchan is not installed (Debian: apt-get install libnginx-mod-nchan)")
    port = free_port()
    conf = folder / "nginx.conf"
    conf.write_text(
        _CONF.format(
            module=module,
            common=COMMON.format(folder=folder),
            folder=folder,
            port=port,
            subscribe=SUBSCRIBE,
            publish=PUBLISH,
        )
    )
    with command([program(), "-c", str(conf), "-p", str(folder)], port) as server:
        yield server
