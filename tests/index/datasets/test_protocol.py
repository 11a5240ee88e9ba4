import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from index.datasets.protocol import Protocol, ProtocolError

FORMAT = "sanet-protocol-1"
PROTOCOLS = [
    Protocol(),
    Protocol("UAV-VeID", "none", 1),
    Protocol("Market-1501", "same_camera"),
    Protocol("dröhne 😀 \"'\\\n", "same_camera", 7, {"seed": 3, "nested": {"list": [1, 2.5, None, True, "ü"]}}),
]


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "manifest.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.dataset or "default")
def test_what_is_written_is_read_again(tmp_path: Path, protocol: Protocol) -> None:
    assert Protocol.read(written(tmp_path, protocol.to_json())) == protocol


def test_the_text_is_json_for_people() -> None:
    text = Protocol("dröhne", "same_camera", 2, {"k": 1}).to_json()
    assert json.loads(text) == {
        "format": FORMAT,
        "dataset": "dröhne",
        "camera_rule": "same_camera",
        "gallery_per_identity": 2,
        "info": {"k": 1},
        "num_draws": 0,
        "drawn_role": "gallery",
    }
    assert "dröhne" in text
    assert text.startswith('{\n  "format"')
    assert text.endswith("}\n")


def test_what_is_not_said_has_its_default(tmp_path: Path) -> None:
    protocol = Protocol.read(written(tmp_path, json.dumps({"format": FORMAT})))
    assert protocol == Protocol("", "none", None, {})


def test_two_protocols_do_not_share_their_info() -> None:
    Protocol().info["k"] = 1
    assert Protocol().info == {}


def test_it_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Protocol().dataset = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "null",
        '"sanet-protocol-1"',
        "{}",
        '{"dataset": "x"}',
        '{"format": "sanet-protocol-2"}',
        '{"format": null}',
        json.dumps({"format": FORMAT, "camera-rule": "none"}),
        json.dumps({"format": FORMAT, "dataset": "x", "Info": {}}),
    ],
)
def test_an_object_that_is_no_protocol_is_refused_with_the_keys_it_may_have(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ProtocolError) as raised:
        Protocol.read(path)
    assert str(raised.value) == (
        f'{path} is no protocol: expected an object with "format": "{FORMAT}" and any of dataset, camera_rule, '
        "gallery_per_identity, info, num_draws, drawn_role"
    )


@pytest.mark.parametrize("text", ["", "{", "path,identity\n", '{"format": "sanet-protocol-1",}', b"\xff\xfe{}"])
def test_a_text_that_is_no_json_is_refused_by_name(tmp_path: Path, text: str | bytes) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ProtocolError) as raised:
        Protocol.read(path)
    assert str(raised.value).startswith(f"{path} is not JSON: ")


WRONG: list[tuple[str, Any, str]] = [
    ("dataset", 5, "dataset must be a text, got 5"),
    ("dataset", None, "dataset must be a text, got None"),
    ("camera_rule", "same", "camera_rule must be one of none, same_camera; got 'same'"),
    ("camera_rule", None, "camera_rule must be one of none, same_camera; got None"),
    ("camera_rule", ["none"], "camera_rule must be one of none, same_camera; got ['none']"),
    ("gallery_per_identity", 0, "gallery_per_identity must be a whole number above 0 or null, got 0"),
    ("gallery_per_identity", -1, "gallery_per_identity must be a whole number above 0 or null, got -1"),
    ("gallery_per_identity", 1.0, "gallery_per_identity must be a whole number above 0 or null, got 1.0"),
    ("gallery_per_identity", "1", "gallery_per_identity must be a whole number above 0 or null, got '1'"),
    ("gallery_per_identity", True, "gallery_per_identity must be a whole number above 0 or null, got True"),
    ("info", [], "info must be an object, got []"),
    ("info", None, "info must be an object, got None"),
]


@pytest.mark.parametrize(("name", "value", "message"), WRONG)
def test_a_wrong_value_is_refused_with_what_was_expected(tmp_path: Path, name: str, value: Any, message: str) -> None:
    with pytest.raises(ProtocolError) as raised:
        Protocol(**{name: value})
    assert str(raised.value) == message
    path = written(tmp_path, json.dumps({"format": FORMAT, name: value}))
    with pytest.raises(ProtocolError) as raised:
        Protocol.read(path)
    assert str(raised.value) == f"{path}: {message}"


@pytest.mark.parametrize(
    ("name", "value"),
    [("dataset", ""), ("camera_rule", "same_camera"), ("gallery_per_identity", 1), ("gallery_per_identity", None)],
)
def test_the_values_next_to_the_wrong_ones_are_taken(name: str, value: Any) -> None:
    assert getattr(Protocol(**{name: value}), name) == value
