"""``[jwt]``, ``[oauth2]`` and ``[oidc]``: what is taken, what is refused and with which words."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from joserfc.jwk import OctKey, RSAKey

from fairlead.errors import Misconfigured
from fairlead.server.composition import compose
from fairlead.server.config import Config
from fairlead.server.sources import load

JWT = '[jwt]\nissuer = "https://login.example/"\naudience = ["fairlead"]\n'
OAUTH2 = '[oauth2]\nissuer = "https://login.example/"\nclient_id = "gateway"\n'
OIDC = (
    '[oidc]\nissuer = "https://login.example/"\nclient_id = "fairlead"\n'
    'url = "https://chat.example/base"\n'
)


def read(tmp_path: Path, text: str, **environ: str) -> Config:
    file = tmp_path / "fairlead.toml"
    file.write_text(text, encoding="utf-8")
    return load({"data_dir": str(tmp_path)}, environ, file)


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(Misconfigured) as caught:
        read(tmp_path, text)
    return caught.value.message


@pytest.mark.parametrize("table", [JWT, OAUTH2, OIDC], ids=["jwt", "oauth2", "oidc"])
def test_each_is_enough_for_a_public_address(tmp_path: Path, table: str) -> None:
    assert not read(tmp_path, "").identified
    config = read(tmp_path, 'host = "0.0.0.0"\n' + table)
    assert config.identified
    config.check_serving()
    shown = {row.name: row.value for row in config.effective()}
    assert "https://login.example/" in shown[table[1 : table.index("]")]]


def test_what_claims_mean_is_taken_over(tmp_path: Path) -> None:
    more = (
        'consumer_claim = "azp"\nconsumer_prefix = "sso:"\nscopes = ["read"]\n'
        'scopes_claim = "roles"\ngrants = { root = ["admin"] }\n'
    )
    for table in (JWT, OAUTH2, OIDC):
        config = read(tmp_path, table + more)
        found = getattr(config, table[1 : table.index("]")])
        rules = found.rules("client_id")
        caller = rules.caller({"azp": "x", "roles": ["root"]}, credential="", expires_at=None)
        assert (caller.consumer, caller.scopes) == ("sso:x", {"read", "admin"})
        assert rules.caller({"client_id": "y"}, credential="", expires_at=None).consumer == "sso:y"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[jwt]\naudience = ["a"]', "issuer is missing"),
        ('[jwt]\nissuer = "https://login.example/"', "audience is missing"),
        (JWT + 'algorithms = ["HS256"]', "HS256 is never taken"),
        (JWT + 'algorithms = ["RS256", "none"]', "none is never taken"),
        (JWT + 'algorithms = ["RS1"]', "no such one: RS1"),
        (JWT + "algorithms = []", "at least one"),
        (JWT + 'jwks_url = "ftp://x/"', "jwks_url: it must be an address"),
        (JWT + 'jwks_url = "https://u:p@x/"', "no user or password"),
        (JWT + 'jwks_file = "keys.json"', "absolute path"),
        (JWT + 'jwks_url = "https://x/"\njwks_file = "/keys.json"', "not both"),
        (JWT + "leeway = 1000", "leeway must be from 0 to 300"),
        (JWT + "jwks_pause = 0", "jwks_pause must be"),
        (JWT + 'scopes = ["fly"]', "no such scope: fly"),
        (JWT + 'grants = { x = ["fly"] }', "no such scope: fly"),
        (JWT + "scopes = []", "no token would allow anything"),
        (JWT + 'consumer_claim = ""', "must each name a claim"),
        (JWT + 'isuer = "x"', "there is no such setting; did you mean issuer?"),
        ('[jwt]\nissuer = "login"\naudience = ["a"]', "without jwks_url or jwks_file, issuer"),
        ('[oauth2]\nclient_id = "x"', "give issuer, or introspection_url"),
        ('[oauth2]\nissuer = "https://login.example/"', "client_id is missing"),
        (OAUTH2 + 'client_secret = "s3cret"', "a secret does not belong in a file"),
        (OAUTH2 + "cache_seconds = 600", "cache_seconds must be from 0 to 60"),
        (OAUTH2 + "stale_seconds = -1", "stale_seconds must be"),
        (
            '[oidc]\nissuer = "https://login.example/"\nclient_id = "x"',
            "url: it must be an address",
        ),
        (OIDC.replace("/base", "/base/"), "without a slash"),
        (OIDC.replace("/base", "?x=1"), "without a slash"),
        (OIDC + 'request_scopes = ["profile"]', "must hold openid"),
        (OIDC + "session_hours = 0", "session_hours must be"),
    ],
)
def test_what_cannot_be_is_named(tmp_path: Path, text: str, said: str) -> None:
    message = refused(tmp_path, text)
    assert said in message
    assert "s3cret" not in message


def test_a_named_secret_must_be_there(tmp_path: Path) -> None:
    for table in (OAUTH2, OIDC):
        text = table + 'client_secret_env = "THE_SECRET"\n'
        with pytest.raises(Misconfigured, match="THE_SECRET"):
            read(tmp_path, text).check_serving()
        config = read(tmp_path, text, THE_SECRET="s3cret")
        config.check_serving()
        assert "s3cret" not in repr(config)
        assert all("s3cret" not in row.value for row in config.effective())


async def test_a_file_of_keys_must_hold_some(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    config = read(tmp_path, f'knowledge = false\n{JWT}jwks_file = "{keys}"\n')
    shared = {"keys": [OctKey.generate_key(256).as_dict()]}
    for text in ("", "[]", "nothing", msgspec.json.encode(shared).decode()):
        if text:
            keys.write_text(text)
        with pytest.raises(Misconfigured, match="jwks_file"):
            async with compose(config):
                pass
    public = RSAKey.generate_key(2048).as_dict(private=False)
    keys.write_bytes(msgspec.json.encode({"keys": [public]}))
    async with compose(config):
        pass
