"""Where settings come from: options, environment, a file, files of secrets; and what `klausel config show` says of them."""

import json
from pathlib import Path
from urllib.parse import unquote

import pytest
from command_line import Klausel

from klausel.settings import SETTINGS

SECRET = "postgresql://ann:geheim@db.example.com/klausel"


def shown(klausel: Klausel, *arguments: object, exit_code: int = 0) -> dict[str, dict[str, object]]:
    result = klausel("config", "show", "--format", "json", *arguments)
    assert result.exit_code == exit_code, result.stderr
    found: dict[str, dict[str, object]] = json.loads(result.stdout)
    return found


def said(klausel: Klausel, *arguments: object) -> str:
    result = klausel("config", "show", *arguments)
    assert result.exit_code == 2
    return " ".join(result.stderr.split())


def other_value(field: str) -> str:
    """A good value of a setting that is not its default."""
    setting = SETTINGS[field]
    if setting.kind == "bool":
        return "true"
    if setting.about.choices:
        return next(one for one in setting.about.choices if one != setting.default)
    if setting.kind.startswith(("int", "float")):
        return "0.5" if setting.about.most == 1 else str(int((setting.about.least or 0) + 7))
    return f"sha256:{0:064}" if field == "accept_model" else "nowhere"


def test_a_setting_is_the_same_from_the_file_the_environment_and_the_command_line(
    klausel: Klausel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {one.key: other_value(one.field) for one in SETTINGS.values()}
    (tmp_path / "k.yaml").write_text("".join(f"{key}: {value}\n" for key, value in values.items()))
    options = [
        part for one in SETTINGS.values() for part in ([one.option] if one.kind == "bool" else [one.option, values[one.key]])
    ]
    # Such values fit no start together, but what they are is told all the same.
    by_options = shown(klausel, *options, exit_code=2)
    by_file = shown(klausel, "--config", "k.yaml", exit_code=2)
    for one in SETTINGS.values():
        monkeypatch.setenv(one.variable, values[one.key])
    by_environment = shown(klausel, exit_code=2)
    assert list(by_options) == list(by_file) == list(by_environment) == ["version", *values]
    for line, setting in enumerate(SETTINGS.values(), 1):
        key = setting.key
        assert by_options[key]["value"] == by_file[key]["value"] == by_environment[key]["value"], key
        assert by_options[key]["value"] != setting.default, key
        sources = (by_options[key]["from"], by_file[key]["from"], by_environment[key]["from"])
        assert sources == (setting.option, f"k.yaml:{line}:1", setting.variable)


def test_what_follows_from_other_settings_is_shown_as_it_is_in_force(klausel: Klausel) -> None:
    found = shown(klausel, "--port", "8123")
    assert found["oauth_algorithm"] == {"value": ["RS256", "ES256"], "from": "default"}
    assert found["oauth_scope"]["value"][0] == "check=check"  # type: ignore[index]
    assert found["public_url"] == {"value": "http://127.0.0.1:8123", "from": "default"}
    assert found["listen_url"]["value"] is None
    found = shown(klausel, "--database", "postgresql://ann:geheim@db.example.com/klausel")
    assert found["listen_url"] == {"value": "postgresql://ann:***@db.example.com/klausel", "from": "default"}
    told = klausel("config", "show").stdout
    assert "RS256, ES256  (default)" in told


def test_the_command_line_beats_the_environment_which_beats_the_file(
    klausel: Klausel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "k.toml").write_text('port = 1001\nworkers = 2\ndemo = true\nallowed_host = ["a.internal", "B.internal"]\n')
    monkeypatch.setenv("KLAUSEL_CONFIG", "k.toml")
    monkeypatch.setenv("KLAUSEL_PORT", "1002")
    monkeypatch.setenv("KLAUSEL_DECISION_LOG_MASK", "/context/a /context/b")
    found = shown(klausel, "--host", "localhost")
    assert found["port"] == {"value": 1002, "from": "KLAUSEL_PORT"}
    assert shown(klausel, "--port", "1003")["port"] == {"value": 1003, "from": "--port"}
    assert found["workers"] == {"value": 2, "from": "k.toml: workers"}
    assert found["demo"]["value"] is True
    assert found["allowed_host"]["value"] == ["a.internal", "b.internal"]
    assert found["decision_log_mask"]["value"] == ["/context/a", "/context/b"]
    assert found["host"] == {"value": "localhost", "from": "--host"}
    assert found["log_format"] == {"value": "text", "from": "default"}


def test_a_secret_comes_from_a_file_and_its_password_is_never_shown(
    klausel: Klausel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text(SECRET + "\n")
    hidden = SECRET.replace("geheim", "***")
    assert shown(klausel, "--database", "@secret")["database"] == {"value": hidden, "from": "--database"}
    (tmp_path / "k.yaml").write_text('listen_url: "@secret"\n')
    monkeypatch.setenv("KLAUSEL_DATABASE_FILE", "secret")
    found = shown(klausel, "--config", "k.yaml")
    assert found["database"] == {"value": hidden, "from": "KLAUSEL_DATABASE_FILE"}
    assert found["listen_url"] == {"value": hidden, "from": "k.yaml:1:1"}
    assert "geheim" not in klausel("config", "show", "--config", "k.yaml").stdout
    assert shown(klausel, "--database", "geheim:geheim@", exit_code=1)["database"]["value"] == "(hidden)"


def test_other_commands_find_the_database_where_the_service_does(
    klausel: Klausel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "k.yaml").write_text("database: sqlite:///elsewhere.db\n")
    monkeypatch.setenv("KLAUSEL_CONFIG", "k.yaml")
    assert "elsewhere.db" in klausel("db", "upgrade").stdout
    assert (tmp_path / "elsewhere.db").exists()


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("k.yaml", "\nprot: 1\n", 'k.yaml:2:1: there is no setting "prot"; did you mean "port"?'),
        ("k.toml", "prot = 1\n", 'k.toml: prot: there is no setting "prot"; did you mean "port"?'),
        ("k.toml", "prot\n", "k.toml: this is not TOML"),
        ("k.yaml", "port: [1]\n", "k.yaml:1:1: port has one value; write it without a list"),
        ("k.yaml", "port: {a: 1}\n", "k.yaml:1:1: a setting is a text, a number, true or false, or a list of texts"),
        ("k.toml", "[port]\na = 1\n", "k.toml: port: a setting is a text, a number"),
        ("k.toml", "[a]\nport = 1\n", 'k.toml: "a" is a heading, and settings stand under none; take it away'),
        (
            "k.toml",
            "[oauth]\nissuer = 'x'\naudience = 'y'\n",
            "stand under none; write oauth_issuer and oauth_audience instead",
        ),
        ("k.toml", "oauth.issuer = 'x'\n", "stand under none; write oauth_issuer instead"),
        (
            "k.yaml",
            "klausel:\n  port: 1\n",
            'k.yaml:1:1: "klausel" is a heading, and settings stand under none; take it away',
        ),
        ("k.toml", "host = localhost\n", "with texts in quotes"),
        ("k.toml", "port: 8080\n", "a file with a colon there is YAML, so call it .yaml"),
        ("k.toml", "port = 1\nport = 2\n", "this key stands there twice, so keep one of them"),
        (
            "k.toml",
            "host = 2026-01-01\n",
            "k.toml: host: a setting is a text, a number, true or false, or a list of texts; put a",
        ),
        ("k.yaml", "KLAUSEL_PORT: 8080\n", 'here it is called "port"'),
        ("k.yaml", "demo: maybe\n", "k.yaml:1:1: demo is true or false"),
        (
            "k.yaml",
            "port: true\n",
            'Invalid value for --port (from k.yaml:1:1): "true" is no whole number from 1 to 65535; write',
        ),
        ("k.yaml", "port: 0\n", 'Invalid value for --port (from k.yaml:1:1): "0" is no whole number from 1 to 65535'),
        (
            "k.yaml",
            "max_policy_age: nan\n",
            '--max-policy-age (from k.yaml:1:1): "nan" is no number from 1 to 31536000; write one',
        ),
        ("k.yaml", "database_write_seconds: 1e12\n", '"1e12" is no number from 0.1 to 86400; write one'),
        ("k.yaml", "max_connections: 10000000000000\n", "is no whole number from 1 to 1000000; write one"),
        ("k.yaml", "max_staleness: inf\n", '"inf" is no number'),
        ("k.toml", "database_read_seconds = 1e999\n", '"inf" is no number'),
        ("k.yaml", "decision_log_sample_allows: 2\n", '"2" is no number above 0 to 1; write one'),
        ("k.yaml", "allowed_host: [good.example, 'https://bad.example']\n", '"https://bad.example" is no name of a host'),
        ("k.yaml", 'database: "@"\n', "no file is named behind @"),
        ("k.yaml", "log_format: xml\n", "Invalid value for --log-format (from k.yaml:1:1)"),
        ("k.yaml", "port: 1\nport: 2\n", "k.yaml:2:1: error: "),
        ("k.yaml", 'database: "@nowhere"\n', "the file cannot be read: no such file or directory; name a file that"),
        ("k.ini", "[klausel]\nport = 8080\n", "k.ini: a file of settings is read as YAML, such as `port: 8080`, and"),
        ("k.yaml", "port: &p 8080\n", "k.yaml:1:7: error: anchors such as `&p` are not used here"),
    ],
)
def test_a_fault_in_the_file_is_told_with_its_place(
    klausel: Klausel, tmp_path: Path, name: str, text: str, expected: str
) -> None:
    (tmp_path / name).write_text(text)
    assert expected in said(klausel, "--config", name)


