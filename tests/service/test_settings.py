import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import Settings, SettingsError, database_of_environment, shipped_checkpoint


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANET_CHECKPOINT", "model.safetensors")


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANET_PORT", "9000")
    settings = Settings.from_environment()
    assert settings.checkpoint == Path("model.safetensors")
    assert settings.port == 9000


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SANET_PORT", "high", "SANET_PORT='high': Input should be a valid integer"),
        ("SANET_QUEUE_CAPACITY", "511", "SANET_QUEUE_CAPACITY='511': Input should be greater than or equal to 512"),
        ("SANET_DEVICE", "tpu", "SANET_DEVICE='tpu'"),
        ("SANET_PRECISION", "int8", "SANET_PRECISION='int8'"),
        ("SANET_CHEKPOINT", "x", "SANET_CHEKPOINT is no setting of this service: did you mean SANET_CHECKPOINT?"),
        ("SANET_API_KEYS", "secret", "SANET_API_KEYS is no setting of this service"),
        ("SANET_AUTH", "none", "SANET_AUTH='none': Input should be 'auto', 'on' or 'off'"),
        ("SANET_METRICS_OPEN", "maybe", "SANET_METRICS_OPEN='maybe': Input should be a valid boolean"),
        ("SANET_RATE_LIMIT", "600", "SANET_RATE_LIMIT='600': String should match pattern"),
        ("SANET_RATE_LIMIT", "0/minute", "SANET_RATE_LIMIT='0/minute'"),
        ("SANET_CORS_ORIGINS", "*", "SANET_CORS_ORIGINS='*': Input should be origins such as https://watch.example"),
        ("SANET_CORS_ORIGINS", "https://a.example,https://b.example/x", "SANET_CORS_ORIGINS='https://b.example/x'"),
        ("SANET_TRUSTED_PROXIES", "*", "SANET_TRUSTED_PROXIES='*': Input should be addresses or networks"),
        ("SANET_TRUSTED_PROXIES", "10.0.0.1/8", "SANET_TRUSTED_PROXIES='10.0.0.1/8'"),
        ("SANET_RETENTION", "90", "SANET_RETENTION='90': expected parts such as 90d, camera gate-3: 30d"),
        ("SANET_RETENTION", "90d; camera : 3d", "got 'camera : 3d' (for how long records are kept"),
        ("SANET_RETENTION", "90d; 30d", "SANET_RETENTION='90d; 30d': '30d' says once more how long the same is kept"),
        ("SANET_DRAIN_S", "-1", "SANET_DRAIN_S='-1': Input should be"),
        ("SANET_LOG_FORMAT", "xml", "SANET_LOG_FORMAT='xml': Input should be 'text' or 'json'"),
        ("SANET_AUDIT_DAYS", "0", "SANET_AUDIT_DAYS='0': Input should be greater than or equal to 1"),
    ],
)
def test_a_wrong_setting_is_one_readable_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as error:
        Settings.from_environment()
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_lists_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANET_CORS_ORIGINS", "https://a.example, http://localhost:3000,")
    monkeypatch.setenv("SANET_TRUSTED_PROXIES", "10.0.0.0/8,fd00::1")
    settings = Settings.from_environment()
    assert settings.cors_origins == ("https://a.example", "http://localhost:3000")
    assert settings.trusted_proxies == ("10.0.0.0/8", "fd00::1")
    for name in ("SANET_CORS_ORIGINS", "SANET_TRUSTED_PROXIES"):
        monkeypatch.setenv(name, "")
    settings = Settings.from_environment()
    assert (settings.cors_origins, settings.trusted_proxies) == ((), ())


