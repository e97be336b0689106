"""Where settings come from, which goes first, and what is refused with which words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import Misconfigured
from fairlead.server.config import SETTINGS, Config, is_loopback
from fairlead.server.settings import Secret
from fairlead.server.sources import load
from fairlead.server.tables.key import sha256

SECRET = "s3cret-that-nobody-may-see"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No fairlead.toml of the checkout is in the way."""
    monkeypatch.chdir(tmp_path)


def refused(
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> str:
    with pytest.raises(Misconfigured) as caught:
        load(flags or {}, environ or {}, file)
    return caught.value.message


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return path


# -- the table


def test_every_setting_has_a_meaning_and_a_group() -> None:
    assert all(setting.help and setting.group for setting in SETTINGS)
    described = {setting.name for setting in SETTINGS}
    assert described == set(Config.__struct_fields__) - {"origins"}


def test_no_secret_has_a_flag() -> None:
    without = [s for s in SETTINGS if not s.flag]
    # Neither has a table, which cannot be written as a flag.
    assert {s.name for s in without if not s.table} == {"upstream_key"}
    assert {s.name for s in without} >= {"keys", "upstream_key", "upstreams"}


def test_defaults_are_those_of_the_struct(tmp_path: Path) -> None:
    config = load({}, {"HOME": str(tmp_path)})
    assert config == Config(data_dir=tmp_path / ".local/share/fairlead")
    assert config.loopback
    assert config.answerers == ()


@pytest.mark.parametrize("setting", [s for s in SETTINGS if s.flag], ids=lambda s: s.name)
def test_each_default_can_be_written_as_it_is_shown(setting: Any) -> None:
    if setting.default and "shown" not in (setting.meta.extra or {}):
        assert setting.read(setting.default, text=True) == setting.initial


# -- precedence


def test_flags_go_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, "port = 1\nretry = 1\nheartbeat = 1\n")
    config = load({"port": "3"}, {"FAIRLEAD_PORT": "2", "FAIRLEAD_RETRY": "2", "HOME": "/h"}, file)
    assert (config.port, config.retry, config.heartbeat, config.deadline) == (3, 2.0, 1.0, 3600.0)
    origins = {row.name: row.origin for row in config.effective()}
    assert origins["port"] == "flag --port"
    assert origins["retry"] == "variable FAIRLEAD_RETRY"
    assert origins["heartbeat"] == f"{file}: heartbeat"
    assert origins["deadline"] == "default"


def test_the_file_is_the_one_asked_for_then_the_variables_then_the_folders(tmp_path: Path) -> None:
    for name, port in (("asked", 1), ("variable", 2), ("fairlead", 3)):
        (tmp_path / f"{name}.toml").write_text(f"port = {port}")
    environ = {"FAIRLEAD_CONFIG": str(tmp_path / "variable.toml"), "HOME": "/h"}
    assert load({}, environ, tmp_path / "asked.toml").port == 1
    assert load({}, environ).port == 2
    assert load({}, {"HOME": "/h"}).port == 3


def test_a_file_that_is_missing_says_who_named_it(tmp_path: Path) -> None:
    assert "--config" in refused(file=tmp_path / "none.toml")
    assert "FAIRLEAD_CONFIG" in refused({}, {"FAIRLEAD_CONFIG": str(tmp_path / "none.toml")})


def test_the_data_folder_follows_xdg() -> None:
    home = {"HOME": "/home/a"}
    assert load({}, home | {"XDG_DATA_HOME": "/x"}).data_dir == Path("/x/fairlead")
    relative = load({}, home | {"XDG_DATA_HOME": "x"}).data_dir
    assert relative == Path("/home/a/.local/share/fairlead")


