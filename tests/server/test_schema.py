"""Schemathesis asks whatever the OpenAPI document says may be asked: nothing is answered with a 5xx
or with what the document does not say, and what is refused is refused in its shape."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode, SerializationContext, checks, openapi, serializer

from fairlead.testing.upstream import Answer, ScriptedUpstream
from tests.support.server import ServerProcess

# It asks a thousand questions.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

KEY = "schemas-own-key"
HEADERS = {"Authorization": f"Bearer {KEY}"}
#: Examples for each operation, of what may be asked and of what may not.
_EXAMPLES = 4
#: What would end the test's own ground: the credential, and the configuration's file.
_LEFT_OUT = ("/logout", "/admin/reload", "/login")
checks.load_all_checks()
CHECKS: Any = [
    checks.CHECKS.get_one(name)
    for name in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    )
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[str, Any]]:
    """The server's URL, and its document."""
    folder: Path = tmp_path_factory.mktemp("schema")
    async with ScriptedUpstream() as upstream:
        upstream.script(Answer("Hello."))
        (folder / "fairlead.toml").write_text(
            '[[keys]]\nconsumer = "operator"\nscopes = ["ask", "read", "admin"]\n'
            f'sha256 = "{hashlib.sha256(KEY.encode()).hexdigest()}"\n'
            '[[budgets]]\nname = "daily"\nlimit = 100000000\n'
            f'[[upstreams]]\nname = "up"\nbase_url = "{upstream.base_url}"\nmodels = ["m-1"]\n'
            "files = true\n"
        )
        flags = ("--config", str(folder / "fairlead.toml"), "--orphan-window", "0")
        async with (
            ServerProcess(folder / "data", *flags) as server,
            aiohttp.ClientSession() as http,
            http.get(f"{server.url}/openapi.json") as response,
        ):
            yield server.url, await response.json()


@serializer("application/x-ndjson")
def lines(context: SerializationContext, value: Any) -> bytes:
    """Text is sent as it is, anything else as a line of JSON."""
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


def group_of(path: str) -> str:
    first = path.split("/")[1]
    return first if first in ("v1", "admin", "streams", "conversations") else "others"


@pytest.mark.parametrize("group", ["v1", "admin", "streams", "conversations", "others"])
async def test_what_may_be_asked_is_answered_as_the_document_says(
    served: tuple[str, dict[str, Any]], group: str
) -> None:
    url, document = served
    paths = {
        path: operations
        for path, operations in document["paths"].items()
        if group_of(path) == group and not path.startswith(_LEFT_OUT)
    }
    await asyncio.to_thread(_ask, url, {**document, "paths": paths})


def _ask(url: str, document: dict[str, Any]) -> None:
    schema = openapi.from_dict(document)
    schema.config.update(base_url=url)
    found: list[str] = []
    asked = 0
    for result, mode in itertools.product(schema.get_all_operations(), GenerationMode):
        operation = result.ok()
        described = document["paths"][operation.path][operation.method.lower()]
        places = {parameter["in"] for parameter in described.get("parameters", ())}
        if mode is GenerationMode.NEGATIVE and not (
            "requestBody" in described or "query" in places
        ):
            continue  # any text may stand in a path

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=_EXAMPLES,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def ask(case: Case[Any]) -> None:
            nonlocal asked
            asked += 1
            case.call_and_validate(headers=HEADERS, checks=CHECKS, timeout=60)

        try:
            ask()
        except* Unsatisfiable:
            pass  # whatever may be sent may be asked
        except* Exception as group:
            found += [str(error)[:500] for error in group.exceptions]
    assert asked >= len(document["paths"])
    assert found == [], "\n\n".join(found)