@pytest.mark.parametrize(
    "value", ["8_000", " 8000 ", "8000.0", "8e3", "+8000", "\u0668\u0660\u0660\u0660", "0x1f40", "true", "8000\n"]
)
@pytest.mark.parametrize("name", ["SANET_PORT", "SANET_QUEUE_CAPACITY", "SANET_MAX_UPLOADS_MB"])
def test_a_number_is_in_plain_decimal_digits(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as error:
        Settings.from_environment()
    assert str(error.value).startswith(f"{name}={value!r}: Input should be a valid integer in the digits 0-9 (")


def test_a_truth_value_is_no_number() -> None:
    with pytest.raises(ValidationError, match="valid integer"):
        Settings(max_batch=True)


def test_digits_of_other_scripts_are_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANET_DEVICE", "cuda:\u0661")
    with pytest.raises(SettingsError, match="SANET_DEVICE"):
        Settings.from_environment()


_ADDRESS = "tcp://10.0.0.1:8000"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SANET_SERVICE_HOST", "10.0.0.1"),
        ("SANET_SERVICE_PORT", "8000"),
        ("SANET_SERVICE_PORT_HTTP", "8000"),
        ("SANET_PORT", _ADDRESS),
        ("SANET_PORT", "udp://10.0.0.1:8000"),
        ("SANET_PORT", "tcp://[fd00::1]:8000"),
        ("SANET_PORT_8000_TCP", _ADDRESS),
        ("SANET_PORT_8000_TCP_PROTO", "tcp"),
        ("SANET_PORT_8000_TCP_PORT", "8000"),
        ("SANET_PORT_8000_TCP_ADDR", "10.0.0.1"),
        ("SANET_PORT_53_UDP_ADDR", "10.0.0.1"),
        ("SANET_PORT_53_SCTP", "sctp://10.0.0.1:53"),
        ("SANET_WEB_SERVICE_HOST", "10.0.0.2"),
        ("SANET_WEB_SERVICE_PORT", "80"),
        ("SANET_WEB_SERVICE_PORT_HTTPS_2", "443"),
        ("SANET_WEB_PORT", "tcp://10.0.0.2:80"),
        ("SANET_MAX_QUERIES_PORT_80_TCP_ADDR", "10.0.0.2"),
    ],
)
def test_what_kubernetes_says_of_services_called_sanet_is_no_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    expected = Settings.from_environment()
    monkeypatch.setenv(name, value)
    assert Settings.from_environment() == expected
    assert expected.port == 8000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SANET_WEB_PORT", "80"),
        ("SANET_PORTS", _ADDRESS),
        ("SANET_PORT", "http://10.0.0.1:8000"),
        ("SANET_PORT", "tcp:"),
        ("SANET_SERVICE", "10.0.0.1"),
        ("SANET_HOSTS", "10.0.0.1"),
        ("SANET_PORT_HTTP", "80"),
    ],
)
def test_what_only_looks_like_it_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{name}"):
        Settings.from_environment()


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of the demo in an environment like the image's, beside no checkout."""
    monkeypatch.delenv("SANET_CHECKPOINT")
    monkeypatch.setattr(
        "service.settings.__file__", str(tmp_path / "lib" / "site-packages" / "service" / "settings.py")
    )
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "sanet.safetensors").touch()
    (folder / "manifest.csv").touch()
    return folder


@pytest.mark.parametrize("unset", [None, ""])
def test_without_a_checkpoint_the_shipped_one_is_served_and_scored(
    monkeypatch: pytest.MonkeyPatch, shipped: Path, unset: str | None
) -> None:
    if unset is not None:
        monkeypatch.setenv("SANET_CHECKPOINT", unset)
    settings = Settings.from_environment()
    assert settings.checkpoint == shipped / "sanet.safetensors"
    assert settings.heldout == shipped / "manifest.csv"
    monkeypatch.setenv("SANET_HELDOUT", "mine.csv")
    assert Settings.from_environment().heldout == Path("mine.csv")
    monkeypatch.delenv("SANET_HELDOUT")
    (shipped / "manifest.csv").unlink()
    assert Settings.from_environment().heldout is None


def test_a_checkout_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch, shipped: Path, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    (checkout / "demo").mkdir(parents=True)
    (checkout / "demo" / "sanet.safetensors").touch()
    monkeypatch.setattr("service.settings.__file__", str(checkout / "service" / "settings.py"))
    assert shipped_checkpoint() == checkout / "demo" / "sanet.safetensors"


def test_someones_own_checkpoint_is_not_scored_on_the_demo_set(monkeypatch: pytest.MonkeyPatch, shipped: Path) -> None:
    monkeypatch.setenv("SANET_CHECKPOINT", str(shipped / "sanet.safetensors"))
    assert Settings.from_environment().heldout is None