def test_paths_of_a_file_are_relative_to_it(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    file = written(folder, 'data_dir = "data"\ndocuments = ["a", "/b"]')
    config = load({}, {}, file)
    assert config.data_dir == folder / "data"
    assert config.documents == (folder / "a", Path("/b"))
    assert load({"data_dir": "data"}, {}, file).data_dir == tmp_path / "data"


# -- values


def test_values_are_understood_as_people_write_them() -> None:
    config = load(
        {"documents": ["/a:b", "/c"], "insecure": True, "direct": "false"},
        {
            "FAIRLEAD_MAX_BODY_BYTES": "16 MiB",
            "FAIRLEAD_CORS_ORIGINS": "https://a.example, http://localhost:3000",
            "FAIRLEAD_DOCUMENTS": "/never:/used",
            "FAIRLEAD_RETRY": "0.5",
            "FAIRLEAD_LOG_LEVEL": "",
        },
    )
    assert config.documents == (Path("/a:b"), Path("/c"))
    assert config.insecure
    assert not config.direct
    assert config.max_body_bytes == 16 << 20
    assert config.cors_origins == ("https://a.example", "http://localhost:3000")
    assert config.retry == 0.5
    assert config.log_level == "info"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"port": "eighty"}, ["port (flag --port)", "'eighty'", "from 0 to 65535"]),
        ({"port": "65536"}, ["from 0 to 65535"]),
        ({"port": "-1"}, ["from 0 to 65535"]),
        ({"deadline": "0"}, ["deadline", "more than 0"]),
        ({"deadline": "nan"}, ["number of seconds"]),
        ({"deadline": "inf"}, ["number of seconds"]),
        ({"durability": "disk"}, ["one of memory, process, power"]),
        ({"direct": "perhaps"}, ["true or false"]),
        ({"max_body_bytes": "3 XB"}, ["16 MiB"]),
        ({"max_body_bytes": "1"}, ["from 1 KiB"]),
        ({"base_path": "/"}, ["such as /api"]),
        ({"base_path": "api"}, ["such as /api"]),
        ({"base_path": "/api/"}, ["such as /api"]),
        ({"base_path": "/a?b"}, ["such as /api"]),
        ({"host": "http://x"}, ["host", "127.0.0.1"]),
        ({"host": ""}, ["host", "127.0.0.1"]),
        ({"cors_origins": ["*"]}, ["every web page", "https://app.example"]),
        ({"cors_origins": ["https://app.example/"]}, ["no origin", "no slash at the end"]),
        ({"cors_origins": ["null"]}, ["no origin"]),
        ({"upstream": "ollama", "model": "m"}, ["https://api.example/v1"]),
        ({"upstream": "http://h/v1"}, ["--model"]),
        ({"upstream": "http://h/v1/chat/completions", "model": "m"}, ["before"]),
        ({"model": "m"}, ["no upstream offers 'm'", "flag --model"]),
        ({"upstream_key": "k"}, ["process lists", "FAIRLEAD_UPSTREAM_KEY"]),
        ({"prot": "1"}, ["no such flag"]),
    ],
)
def test_what_cannot_be_is_refused_and_what_would_be_right_is_said(
    flags: dict[str, Any], words: list[str]
) -> None:
    message = refused(flags)
    for word in words:
        assert word in message


UPSTREAM = '[[upstreams]]\nname = "a"\nbase_url = "http://h/v1"\nmodels = ["m"]\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prot = 1", ["prot", "did you mean port?"]),
        ('port = "80"', ["port", "whole number"]),
        ("port = true", ["port", "whole number"]),
        ("insecure = 1", ["true or false"]),
        ("retry = nan", ["number of seconds"]),
        ("port = = 1", ["not TOML", "line 1"]),
        ("keys = 1", ["[[keys]]"]),
        ("[[upstreams]]\nname = 1", ["upstreams", "name"]),
        ('[[upstreams]]\nname = "a"\nbase_url = "http://h"\nmodels = []', ["at least one model"]),
        ('[[upstreams]]\nnaem = "a"', ["did you mean name?"]),
        (UPSTREAM + 'api = "realtime"', ['"chat" or "responses"']),
        (UPSTREAM + "background = true", ['needs api = "responses"']),
        (UPSTREAM.replace("/v1", "/v1/responses"), ["before /responses"]),
        ('[[keys]]\nconsumer = "a"', ["either key_env or sha256"]),
        ('[[keys]]\nconsumer = "a b"\nkey_env = "K"', ["letters"]),
        ('[[keys]]\nconsumer = "a"\nsha256 = "00"', ["64 hexadecimal"]),
        ('[[keys]]\nconsumer = "a"\nkey_env = "K"\nscopes = ["root"]', ["ask, read, admin"]),
        ('[[keys]]\nconsumer = "a"\nkey_env = "K"\nscopes = []', ["nothing"]),
    ],
)
def test_a_wrong_file_is_refused_naming_it(tmp_path: Path, text: str, words: list[str]) -> None:
    file = written(tmp_path, text)
    message = refused(file=file)
    for word in [str(file), *words]:
        assert word in message


def test_a_typing_error_in_a_variable_is_found() -> None:
    message = refused({}, {"FAIRLEAD_PROT": "1"})
    assert "variable FAIRLEAD_PROT" in message
    assert "did you mean FAIRLEAD_PORT?" in message


def test_variables_that_are_not_ours_to_refuse_are_passed_over() -> None:
    config = load(
        {},
        {
            "FAIRLEAD_SERVER": "http://x",
            "FAIRLEAD_API_KEY": "k",
            # What Kubernetes sets beside a service called "fairlead":
            "FAIRLEAD_PORT": "tcp://10.0.0.1:80",
            "FAIRLEAD_SERVICE_HOST": "10.0.0.1",
            "FAIRLEAD_SERVICE_PORT_HTTP": "80",
            "FAIRLEAD_PORT_80_TCP_ADDR": "10.0.0.1",
        },
    )
    assert config.port == 8000


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    assert "1 MiB" in refused(file=written(tmp_path, "#" * (1 << 20) + "\n"))


