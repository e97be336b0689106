"""``fairlead keys``, and a running server that heeds it."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp
import pytest

from tests.cli.command import run
from tests.support.server import ServerProcess


async def keys(path: Path, *args: str, status: int = 0) -> tuple[str, str]:
    result = await run("keys", *args, "--data-dir", str(path))
    assert result.status == status, result.err
    return result.out.strip(), result.err


async def test_the_key_alone_is_printed_and_no_list_shows_it(tmp_path: Path) -> None:
    text, told = await keys(
        tmp_path, "create", "alice", "--name", "the page", "--expires", "90d", "--quota", "daily"
    )
    assert text.startswith("flk_")
    assert "\n" not in text
    assert "alice" in told
    assert text not in told
    listed, _ = await keys(tmp_path, "list")
    assert "the page" in listed
    assert "daily" in listed
    assert text[15:] not in listed
    (only,) = json.loads((await keys(tmp_path, "list", "--json"))[0])
    assert (only["id"], only["consumer"], only["scopes"]) == (text[4:14], "alice", ["ask", "read"])
    assert round(only["expires_at"] - only["created"]) == 90 * 86_400
    assert (await keys(tmp_path, "list", "--consumer", "bob"))[0].count("\n") == 0


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["create", "b ob"], "letters, digits"),
        (["create", "bob", "--scopes", "ask,fly"], "no such scope: fly"),
        (["create", "bob", "--expires", "soon"], "90d"),
        (["create", "bob", "--quota", "a b"], "quota"),
        (["create", "bob", "--expires", "0d"], "last for some time"),
        (["rotate", "0123456789"], "there is no API key"),
        (["rotate", "0123456789", "--overlap", "999d"], "year"),
        (["revoke", "0123456789"], "there is no API key"),
    ],
)
async def test_what_cannot_be_is_named(tmp_path: Path, args: list[str], said: str) -> None:
    assert said in (await keys(tmp_path, *args, status=1))[1]
    assert json.loads((await keys(tmp_path, "list", "--json"))[0]) == []


async def test_where_nothing_is_kept_it_says_so(tmp_path: Path) -> None:
    file = tmp_path / "fairlead.toml"
    file.write_text('durability = "memory"\n')
    _, told = await keys(tmp_path, "create", "bob", "--config", str(file), status=2)
    assert "memory" in told


async def test_a_public_server_starts_once_a_key_was_made(tmp_path: Path) -> None:
    refused = await run("serve", "--host", "0.0.0.0", "--data-dir", str(tmp_path))
    assert refused.status == 2
    assert "fairlead keys create" in refused.err
    text, _ = await keys(tmp_path, "create", "alice")
    async with ServerProcess(tmp_path, "--host", "0.0.0.0", "--no-knowledge") as server:
        url = f"http://127.0.0.1:{server.port}/info"
        async with aiohttp.ClientSession() as session:
            for header, status in ({}, 401), ({"Authorization": f"Bearer {text}"}, 200):
                async with session.get(url, headers=header) as response:
                    assert response.status == status


async def test_a_rotated_key_is_good_beside_its_successor_until_it_is_revoked(
    tmp_path: Path,
) -> None:
    old, _ = await keys(tmp_path, "create", "alice", "--scopes", "read")
    async with ServerProcess(tmp_path, "--no-knowledge") as server, aiohttp.ClientSession() as http:

        async def me(text: str) -> dict[str, object]:
            async with http.get(
                f"{server.url}/me", headers={"Authorization": f"Bearer {text}"}
            ) as response:
                body: dict[str, object] = await response.json()
                return body

        assert (await me(old))["consumer"] == "alice"
        new, _ = await keys(tmp_path, "rotate", old[4:14], "--overlap", "1h")
        for text in (old, new):
            assert (await me(text))["scopes"] == ["read"]
        assert (await me(new))["expires_at"] is None
        again, _ = await keys(tmp_path, "rotate", new[4:14], "--overlap", "0s")
        await keys(tmp_path, "revoke", old[4:14])
        assert (await me(again))["consumer"] == "alice"
        # Both are refused within a second, as soon as what is remembered of them is old.
        while "code" not in (answer := await me(old)):
            pass
        assert answer["code"] == "revoked"
        while "code" not in (answer := await me(new)):
            pass
        assert answer["code"] == "unauthenticated"