def test_a_file_that_is_not_there_is_told(klausel: Klausel) -> None:
    assert "the file of settings nowhere.yaml cannot be read: no such file" in said(klausel, "--config", "nowhere.yaml")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"KLAUSEL_DATABSE": "x"}, 'there is no setting KLAUSEL_DATABSE; did you mean "KLAUSEL_DATABASE"?'),
        ({"KLAUSEL_PORT": "x"}, "Invalid value for --port (from KLAUSEL_PORT)"),
        ({"KLAUSEL_DEMO": "maybe"}, '--demo (from KLAUSEL_DEMO): "maybe" is neither true nor false; write one of them'),
        ({"KLAUSEL_PORT_FILE": "x"}, "there is no setting KLAUSEL_PORT_FILE"),
        ({"KLAUSEL_DATABASE": "x", "KLAUSEL_DATABASE_FILE": "y"}, "are both set; leave out one"),
        ({"KLAUSEL_SERVICE_HOST": "10.0.0.1", "KLAUSEL_PORT_80_TCP": "tcp://10.0.0.1:80"}, "enableServiceLinks: false"),
    ],
)
def test_a_fault_in_the_environment_is_told(
    klausel: Klausel, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert expected in said(klausel)
    assert klausel("serve").exit_code == 2


def test_other_commands_of_operators_refuse_an_unknown_variable_too(
    klausel: Klausel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KLAUSEL_DATABSE", "postgresql://localhost/klausel")
    for command in (("db", "check"), ("keys", "list"), ("assignments", "export")):
        assert klausel(*command).exit_code == 2


def test_commands_on_policy_files_alone_do_not_mind_variables_of_others(
    klausel: Klausel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KLAUSEL_DEPLOYMENT", "blue")
    assert klausel("check").exit_code == 0


@pytest.mark.parametrize(
    "options",
    [
        ("--host", "no host at all"),
        ("--host", "0.0.0.0"),
        ("--public-url", "ftp://pdp.example.com"),
        ("--trusted-proxy", "somewhere"),
        ("--path-prefix", "no slash"),
        ("--authentication", "keys", "--insecure-no-authentication"),
        ("--max-requests-per-second", "5"),
        ("--authentication", "oauth"),
        ("--oauth-issuer", "https://login.example.com"),
        ("--oidc-client-id", "klausel"),
        ("--tls-key", "key.pem"),
        ("--tls-certificate", "none.pem", "--tls-key", "none.pem"),
        ("--decision-log-strict",),
        ("--decision-log", "Database"),
        ("--decision-log", "databse"),
        ("--decision-log", "stderr"),
        ("--decision-log-mask", "no/pointer"),
        ("--decision-log", "stdout", "--decision-log-strict", "--decision-log-sample-allows", "0.5"),
        ("--database", "sqlite://"),
        ("--database", "mysql://somewhere/klausel"),
        ("--database", "sqlite:////no/such/folder/klausel.db"),
        ("--listen-url", "postgresql://127.0.0.1/klausel"),
    ],
)
def test_what_does_not_start_is_told_by_config_show_in_the_same_words(klausel: Klausel, options: tuple[str, ...]) -> None:
    refused, told = klausel("serve", *options), klausel("config", "show", *options)
    assert refused.exit_code in (1, 2)
    assert (told.exit_code, _reason(told.stderr)) == (refused.exit_code, _reason(refused.stderr))
    assert "workers" in told.stdout


@pytest.mark.parametrize("target", ["stdout", "database", "decisions", "./stderr", "database.jsonl"])
def test_a_decision_log_goes_to_one_of_two_words_or_a_file(klausel: Klausel, target: str) -> None:
    assert shown(klausel, "--decision-log", target)["decision_log"]["value"] == target


def test_what_may_not_be_read_is_told_by_who_reads_it(
    klausel: Klausel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "klausel.yaml").write_text("workers: 2\n")
    # Not even asked beforehand, for only the reading itself knows why, and what to do.
    monkeypatch.setattr("os.access", lambda *_, **__: False)
    assert shown(klausel, "--config", "klausel.yaml")["workers"]["value"] == 2
    assert "policies" in shown(klausel, "--policies", ".", "--model", "klausel.yaml")
    assert "policies" in shown(klausel, ".")


def _reason(stderr: str) -> str:
    """What is said below the usage."""
    return " ".join(stderr.partition("for help.")[2].split()) or " ".join(stderr.split())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty; write the secret into it"),
        (b" \r\n\r\n", "is empty; write the secret into it"),
        (SECRET.encode() + b"\nanother\n", "holds several lines or control characters"),
        (SECRET.encode() + b"\0", "holds several lines or control characters"),
        (SECRET.encode("utf-16"), "it is no text in UTF-8"),
        (None, "cannot be read: is a directory; name a file that the service may read"),
    ],
)
def test_a_file_of_a_secret_that_is_none_is_told(
    klausel: Klausel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, expected: str
) -> None:
    file = tmp_path / "secret"
    file.mkdir() if content is None else file.write_bytes(content)
    monkeypatch.setenv("KLAUSEL_DATABASE_FILE", str(file))
    message = said(klausel)
    assert "--database (from KLAUSEL_DATABASE_FILE): the file" in message
    assert expected in message
    assert "geheim" not in message


@pytest.mark.parametrize("secret", [SECRET, "geheim", "ge/heim"])
def test_a_secret_in_the_place_of_the_name_of_its_file_is_not_told(
    klausel: Klausel, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setenv("KLAUSEL_DATABASE_FILE", secret)
    message = said(klausel)
    assert (
        "the file cannot be read: no such file or directory; name a file that the service may read, by its whole path"
        in message
    )
    assert "heim" not in message


@pytest.mark.parametrize("content", [f"{SECRET}\r\n", f"\ufeff{SECRET}", f"  {SECRET}\n\n"])
def test_what_editors_put_around_a_secret_is_no_part_of_it(klausel: Klausel, tmp_path: Path, content: str) -> None:
    (tmp_path / "secret").write_bytes(content.encode())
    assert shown(klausel, "--database", "@secret")["database"]["value"] == SECRET.replace("geheim", "***")


@pytest.mark.parametrize(
    "options",
    [
        ("--database", "postgresql://ann@db.example.com/klausel?sslpassword=geheim&application_name=k&password=geheim"),
        ("--database", "postgresql://ann:geh%65im@db.example.com/klausel"),
        ("--listen-url", "postgresql://ann:geheim@db.example.com/klausel"),
        ("--public-url", "https://ann:geheim@pdp.example.com/"),
        ("--oauth-keys", "https://ann:geheim@login.example.com/jwks"),
        ("--oidc-issuer", "https://ann:geheim@login.example.com/"),
        ("--oidc-client-secret", "geheim"),
    ],
)
def test_no_password_is_shown_wherever_it_stands(klausel: Klausel, options: tuple[str, ...]) -> None:
    for form in ("text", "json"):
        result = klausel("config", "show", "--format", form, *options)
        said = unquote(result.stdout + result.stderr)
        assert "geheim" not in said
        assert "***" in said or "hidden" in said


def test_the_text_says_in_words_what_holds_without_a_value(klausel: Klausel) -> None:
    told = {line.split()[0]: line.split(maxsplit=1)[1] for line in klausel("config", "show").stdout.splitlines()}
    assert told["oauth_algorithm"] == "RS256, ES256  (default)"
    assert told["oauth_issuer"] == "-  (default)"
