"""Servers for the documentation's examples."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.docs.blocks import ROOT
from tests.support.apps import python_app
from tests.support.provider import Provider
from tests.support.server import ServerProcess

Servers = Callable[[str], Awaitable[ServerProcess]]

#: Flags and variables of the server that an example is run against, by the value of its mark.
KINDS: dict[str, tuple[list[str], dict[str, str]]] = {
    "": ([], {}),
    "cors": (
        ["--cors-origins", "https://app.example", "--cors-origins", "http://localhost:8080"],
        {},
    ),
    "operator": (["--config", str(Path(__file__).parent / "operator.toml")], {}),
    "keys": ([], {"FAIRLEAD_API_KEYS": "alice=9f2c6c1e,bob=51d0a7b3"}),
    "renew": (
        ["--extractive-pace", "0.05"],
        {"FAIRLEAD_API_KEYS": "alice=9f2c6c1e,alice=77d0c2aa"},
    ),
    "tokens": ([], {"OAUTH2_SECRET": "the secret of gateway"}),
    "budgets": (["--config", str(Path(__file__).parent / "budgets.toml")], {}),
    "relay": ([], {}),
    "plugins": (["--config", str(ROOT / "examples/plugins/fairlead.toml")], {}),
}


#: For the kind ``tokens``, with the provider's address in place of the issuer's.
_TOKENS = """
[jwt]
issuer = "{issuer}"
audience = ["urn:fairlead"]

[oauth2]
issuer = "{issuer}"
client_id = "gateway"
client_secret_env = "OAUTH2_SECRET"
"""


#: For the kind ``relay``, with the address of the example.
_RELAY = '[[apps]]\nname = "countdown"\npath = "/rocket"\ntarget = "{target}"\n'


async def _with_app(stack: AsyncExitStack, data: Path) -> list[str]:
    """Flags of a server that stands before the example's application."""
    target = await stack.enter_async_context(python_app("any_app:app", ROOT / "examples"))
    file = data / "relay.toml"
    file.write_text(_RELAY.format(target=target))
    return ["--config", str(file)]


@pytest.fixture(scope="module")
def variables() -> dict[str, str]:
    """What an example finds in its environment besides."""
    return {}


async def _with_provider(stack: AsyncExitStack, data: Path, variables: dict[str, str]) -> list[str]:
    """Flags of a server that takes a real provider's tokens, of which there are two then."""
    provider = await stack.enter_async_context(Provider())
    async with aiohttp.ClientSession() as http:
        for name, signed in (("SIGNED_TOKEN", True), ("OPAQUE_TOKEN", False)):
            variables[name] = await provider.token(http, signed=signed)
    file = data / "tokens.toml"
    file.write_text(_TOKENS.format(issuer=provider.issuer))
    return ["--config", str(file)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers(
    tmp_path_factory: pytest.TempPathFactory, variables: dict[str, str]
) -> AsyncGenerator[Servers]:
    """A fresh server of each kind, started when first asked for, with the built-in documents."""
    async with AsyncExitStack() as stack:
        started: dict[str, ServerProcess] = {}

        async def server(kind: str) -> ServerProcess:
            if kind not in started:
                flags, env = KINDS[kind]
                data: Path = tmp_path_factory.mktemp("data")
                if kind == "tokens":
                    flags = await _with_provider(stack, data, variables)
                if kind == "relay":
                    flags = await _with_app(stack, data)
                made = ServerProcess(data, "--extractive-pace", "0.002", *flags, env=env)
                started[kind] = await stack.enter_async_context(made)
            return started[kind]

        yield server