def test_where_no_checkpoint_ships_one_line_says_so(shipped: Path) -> None:
    (shipped / "sanet.safetensors").unlink()
    with pytest.raises(SettingsError) as error:
        Settings.from_environment()
    assert str(error.value) == (
        f"SANET_CHECKPOINT is not set, and no checkpoint ships at {shipped}/sanet.safetensors: "
        "set it to a .safetensors checkpoint"
    )


def test_every_setting_is_described_with_its_default_and_its_values() -> None:
    lines = Settings.describe().splitlines()
    assert len(lines) == 2 * len(Settings.model_fields)
    described = dict(zip(lines[::2], lines[1::2], strict=True))
    for (first, second), (name, field) in zip(described.items(), Settings.model_fields.items(), strict=True):
        variable, description = first.split(maxsplit=1)
        assert (variable, description) == (f"SANET_{name.upper()}", field.description)
        assert second.index("default") == first.index(description)  # aligned
        assert len(first) <= 120
    values = {first.split()[0]: second.strip() for first, second in described.items()}
    assert values["SANET_PORT"] == "default 8000; 0 to 65535"
    assert values["SANET_PRECISION"] == "default auto; one of auto, float32, bf16, fp16"
    assert values["SANET_DEVICE"] == "default auto; matches ^(auto|cpu|cuda(:[0-9]+)?)$"
    assert values["SANET_HELDOUT"] == "default none"
    assert values["SANET_CORS_ORIGINS"] == "default none"
    assert values["SANET_AUTH"] == "default auto; one of auto, on, off"
    assert values["SANET_CHECKPOINT"] == f"default {shipped_checkpoint()}"
    assert values["SANET_MAX_QUERIES"] == "default 64; 1 to 100000"
    assert values["SANET_DATABASE"] == "default none"


@pytest.mark.parametrize("address", ["mysql://a:s3cret@c/d", "s3cret", "postgresql://a:b@c:s3cret/d"])
def test_an_address_that_may_hold_a_password_is_not_repeated(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("SANET_DATABASE", address)
    for read in (Settings.from_environment, database_of_environment):
        with pytest.raises(SettingsError, match=r"SANET_DATABASE.* an address such as postgresql") as error:
            read()
        assert "s3cret" not in str(error.value)


def test_the_address_of_a_database_is_kept_out_of_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    address = "postgresql://user:s3cret@db.example/sanet"
    monkeypatch.setenv("SANET_DATABASE", address)
    settings = Settings.from_environment()
    assert settings.database_address == database_of_environment() == address
    assert "s3cret" not in f"{settings!r} {settings.model_dump()} {settings.model_dump_json()}"
    monkeypatch.setenv("SANET_DATABASE", "")
    assert Settings.from_environment().database_address is database_of_environment() is None


def test_help_names_every_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANET_PORT", "high")  # help helps where a setting is wrong
    done = subprocess.run([sys.executable, "-m", "service", "--help"], capture_output=True, text=True, check=True)
    assert Settings.describe() in done.stdout


def test_the_program_ends_with_2_for_wrong_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANET_PORT", "high")
    done = subprocess.run([sys.executable, "-m", "service"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("service: SANET_PORT='high'")
    assert done.stderr.count("\n") == 1


def test_the_program_ends_with_1_where_it_cannot_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SANET_CHECKPOINT", str(tmp_path / "none.safetensors"))
    monkeypatch.setenv("SANET_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("SANET_PORT", "0")
    done = subprocess.run([sys.executable, "-m", "service"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"service: there is no checkpoint at {tmp_path}/none.safetensors"


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANET_PORT", "")
    assert Settings.from_environment().port == 8000


def test_the_heldout_set_is_a_path_and_empty_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.from_environment().heldout is None
    monkeypatch.setenv("SANET_HELDOUT", "")
    assert Settings.from_environment().heldout is None
    monkeypatch.setenv("SANET_HELDOUT", "uav/manifest.csv")
    assert Settings.from_environment().heldout == Path("uav/manifest.csv")


@pytest.mark.parametrize("name", ["sanet_prot", "Sanet_Port_", "SANET_prot"])
def test_an_unknown_name_in_small_letters_is_refused_too(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    # sanet_port is read as SANET_PORT is, so that a misspelt one has to be noticed as well.
    monkeypatch.setenv(name, "9000")
    with pytest.raises(SettingsError, match=f"^{name} is no setting of this service: did you mean SANET_PORT"):
        Settings.from_environment()