def test_a_config_made_in_code_is_checked_as_well(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="port"):
        Config(data_dir=tmp_path, port=70_000)
    with pytest.raises(Misconfigured, match="cors_origins"):
        Config(data_dir=tmp_path, cors_origins=("*",))


# -- secrets


def test_keys_are_kept_as_digests_only() -> None:
    config = load({}, {"FAIRLEAD_API_KEYS": f"alice={SECRET}, bob=x=y"})
    assert [(k.consumer, k.sha256) for k in config.keys] == [
        ("alice", sha256(SECRET)),
        ("bob", sha256("x=y")),
    ]
    assert SECRET not in repr(config)


def test_keys_of_the_file_and_the_variable_add_up(tmp_path: Path) -> None:
    digest = sha256("another")
    file = written(
        tmp_path,
        f'[[keys]]\nconsumer = "a"\nsha256 = "{digest}"\nscopes = ["read"]\n'
        '[[keys]]\nconsumer = "b"\nkey_env = "FAIRLEAD_B"\n',
    )
    config = load({}, {"FAIRLEAD_API_KEYS": "c=k", "FAIRLEAD_B": SECRET}, file)
    assert {k.consumer: k.sha256 for k in config.keys} == {
        "a": digest,
        "b": sha256(SECRET),
        "c": sha256("k"),
    }
    assert config.keys[0].scopes == {"read"}
    config.check_serving()


def test_two_consumers_cannot_have_the_same_key() -> None:
    assert "alice and bob" in refused({}, {"FAIRLEAD_API_KEYS": "alice=k,bob=k"})


def test_no_secret_is_ever_shown(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        f"""
        [[upstreams]]
        name = "a"
        base_url = "https://h/v1?api-key={SECRET}"
        models = ["m"]
        api_key_env = "A_KEY"
        headers = {{ X-Key = "{SECRET}" }}
        """,
    )
    config = load(
        {"upstream": f"http://h/v1?key={SECRET}", "model": "m"},
        {
            "FAIRLEAD_UPSTREAM_KEY": SECRET,
            "FAIRLEAD_API_KEYS": f"a={SECRET}",
            "A_KEY": SECRET,
        },
        file,
    )
    assert config.answerers[0].api_key.reveal() == SECRET
    assert config.answerers[1].api_key.reveal() == SECRET
    assert SECRET not in repr(config.effective())
    assert SECRET not in repr(config.answerers)
    assert SECRET not in repr(config.keys)
    shown = {row.name: row.value for row in config.effective()}
    assert shown["upstream_key"] == "(set)"


@pytest.mark.parametrize(
    ("flags", "environ", "text"),
    [
        ({"upstream_key": SECRET}, {}, ""),
        ({"keys": SECRET}, {}, ""),
        ({}, {}, f'upstream_key = "{SECRET}"'),
        ({}, {"FAIRLEAD_API_KEYS": SECRET}, ""),
        ({}, {"FAIRLEAD_API_KEYS": f"={SECRET}"}, ""),
        ({}, {"FAIRLEAD_API_KEYS": f"bad name={SECRET}"}, ""),
        ({}, {}, f'[[keys]]\nconsumer = "a"\nkey = "{SECRET}"'),
        ({}, {}, f'[[upstreams]]\napi_key = "{SECRET}"'),
        ({}, {}, f'[[keys]]\nconsumer = "a"\nsha256 = "{SECRET}"'),
        ({}, {}, f"upstream_key = {SECRET}"),
        ({"upstream": f"http://u:{SECRET}@h/"}, {}, ""),
    ],
)
def test_no_refusal_repeats_a_secret(
    tmp_path: Path, flags: dict[str, Any], environ: dict[str, str], text: str
) -> None:
    assert SECRET not in refused(flags, environ, written(tmp_path, text))


def test_a_secret_hides_itself() -> None:
    assert SECRET not in f"{Secret(SECRET)!r} {Secret(SECRET)}"
    assert Secret(SECRET) == Secret(SECRET) != Secret("")


