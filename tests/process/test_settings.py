"""Settings: command line over environment over file, and one line for whatever is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from crypto_stream.errors import SettingError
from crypto_stream.settings import OPTIONS, Settings, deserialize, load, serialize

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Begin in an empty folder; no setting comes from the machine that tests."""
    monkeypatch.chdir(tmp_path)
    for name in OPTIONS:
        monkeypatch.delenv(f"CRYPTO_STREAM_{name.upper()}", raising=False)


def test_the_command_line_wins_over_the_environment_over_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is nearer to the person wins."""
    (tmp_path / "crypto_stream.toml").write_text('host = "1.1.1.1"\nport = 1\nseed = 1\npairs = ["a", "b"]')
    monkeypatch.setenv("CRYPTO_STREAM_PORT", "2")
    monkeypatch.setenv("CRYPTO_STREAM_SEED", "2")
    settings = load({"seed": "3"})

    assert (settings.host, settings.port, settings.seed) == ("1.1.1.1", 2, 3)
    assert settings.pairs == ("a", "b")
    assert settings.explicit_pairs


def test_bare_names_and_empty_values_of_the_environment_mean_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """PORT belongs to other programs, and an empty variable is no value."""
    monkeypatch.setenv("PORT", "1234")
    monkeypatch.setenv("CRYPTO_STREAM_SEED", "")
    monkeypatch.setenv("CRYPTO_STREAM_BINANCE_URL", "")
    settings = load({})

    assert settings.model_dump() == Settings().model_dump()
    assert settings.port == 8000


def test_venues_have_settings_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """CRYPTO_STREAM_<HANDLER>_<NAME> and a table of the file go to the handler, the environment first."""
    (tmp_path / "crypto_stream.toml").write_text('[okx]\nurl = "ws://file:1"\nrest_url = "http://file:1"')
    monkeypatch.setenv("CRYPTO_STREAM_OKX_URL", "ws://environment:1")
    settings = load({})

    assert settings.handler_options == {"okx": {"url": "ws://environment:1", "rest_url": "http://file:1"}}


def test_settings_pass_to_another_process_whole() -> None:
    """A half gets every setting as it is, the secret ones too, which are never shown."""
    address = "postgresql://me:secret@db/x"
    settings = load(
        {"admin_token": "secret", "database": address, "standby": "all", "sources": "a,b", "data_dir": "x"}
    )
    handed = serialize(settings)

    assert serialize(deserialize(handed)) == handed
    assert (handed["admin_token"], handed["database"]) == ("secret", address)
    assert "secret" not in repr(settings)


@pytest.mark.parametrize("value", ["host=db password=sesame", "mysql://me:sesame@db/x", "sesame"])
def test_a_wrong_database_is_not_shown(value: str) -> None:
    """It may contain a password, whatever its form."""
    with pytest.raises(
        SettingError, match=r"^database: '…' is not allowed: write sqlite or postgresql://"
    ) as caught:
        load({"database": value})

    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("password", ["half@sesame", "half/sesame", "half/ses@ame"])
def test_a_password_that_must_be_encoded_is_not_shown(password: str) -> None:
    """PostgreSQL's library would take the end of it for a server's name, and name that in its errors."""
    with pytest.raises(SettingError, match=r"^database: .* write %40 for @ and %2F for /") as caught:
        load({"database": f"postgresql://me:{password}@db.example/x"})

    assert "half" not in str(caught.value)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:half%40%2Fsesame@db1.example:5432,db2.example/x?sslmode=verify-full",
        "postgresql:///x?host=/run/postgresql&options=-c%20a=b@c",
        "postgres://me@%2Frun%2Fpostgresql/x",
        "postgresql://",
    ],
)
def test_other_addresses_of_databases_are_left_to_the_library(address: str) -> None:
    """Several servers, sockets, parameters."""
    assert load({"database": address}).database.get_secret_value() == address


_WRONG = {
    "port": "99999",
    "workers": "65",
    "server": "flask",
    "standby": "-1",
    "sources": "",
    "log_level": "LOUD",
    "log_size": "10",
    "log_count": "-1",
    "seed": "x",
    "stale_after": "0",
    "quiet_after": "-1",
    "failback_after": "-1",
    "connect_timeout": "soon",
    "ack_timeout": "0",
    "max_viewers": "0",
    "replay_speed": "fast",
}


@pytest.mark.parametrize(("name", "value"), _WRONG.items())
def test_a_wrong_value_is_named_with_its_setting_in_one_line(name: str, value: str) -> None:
    """The line names the setting, the value and says what is allowed."""
    with pytest.raises(SettingError) as caught:
        load({name: value})

    assert re.fullmatch(rf"{name}: '{re.escape(value)}' is not allowed: \S.*", str(caught.value))


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("prot = 1", r"prot: no such setting in .*; did you mean port\?"),
        ("port = ", r"config: '.*' cannot be read: .*"),
        ("port = 99999", r"port: '99999' is not allowed: .*"),
        ("port = true", r"port: 'true' in .* is not allowed: .*"),
    ],
)
def test_a_wrong_file_is_named(content: str, line: str, tmp_path: Path) -> None:
    """A mistake in the file gets one line too."""
    file = tmp_path / "mine.toml"
    file.write_text(content)
    with pytest.raises(SettingError) as caught:
        load({}, file)

    assert re.fullmatch(line, str(caught.value))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that a person named must be there."""
    with pytest.raises(SettingError, match=r"config: '.*gone\.toml' does not exist"):
        load({}, tmp_path / "gone.toml")


def test_a_misspelt_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable of ours that means nothing is an error, not silence."""
    monkeypatch.setenv("CRYPTO_STREAM_PROT", "1")
    with pytest.raises(SettingError, match=r"CRYPTO_STREAM_PROT: no such setting; did you mean port\?"):
        load({})


@pytest.mark.parametrize(
    ("name", "value"),
    [("stale_after", "inf"), ("quiet_after", "nan"), ("origins", "example.org"), ("sources", "")],
)
def test_what_cannot_work_is_refused_at_once(name: str, value: str) -> None:
    """No end of time, nothing that is no origin, no empty list."""
    with pytest.raises(SettingError, match=rf"^{name}: "):
        load({name: value})


def test_the_log_level_may_be_written_small() -> None:
    """`--log-level debug` is understood."""
    assert load({"log_level": "debug"}).log_level == "DEBUG"


@pytest.mark.parametrize("name", OPTIONS)
def test_every_setting_stands_in_the_docs(name: str) -> None:
    """docs/settings.md has a row for every setting: name, environment variable, default and its meaning."""
    from crypto_stream.cli import default_text

    text = (ROOT / "docs" / "settings.md").read_text("utf-8")
    row = next((line for line in text.splitlines() if line.startswith(f"| `{name}` |")), "")

    assert f"`CRYPTO_STREAM_{name.upper()}`" in row
    assert f"| {default_text(name)} |" in row
    assert str(Settings.model_fields[name].description) in row
