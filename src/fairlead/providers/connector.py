"""Connections to upstreams: aiohttp's, made in one step where there is nothing to choose."""

from __future__ import annotations

import asyncio
import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.client_proto import ResponseHandler

if TYPE_CHECKING:
    from aiohttp.client import ClientTimeout
    from aiohttp.tracing import Trace


class Connector(aiohttp.TCPConnector):
    """aiohttp's connector. It has the addresses of a name race each other, which takes twice the
    processor time of a connection and several turns of the loop, for a single address as well. To
    an address that is stated as such, without TLS or a proxy, the loop connects at once.

    :meth:`_create_connection` is what aiohttp's own connectors differ in; should it ever have
    another name, all connections are made as theirs are.
    """

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: ClientTimeout
    ) -> ResponseHandler:
        host, port = req.url.raw_host or "", req.url.port or 80
        if req.proxy is not None or req.is_ssl() or not _is_address(host):
            return await super()._create_connection(req, traces, timeout)
        loop = asyncio.get_running_loop()
        try:
            _, handler = await loop.create_connection(lambda: ResponseHandler(loop), host, port)
        except OSError as error:
            raise aiohttp.ClientConnectorError(req.connection_key, error) from error
        return handler


@lru_cache(maxsize=64)
def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