# -- serving


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "server.example"])
def test_a_public_address_needs_a_key_or_a_word(host: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        load({"host": host}, {}).check_serving()
    for word in (host, "flag --host", "FAIRLEAD_API_KEYS", "--insecure"):
        assert word in caught.value.message
    load({"host": host, "insecure": True}, {}).check_serving()
    load({"host": host}, {"FAIRLEAD_API_KEYS": "a=b"}).check_serving()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost", "LOCALHOST"])
def test_loopback_needs_nothing(host: str) -> None:
    assert is_loopback(host)
    load({"host": host}, {}).check_serving()


def test_a_named_secret_that_is_missing_stops_a_server_only(tmp_path: Path) -> None:
    upstream = '[[upstreams]]\nname="a"\nbase_url="http://h/v1"\nmodels=["m"]\napi_key_env="A_KEY"'
    config = load({}, {}, written(tmp_path, upstream))
    with pytest.raises(Misconfigured, match="A_KEY"):
        config.check_serving()
    config = load({}, {}, written(tmp_path, '[[keys]]\nconsumer = "c"\nkey_env = "C_KEY"'))
    with pytest.raises(Misconfigured, match="C_KEY"):
        config.check_serving()


def test_the_short_form_is_the_first_answerer(tmp_path: Path) -> None:
    file = written(tmp_path, '[[upstreams]]\nname="b"\nbase_url="http://b/v1"\nmodels=["x", "y"]')
    config = load({"upstream": "http://a/v1", "model": "m"}, {}, file)
    assert [u.base_url for u in config.answerers] == ["http://a/v1", "http://b/v1"]
    # Without the short form, the model chooses among those that are offered.
    assert load({"model": "y"}, {}, file).model == "y"
    assert "offered are x, y" in refused({"model": "z"}, {}, file)


# -- anything at all


@given(st.sampled_from([s for s in SETTINGS if s.flag]), st.text(max_size=40))
def test_any_text_is_taken_or_refused_in_words(setting: Any, text: str) -> None:
    try:
        origins = load({setting.name: text}, {"HOME": "/h"}).origins
    except Misconfigured as error:
        told = error.message
    else:
        told = origins[setting.name]
    assert setting.name in told or told == f"flag {setting.flag}"


def test_upstreams_of_one_name_and_models_named_twice_are_refused(tmp_path: Path) -> None:
    one = '[[upstreams]]\nname = "{}"\nbase_url = "http://a.example/v1"\nmodels = [{}]\n'
    file = written(tmp_path, one.format("upstream", '"m"'))
    flags = {"upstream": "http://b.example/v1", "model": "m"}
    assert "take another one" in refused(flags, file=file)
    file = written(tmp_path, one.format("a", '"m", "m"'))
    assert "each model once" in refused(file=file)


def test_one_upstream_keeps_files(tmp_path: Path) -> None:
    one = (
        '[[upstreams]]\nname = "{}"\nbase_url = "http://a.example/v1"\nmodels = ["m"]\nfiles = {}\n'
    )
    file = written(tmp_path, one.format("a", "false") + one.format("b", "true"))
    assert [upstream.files for upstream in load({}, {}, file).upstreams] == [False, True]
    file = written(tmp_path, one.format("a", "true") + one.format("b", "true"))
    assert "b: files: 'a' keeps files already" in refused(file=file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[aliases]]\nname = "m"\nmodel = "n"', "a model has this name already"),
        ('[[aliases]]\nname = "x"\nmodel = "none"', "no model 'none'"),
        ('[[aliases]]\nname = "x"\nmodel = "m"\n' * 2, "given twice"),
        ('[[routes]]\nstrategy = "best"', "must be one of weighted"),
        ('[[routes]]\nheader = "X-Tier"', "small letters"),
        ('[[routes]]\nvalue = "gold"', "without header"),
        ('[[routes]]\nuse = "none"', "no model 'none'"),
        ('[[routes]]\nmodel = "x*"', "no model is called so"),
        ('[[routes]]\nupstreams = ["c"]', "no upstream 'c'"),
        ('[[routes]]\nmodel = "n"\nupstreams = ["a"]', "none of its upstreams offers n"),
        ('[[routes]]\nfallback = ["none"]', "no upstream offers 'none'"),
        ('[[apps]]\nname = "a"\npath = "a"\ntarget = "http://x.example"', "begin with a slash"),
        ('[[apps]]\nname = "a"\npath = "/a"\ntarget = "x.example"', "target: it must be"),
        ('[[apps]]\nname = "a"\npath = "/a"\ntarget = "http://x.example/?k=1"', "no query"),
        (
            '[[apps]]\nname = "a"\npath = "/a"\ntarget = "http://x.example"\n'
            '[[apps]]\nname = "b"\npath = "/a/b"\ntarget = "http://x.example"',
            "lies within that of a",
        ),
    ],
)
def test_routes_aliases_and_apps_that_cannot_be(tmp_path: Path, text: str, said: str) -> None:
    upstreams = "".join(
        f'[[upstreams]]\nname = "{name}"\nbase_url = "http://{name}.example/v1"\n'
        f"models = [{models}]\n"
        for name, models in (("a", '"m"'), ("b", '"m", "n"'))
    )
    file = written(tmp_path, upstreams + text)
    with pytest.raises(Misconfigured, match=said):
        load({}, {"HOME": str(tmp_path)}, file).check_serving()
