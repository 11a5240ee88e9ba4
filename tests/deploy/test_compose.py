from pathlib import Path

import yaml  # type: ignore[import-untyped]

from service.settings import Settings

ROOT = Path(__file__).parents[2]


def test_every_setting_can_be_given_to_the_container() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    passed = compose["services"]["service"]["environment"]
    # The image says where it listens and keeps its data.
    of_image = {"SANET_HOST", "SANET_PORT", "SANET_DATA_DIR"}
    settings = {f"SANET_{name.upper()}" for name in Settings.model_fields} - of_image
    of_traces = {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_SERVICE_NAME"}
    assert passed.keys() == settings | of_traces | {"TMPDIR"}
    assert all(passed[name].startswith(f"${{{name}:-") for name in settings | of_traces)


def test_the_container_can_write_to_its_volumes_alone_and_has_no_rights() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    service = compose["services"]["service"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert [mount.split(":")[0] for mount in service["tmpfs"]] == ["/tmp"]
    # Not in memory, and in a volume: an upload may be larger than all of /tmp.
    volumes = dict(reversed(volume.split(":")) for volume in service["volumes"])
    assert volumes == {"/data": "data", "/var/tmp": "uploads"}
    assert set(volumes.values()) == set(compose["volumes"])
    assert service["environment"]["TMPDIR"] == "/var/tmp"
