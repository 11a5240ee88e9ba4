from pathlib import Path

import yaml  # type: ignore[import-untyped]

from service.settings import Settings

ROOT = Path(__file__).parents[2]


def test_every_setting_can_be_given_to_the_container() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    passed = compose["services"]["service"]["environment"]
    # The image says where it listens and keeps its data.
    of_image = {"SANET_HOST", "SANET_PORT", "SANET_DATA_DIR"}
    assert passed.keys() == {f"SANET_{name.upper()}" for name in Settings.model_fields} - of_image
    assert all(value.startswith(f"${{{name}:-") for name, value in passed.items())
