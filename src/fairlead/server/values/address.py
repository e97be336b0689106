"""Where the server listens, and who may call it from a page."""

from __future__ import annotations

import re
from typing import Annotated

from fairlead.server.values.value import Group

_says = Group("Address")

_BASE_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*")
_NAME = re.compile(r"[a-z0-9.-]{1,253}|[0-9a-f:]{2,39}")
_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::\d{1,5})?")


def _check_host(host: str) -> str:
    if not host or not re.fullmatch(r"[A-Za-z0-9.:_%-]{1,255}", host):
        return "it must be an address such as 127.0.0.1, ::1 or 0.0.0.0, or a host name"
    return ""


def _check_base_path(path: str) -> str:
    if path and not _BASE_PATH.fullmatch(path):
        return "it must begin with a slash and not end with one, such as /api"
    return ""


def _check_hosts(hosts: tuple[str, ...]) -> str:
    for host in hosts:
        if not _NAME.fullmatch(host):
            return (
                f"{host[:80]!r} is no host as clients name it; it must be such as chat.example.org "
                "or 192.168.1.5 (small letters, no port)"
            )
    return ""


def _check_origins(origins: tuple[str, ...]) -> str:
    for origin in origins:
        if origin == "*":
            return (
                "* would let every web page use its visitors' access; name the pages, "
                "such as https://app.example"
            )
        if not _ORIGIN.fullmatch(origin):
            return (
                f"{origin[:80]!r} is no origin; it must be scheme, host and port as browsers send "
                "them, such as https://app.example (small letters, no path, no slash at the end)"
            )
    return ""


Host = Annotated[str, _says("Address to listen on; loopback unless told.", check=_check_host)]
Port = Annotated[int, _says("Port; 0 takes any free one.", ge=0, le=65535)]
GrpcPort = Annotated[int, _says("Port for gRPC (HTTP/2, cleartext); 0: none.", ge=0, le=65535)]
BasePath = Annotated[
    str, _says("Path that a proxy puts before every address, such as /api.", check=_check_base_path)
]
CorsOrigins = Annotated[
    tuple[str, ...],
    _says(
        "Web pages that may call this server, such as https://app.example.", check=_check_origins
    ),
]
Hosts = Annotated[
    tuple[str, ...],
    _says(
        "On a loopback address without keys: further names under which this machine is called, also"
        " by a proxy, such as chat.example.org. Whoever comes by another one is shown no chats.",
        check=_check_hosts,
    ),
]
