import subprocess
import sys
from pathlib import Path

import pytest

from service.settings import Settings, SettingsError


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


def test_a_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SANET_CHECKPOINT")
    with pytest.raises(SettingsError, match=r"SANET_CHECKPOINT is not set: the \.safetensors checkpoint"):
        Settings.from_environment()


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
    monkeypatch.setenv("SANET_CHECKPOINT", "")
    with pytest.raises(SettingsError, match="SANET_CHECKPOINT is not set"):
        Settings.from_environment()


def test_the_heldout_set_is_a_path_and_empty_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.from_environment().heldout is None
    monkeypatch.setenv("SANET_HELDOUT", "")
    assert Settings.from_environment().heldout is None
    monkeypatch.setenv("SANET_HELDOUT", "uav/manifest.csv")
    assert Settings.from_environment().heldout == Path("uav/manifest.csv")
