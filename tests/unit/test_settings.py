"""Settings from flags and variables, and what users read when one is wrong."""

from pathlib import Path

import pytest

from channel_operator.settings import Address, Settings, SettingsError


def read(*arguments: str, **environ: str) -> Settings:
    return Settings.read(arguments, {f"CHANNEL_OPERATOR_{name}": value for name, value in environ.items()})


def test_without_anything_the_defaults_hold() -> None:
    settings = read()
    assert settings.namespaces == ()
    assert (settings.lease_duration, settings.lease_renew_deadline, settings.lease_retry_period) == (15.0, 10.0, 2.0)
    assert settings.lease == "channel-operator-0"
    assert settings.metrics_address == Address("127.0.0.1", 9090)
    assert settings.leader_election
    assert not settings.only_allowed_broker_hosts
    assert (settings.ref_grace, settings.secrets_sweep, settings.broker_secret_sweep) == (60.0, 900.0, 60.0)
    assert settings.max_policies == 100


def test_a_flag_wins_over_its_variable() -> None:
    settings = read("--log-level", "debug", LOG_LEVEL="error", LOG_FORMAT="text")
    assert settings.log_level == "debug"
    assert settings.log_format == "text"


def test_an_empty_variable_counts_as_not_set() -> None:
    assert read(OPERATOR_ID="", NAMESPACES="").operator_id is None


def test_lists_take_commas_and_spaces_and_drop_doubles() -> None:
    assert read(NAMESPACES="shop, billing shop").namespaces == ("shop", "billing")


def test_durations_are_written_as_in_the_api() -> None:
    assert read("--secrets-sweep=1h30m").secrets_sweep == 5400.0
    assert read("--ref-grace=500ms").ref_grace == 0.5


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0.0.0.0:9090", Address("0.0.0.0", 9090)),  # noqa: S104 - parsed, not bound
        (":8080", Address("0.0.0.0", 8080)),  # noqa: S104 - parsed, not bound
        ("[::1]:0", Address("::1", 0)),
    ],
)
def test_addresses_are_host_and_port(text: str, address: Address) -> None:
    assert read("--metrics-address", text).metrics_address == address


def test_listed_broker_hosts_are_the_only_ones_unless_a_star_is_among_them() -> None:
    only = read(ALLOWED_BROKER_HOSTS="rabbit.example.com,127.0.0.1")
    assert only.allowed_broker_hosts == {"rabbit.example.com", "127.0.0.1"}
    assert only.only_allowed_broker_hosts
    assert not read(ALLOWED_BROKER_HOSTS="*,127.0.0.1").only_allowed_broker_hosts


@pytest.mark.parametrize(
    ("arguments", "environ", "message"),
    [
        (["--lease-duration=soon"], {}, "--lease-duration: 'soon' is not a duration such as 15s, 5m or 1h30m"),
        ([], {"LEASE_DURATION": "0s"}, "CHANNEL_OPERATOR_LEASE_DURATION: must be longer than zero"),
        ([], {"LOG_FORMAT": "xml"}, "CHANNEL_OPERATOR_LOG_FORMAT: 'xml' is none of json, text"),
        ([], {"LEADER_ELECTION": "no"}, "CHANNEL_OPERATOR_LEADER_ELECTION: 'no' is neither true nor false"),
        (
            ["--tracing-endpoint=collector:4318"],
            {},
            "--tracing-endpoint: 'collector:4318' is not a URL such as http://collector:4318/v1/traces",
        ),
        (
            ["--tracing-endpoint=http://me:secret@collector:4318"],
            {},
            "--tracing-endpoint: must hold no credentials: set OTEL_EXPORTER_OTLP_HEADERS from a Secret",
        ),
        (["--max-policies=0"], {}, "--max-policies: '0' is not a whole number of at least 1"),
        (["--metrics-address=9090"], {}, "--metrics-address: '9090' is not host:port, for instance 0.0.0.0:9090"),
        (["--health-address=x:70000"], {}, "--health-address: 'x:70000' is not host:port, for instance 0.0.0.0:9090"),
        (
            ["--namespaces=Shop"],
            {},
            "--namespaces: 'Shop' is not a Kubernetes name (lower-case letters, digits and '-', at most 63)",
        ),
        (["--colour"], {}, "unrecognized arguments: --colour"),
        (
            ["--lease-renew-deadline=20s"],
            {},
            (
                "--lease-retry-period must be shorter than --lease-renew-deadline, and that shorter than "
                "--lease-duration; they are 2s, 20s and 15s"
            ),
        ),
    ],
)
def test_a_wrong_setting_is_refused_in_words_that_name_it(
    arguments: list[str], environ: dict[str, str], message: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        read(*arguments, **environ)
    assert str(refused.value) == message


def test_help_names_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        read("--help")
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for name in Settings.__dataclass_fields__:
        assert f"--{name.replace('_', '-')}" in text


def test_the_page_for_operators_names_every_setting() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    for name in Settings.__dataclass_fields__:
        assert f"| `--{name.replace('_', '-')}` | `CHANNEL_OPERATOR_{name.upper()}` |" in page
