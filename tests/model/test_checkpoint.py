import dataclasses
import hashlib
import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from model.build import Network, build_network
from model.checkpoint import (
    FORMAT,
    CheckpointError,
    annotate_checkpoint,
    canonical_json,
    compute_fingerprint,
    halve_checkpoint,
    load_checkpoint,
    read_card,
    save_checkpoint,
)
from model.config import ARCHITECTURES, BaselineConfig, SANetConfig, config_from_dict, config_to_dict
from model.preprocessing import Preprocessing
from model.sanet import SANet

TRAINING = {"trained": True, "data": "a few cars", "epochs": 3}


@pytest.fixture(scope="module")
def network() -> Network:
    """In bfloat16, because half the bytes are written and hashed in half the time."""
    return build_network(BaselineConfig("resnet18")).bfloat16().eval()


@pytest.fixture(scope="module")
def written(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("written") / "model.safetensors"
    save_checkpoint(path, network, Preprocessing(64), TRAINING)
    return path


@pytest.fixture
def path(written: Path, tmp_path: Path) -> Path:
    """A checkpoint that the test may change."""
    return Path(shutil.copy(written, tmp_path / "model.safetensors"))


def parts_of(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata, read by hand: 8 bytes of length, the JSON header, the tensors."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return safetensors.torch.load(data), json.loads(data[8 : 8 + length])["__metadata__"]


def tensor_area(path: Path) -> int:
    with path.open("rb") as file:
        return int(8 + struct.unpack("<Q", file.read(8))[0])


def assert_same_network(loaded: Network, expected: Network, images: Tensor) -> None:
    """The tensors are read back bit by bit. What they compute is not promised to that: loaded tensors lie elsewhere in
    memory, where MKL may sum in another order, which differs by about 1e-7 of the length.
    """
    state, expected_state = loaded.state_dict(), expected.state_dict()
    assert state.keys() == expected_state.keys()
    for name, tensor in state.items():
        assert torch.equal(tensor, expected_state[name]), name
    with torch.no_grad():
        output, expected_output = loaded(images), expected(images)
    error = (output.embedding - expected_output.embedding).norm(dim=1) / expected_output.embedding.norm(dim=1)
    assert error.max() < 1e-5
    torch.testing.assert_close(output.theta, expected_output.theta, rtol=0, atol=1e-5)
    assert (output.theta - torch.eye(2, 3)).abs().amax(dim=(1, 2)).min() > 0.01


def test_a_checkpoint_rebuilds_its_network_bit_by_bit(
    small_network: SANet, small_checkpoint: Path, small_preprocessing: Preprocessing
) -> None:
    checkpoint = load_checkpoint(small_checkpoint)
    assert not checkpoint.network.training
    assert isinstance(checkpoint.network, SANet)
    assert checkpoint.card.config == checkpoint.network.config == small_network.config
    assert checkpoint.card.preprocessing == small_preprocessing
    assert_same_network(checkpoint.network, small_network, torch.rand(2, 3, 64, 64))


def test_a_network_with_an_aligned_input_is_rebuilt_with_its_heading(tmp_path: Path) -> None:
    config = SANetConfig("resnet18", num_parts=1, transform="rotation", aligned="input", unit_length=True)
    preprocessing = Preprocessing(64, resize="pad")
    network = build_network(config, preprocessing).eval()
    assert isinstance(network, SANet)
    assert network.input_alignment is not None
    network.input_alignment.heading.zero_rad.fill_(0.7)
    save_checkpoint(tmp_path / "model", network, preprocessing, TRAINING)
    checkpoint = load_checkpoint(tmp_path / "model")
    assert (checkpoint.card.config, checkpoint.card.preprocessing) == (config, preprocessing)
    assert checkpoint.network.config == config
    assert_same_network(checkpoint.network, network, torch.rand(3, 3, 64, 64))


def test_what_was_loaded_is_written_as_the_same_model(path: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(path)
    again = save_checkpoint(tmp_path / "again", checkpoint.network, checkpoint.card.preprocessing, TRAINING)
    assert again == checkpoint.card.fingerprint
    assert parts_of(tmp_path / "again")[1] == parts_of(path)[1]


def test_the_card_says_what_was_saved(path: Path) -> None:
    card = read_card(path)
    assert card == load_checkpoint(path).card
    assert (card.config, card.preprocessing) == (BaselineConfig("resnet18"), Preprocessing(64))
    assert card.training == TRAINING
    assert card.trained
    assert card.evaluation is card.calibration is None


def test_the_normalisation_is_the_cards(network: Network, tmp_path: Path) -> None:
    preprocessing = Preprocessing(64, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    save_checkpoint(tmp_path / "model", network, preprocessing, TRAINING)
    normalization = load_checkpoint(tmp_path / "model").network.normalization
    torch.testing.assert_close(normalization.mean.flatten(), torch.tensor([0.1, 0.2, 0.3]))
    torch.testing.assert_close(normalization.std.flatten(), torch.tensor([0.4, 0.5, 0.6]))


def test_other_strides_and_epsilons_survive(tmp_path: Path) -> None:
    config = BaselineConfig("resnet50", "1x1", 1.001e-5)
    save_checkpoint(tmp_path / "model", build_network(config).bfloat16(), Preprocessing(), TRAINING)
    network = load_checkpoint(tmp_path / "model").network
    assert network.config == config
    assert network.trunk.get_submodule("layer2.0.conv1").stride == (2, 2)
    assert network.trunk.get_submodule("layer1.0.bn1").eps == 1.001e-5


def test_the_dtype_is_kept(path: Path, small_checkpoint: Path) -> None:
    for checkpoint, dtype in ((path, torch.bfloat16), (small_checkpoint, torch.float32)):
        state = load_checkpoint(checkpoint).network.state_dict()
        counters = {name for name in state if name.endswith("num_batches_tracked")}
        assert {state[name].dtype for name in counters} == {torch.int64}
        assert {state[name].dtype for name in state.keys() - counters} == {dtype}


@pytest.fixture(scope="module")
def halved(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a checkpoint that was evaluated and calibrated."""
    folder = tmp_path_factory.mktemp("halved")
    source = Path(shutil.copy(small_checkpoint, folder / "whole.safetensors"))
    annotate_checkpoint(source, evaluation={"map": 0.5}, calibration={"match": 1.5})
    halve_checkpoint(source, folder / "halved.safetensors")
    return folder / "halved.safetensors"


def test_a_halved_checkpoint_has_half_the_bytes_and_weights_rounded_to_float16(
    halved: Path, small_checkpoint: Path
) -> None:
    assert halved.stat().st_size < 0.51 * small_checkpoint.stat().st_size
    (before, _), (stored, _) = parts_of(small_checkpoint), parts_of(halved)
    assert stored.keys() == before.keys()
    for name, tensor in stored.items():
        # Convolutions and linear layers; vectors are BatchNorm's and biases.
        expected = before[name].half() if before[name].dim() >= 2 else before[name]
        assert tensor.dtype == expected.dtype
        assert torch.equal(tensor, expected), name
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16, torch.float32, torch.int64}


def test_a_halved_checkpoint_is_another_model_that_says_of_which(halved: Path, small_checkpoint: Path) -> None:
    before, card, (tensors, metadata) = read_card(small_checkpoint), read_card(halved), parts_of(halved)
    assert (card.config, card.preprocessing) == (before.config, before.preprocessing)
    assert card.training == before.training | {"halved_from": before.fingerprint}
    assert card.evaluation is card.calibration is None  # they were the other model's
    assert card.fingerprint != before.fingerprint
    # Over the tensors as they are stored.
    assert card.fingerprint == compute_fingerprint(metadata["config"], metadata["preprocessing"], tensors)
    annotate_checkpoint(halved, evaluation={"map": 0.25})
    assert load_checkpoint(halved).card == dataclasses.replace(card, evaluation={"map": 0.25})


def test_a_halved_checkpoint_computes_in_float32(halved: Path, small_network: SANet) -> None:
    network = load_checkpoint(halved).network
    assert {t.dtype for t in network.state_dict().values()} == {torch.float32, torch.int64}
    images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, found = small_network(images), network(images)
    assert found.embedding.dtype == torch.float32
    error = (found.embedding - expected.embedding).norm(dim=1) / expected.embedding.norm(dim=1)
    assert 0 < error.max() < 2e-3  # float16 has 11 bits: 5e-4 for one rounding
    assert not torch.equal(found.embedding, found.embedding.half().float())


def test_what_float16_cannot_hold_stays_as_it_is(tmp_path: Path) -> None:
    network = build_network(BaselineConfig("resnet18"))
    state = network.state_dict()
    names = ["trunk.conv1.weight", "trunk.layer1.0.conv1.weight", "trunk.layer1.0.conv2.weight"]
    with torch.no_grad():
        state[names[0]][0, 0, 0, 0] = 1e5  # float16 ends at 65504
        state[names[1]].mul_(1e-7)  # below 6e-5 it loses bits
        state[names[2]][0].mul_(1e-7)  # beside others a few of them do not count
        state["trunk.bn1.running_var"][:2] = torch.tensor([1e9, 1e-9])
    save_checkpoint(tmp_path / "whole", network, Preprocessing(64), TRAINING)
    halve_checkpoint(tmp_path / "whole", tmp_path / "halved")
    stored = parts_of(tmp_path / "halved")[0]
    assert [stored[name].dtype for name in names] == [torch.float32, torch.float32, torch.float16]
    loaded = load_checkpoint(tmp_path / "halved").network.state_dict()
    for name in (*names[:2], "trunk.bn1.running_var"):
        assert torch.equal(loaded[name], state[name])


def test_a_network_of_half_precision_is_left_as_it_is_by_halving(path: Path, tmp_path: Path) -> None:
    assert halve_checkpoint(path, tmp_path / "halved") == read_card(path).fingerprint


def test_a_damaged_checkpoint_is_not_halved(path: Path, tmp_path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(tensor_area(path))
        file.write(b"\x01\x02\x03")
    with pytest.raises(CheckpointError, match="is damaged"):
        halve_checkpoint(path, tmp_path / "halved")
    assert list(tmp_path.iterdir()) == [path]


def test_an_untrained_network_says_so(network: Network, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "model", network, Preprocessing(), {"trained": False, "data": None})
    assert not read_card(tmp_path / "model").trained


def test_the_memory_format_is_no_part_of_the_model(network: Network, path: Path, tmp_path: Path) -> None:
    turned = load_checkpoint(path).network.to(memory_format=torch.channels_last)
    fingerprint = save_checkpoint(tmp_path / "turned", turned, Preprocessing(64), TRAINING)
    assert fingerprint == read_card(path).fingerprint


def test_where_the_weights_come_from_is_no_part_of_the_model(network: Network, path: Path, tmp_path: Path) -> None:
    other = save_checkpoint(tmp_path / "other", network, Preprocessing(64), {"trained": False, "data": None})
    assert other == read_card(path).fingerprint


def test_annotations_leave_the_model_alone(path: Path) -> None:
    before, (tensors, metadata) = read_card(path), parts_of(path)
    annotate_checkpoint(path, evaluation={"map": 0.5, "cmc": {"1": 0.25}})
    annotate_checkpoint(path, calibration={"match": 1.5})
    annotate_checkpoint(path, evaluation={"map": 0.75})
    card = load_checkpoint(path).card
    assert card == dataclasses.replace(before, evaluation={"map": 0.75}, calibration={"match": 1.5})
    tensors_after, metadata_after = parts_of(path)
    assert metadata_after.items() >= metadata.items()
    assert tensors_after.keys() == tensors.keys()
    assert all(torch.equal(tensors_after[name], tensors[name]) for name in tensors)


def test_nothing_else_can_be_annotated(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(TypeError, match="evaluation and calibration, not training"):
        annotate_checkpoint(path, training={"trained": True})
    with pytest.raises(ValueError, match="JSON compliant"):
        annotate_checkpoint(path, evaluation={"map": float("nan")})
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_the_fingerprint_is_this_sha256() -> None:
    """Galleries remember it: another way to count would make every one of them foreign."""
    tensors = {"b": torch.tensor([[1.0, 2.0]]), "a": torch.tensor(3), "c": torch.tensor([1.5], dtype=torch.bfloat16)}
    fields = [b"{config}", b"{preprocessing}"]
    fields += [b"a", b"torch.int64 []", struct.pack("<q", 3)]
    fields += [b"b", b"torch.float32 [1, 2]", struct.pack("<2f", 1, 2)]
    fields += [b"c", b"torch.bfloat16 [1]", struct.pack("<f", 1.5)[2:]]
    digest = hashlib.sha256(b"".join(struct.pack("<Q", len(field)) + field for field in fields)).hexdigest()
    assert compute_fingerprint("{config}", "{preprocessing}", tensors) == digest


def test_the_files_fingerprint_is_that_of_its_parts(path: Path) -> None:
    tensors, metadata = parts_of(path)
    assert json.loads(metadata["config"]) == config_to_dict(BaselineConfig("resnet18"))
    assert json.loads(metadata["preprocessing"]) == Preprocessing(64).to_dict()
    expected = compute_fingerprint(metadata["config"], metadata["preprocessing"], tensors)
    assert metadata["fingerprint"] == expected == read_card(path).fingerprint


TENSORS = {"weight": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "bias": torch.tensor([0.0, 5.0])}


@pytest.mark.parametrize(
    "tensors",
    [
        TENSORS | {"weight": torch.tensor([[1.0, 2.0], [3.0, 4.0 + 2**-21]])},  # the last bit
        TENSORS | {"bias": torch.tensor([-0.0, 5.0])},
        TENSORS | {"bias": torch.tensor([0.0, 5.0]).double()},
        TENSORS | {"bias": torch.tensor([0.0, 5.0]).view(torch.int32)},
        TENSORS | {"bias": torch.tensor([[0.0, 5.0]])},
        TENSORS | {"weight": TENSORS["weight"].T},
        TENSORS | {"more": torch.tensor([])},
        {"weight": TENSORS["weight"], "bios": TENSORS["bias"]},
        {"weight": TENSORS["weight"]},
    ],
)
def test_any_change_of_a_tensor_is_another_model(tensors: dict[str, Tensor]) -> None:
    assert compute_fingerprint("c", "p", tensors) != compute_fingerprint("c", "p", TENSORS)


@pytest.mark.parametrize(("config", "preprocessing"), [("C", "p"), ("c", "P"), ("cp", ""), ("", "cp"), ("p", "c")])
def test_any_change_of_config_or_preprocessing_is_another_model(config: str, preprocessing: str) -> None:
    assert compute_fingerprint(config, preprocessing, TENSORS) != compute_fingerprint("c", "p", TENSORS)


@pytest.mark.parametrize(
    "change",
    [
        {"config": config_to_dict(BaselineConfig("resnet18", bn_eps=1.001e-5))},
        {"config": config_to_dict(SANetConfig("resnet18"))},
        {"preprocessing": Preprocessing(80).to_dict()},
        {"preprocessing": Preprocessing(64, std=(0.229, 0.224, 0.2251)).to_dict()},
    ],
)
def test_a_header_of_another_model_is_found_out(change: dict[str, dict[str, Any]], path: Path) -> None:
    tensors, metadata = parts_of(path)
    changed = metadata | {name: canonical_json(value) for name, value in change.items()}
    safetensors.torch.save_file(tensors, path, changed)
    assert compute_fingerprint(changed["config"], changed["preprocessing"], tensors) != metadata["fingerprint"]
    with pytest.raises(CheckpointError, match=r"is damaged: its tensors do not have its fingerprint; fetch it again"):
        load_checkpoint(path)


def test_the_order_of_the_tensors_does_not_count() -> None:
    backwards = dict(reversed(TENSORS.items()))
    assert compute_fingerprint("c", "p", backwards) == compute_fingerprint("c", "p", TENSORS)


@pytest.mark.parametrize("share", [0.0, 0.37, 1.0])
def test_a_flipped_bit_in_the_tensors_is_found_out_and_the_card_still_read(share: float, path: Path) -> None:
    card = read_card(path)
    start, size = tensor_area(path), path.stat().st_size
    with path.open("r+b") as file:
        position = start + int(share * (size - 1 - start))
        file.seek(position)
        (byte,) = file.read(1)
        file.seek(position)
        file.write(bytes([byte ^ 1]))
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged"):
        load_checkpoint(path)
    assert read_card(path) == card


def test_the_card_is_read_without_the_tensors(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load_checkpoint(path).card

    def refuse(*_: object) -> None:
        raise AssertionError("the tensors were read")

    monkeypatch.setattr(safetensors.torch, "load_file", refuse)
    assert read_card(path) == expected


def truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)


def truncate_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(100)


def replace_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


UNUSABLE: list[tuple[Callable[[Path], object], str]] = [
    (truncate, "is not a readable .safetensors file"),
    (truncate_header, "is not a readable .safetensors file"),
    (lambda path: path.write_bytes(b""), "is not a readable .safetensors file"),
    (lambda path: path.write_bytes(b"text" * 100), "is not a readable .safetensors file"),
    (lambda path: torch.save({"a": torch.zeros(1)}, path), "is not a readable .safetensors file"),
    (replace_by_a_folder, "is not a readable .safetensors file"),
    (lambda path: path.unlink(), "there is no checkpoint at"),
    (lambda path: safetensors.torch.save_file(TENSORS, path), "is not a checkpoint of this program.*found None"),
    (lambda path: safetensors.torch.save_file(TENSORS, path, {"format": "pt"}), f"expected .* '{FORMAT}'.* found 'pt'"),
]


@pytest.mark.parametrize("read", [load_checkpoint, read_card])
@pytest.mark.parametrize(("damage", "reason"), UNUSABLE)
def test_a_file_that_is_no_checkpoint_is_refused(
    read: Callable[[Path], object], damage: Callable[[Path], object], reason: str, path: Path
) -> None:
    damage(path)
    with pytest.raises(CheckpointError, match=reason) as raised:
        read(path)
    assert str(path) in str(raised.value)


def metadata_of(config: object, /, **changes: str | None) -> dict[str, str]:
    """A header with the right fingerprint for `TENSORS`, whatever else is wrong with it."""
    texts = {"config": canonical_json(config), "preprocessing": canonical_json(Preprocessing().to_dict())}
    fingerprint = compute_fingerprint(texts["config"], texts["preprocessing"], TENSORS)
    metadata = {"format": FORMAT, **texts, "fingerprint": fingerprint, "training": canonical_json(TRAINING)}
    return {name: text for name, text in (metadata | changes).items() if text is not None}


BASELINE = config_to_dict(BaselineConfig("resnet18"))


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        (metadata_of({"architecture": "vit"}), "architecture must be one of sanet, baseline, ram, scan, .*; got 'vit'"),
        (metadata_of(BASELINE | {"depth": 3}), "does not fit 'baseline'.*depth"),
        (metadata_of("resnet18"), "header of .* cannot be used"),
        (metadata_of(BASELINE, preprocessing="{}"), "resize must be"),
        (metadata_of(BASELINE, config="{"), "header of .* cannot be used"),
        (metadata_of(BASELINE, config="[]"), "header of .* cannot be used: config must be a JSON object"),
        (metadata_of(BASELINE, preprocessing="[]"), "cannot be used: preprocessing must be a JSON object"),
        (metadata_of(BASELINE, preprocessing="null"), "cannot be used: preprocessing must be a JSON object"),
        (metadata_of(BASELINE, training='"x"'), "cannot be used: training must be a JSON object"),
        (metadata_of(BASELINE, evaluation="5"), "cannot be used: evaluation must be a JSON object"),
        (metadata_of(BASELINE, calibration="[]"), "cannot be used: calibration must be a JSON object"),
        (metadata_of(BASELINE, training="{}"), "header of .* cannot be used: 'trained'"),
        (metadata_of(BASELINE, training=None), "header of .* cannot be used: 'training'"),
        (metadata_of(BASELINE, config=None), "header of .* cannot be used: 'config'"),
        (metadata_of(BASELINE, fingerprint=None), "header of .* cannot be used: 'fingerprint'"),
        (metadata_of(BASELINE), "the tensors of .* do not fit its config"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(metadata: dict[str, str], reason: str, tmp_path: Path) -> None:
    safetensors.torch.save_file(TENSORS, tmp_path / "model", metadata)
    with pytest.raises(CheckpointError, match=reason):
        load_checkpoint(tmp_path / "model")


@pytest.mark.parametrize("change", ["missing", "surplus", "reshaped"])
def test_the_tensors_must_be_exactly_the_networks(change: str, path: Path) -> None:
    tensors, metadata = parts_of(path)
    if change == "missing":
        del tensors["layer4.1.bn2.bias"]
    else:
        tensors["layer4.1.bn2.bias" if change == "reshaped" else "head.weight"] = torch.zeros(7)
    metadata["fingerprint"] = compute_fingerprint(metadata["config"], metadata["preprocessing"], tensors)
    safetensors.torch.save_file(tensors, path, metadata)
    with pytest.raises(CheckpointError, match=r"(?s)do not fit its config.*(layer4\.1\.bn2\.bias|head\.weight)"):
        load_checkpoint(path)


@pytest.mark.parametrize("interruption", [OSError("no space left"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    interruption: BaseException, network: Network, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def fail_halfway(tensors: dict[str, Tensor], filename: Path, metadata: dict[str, str]) -> None:
        assert Path(filename).parent == path.parent  # a rename is atomic within one file system
        Path(filename).write_bytes(b"half a file")
        raise interruption

    monkeypatch.setattr(safetensors.torch, "save_file", fail_halfway)
    with pytest.raises(type(interruption)):
        save_checkpoint(path, network, Preprocessing(96), TRAINING)
    with pytest.raises(type(interruption)):
        annotate_checkpoint(path, evaluation={"map": 1.0})
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_fsync_leaves_no_file(network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        save_checkpoint(tmp_path / "model", network, Preprocessing(), TRAINING)
    assert not list(tmp_path.iterdir())


def test_folders_are_made_and_others_may_read_the_file(network: Network, tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "model.safetensors"
    save_checkpoint(path, network, Preprocessing(), TRAINING)
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(path.parent.iterdir()) == [path]


def test_canonical_json_is_one_text_per_value() -> None:
    assert canonical_json({"b": [1, 2.5], "a": "Größe"}) == '{"a":"Größe","b":[1,2.5]}'
    assert canonical_json({"x": 1, "a": {"d": 1, "c": 2}}) == canonical_json({"a": {"c": 2, "d": 1}, "x": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json(float("inf"))


def test_a_foreign_file_is_not_annotated(tmp_path: Path) -> None:
    safetensors.torch.save_file({"weight": torch.zeros(3)}, tmp_path / "foreign")
    before = (tmp_path / "foreign").read_bytes()
    with pytest.raises(CheckpointError, match="not a checkpoint of this program"):
        annotate_checkpoint(tmp_path / "foreign", evaluation={"cmc": {"1": 1.0}})
    assert (tmp_path / "foreign").read_bytes() == before


# --- configurations that older programs wrote

OLD_CONFIGS = [
    # The header of the first shipped checkpoint.
    '{"aligned":"input","architecture":"sanet","backbone":"resnet18","bn_eps":1e-05,"num_parts":2,"padding":"zeros",'
    '"stride":"3x3","transform":"rotation","unit_length":true}',
    '{"architecture":"sanet","backbone":"resnet18","bn_eps":1e-05,"num_parts":1,"padding":"border","stride":"3x3",'
    '"transform":"affine"}',
    '{"architecture":"baseline","backbone":"resnet18","bn_eps":0.001,"stride":"3x3"}',
]


@pytest.mark.parametrize("config_json", OLD_CONFIGS)
def test_an_older_checkpoint_is_the_same_model(config_json: str, tmp_path: Path) -> None:
    config = config_from_dict(json.loads(config_json))
    original = build_network(config, Preprocessing(64)).eval()
    preprocessing_json = canonical_json(Preprocessing(64).to_dict())
    tensors = original.state_dict()
    fingerprint = compute_fingerprint(config_json, preprocessing_json, tensors)
    metadata = {"format": FORMAT, "config": config_json, "preprocessing": preprocessing_json}
    metadata |= {"fingerprint": fingerprint, "training": canonical_json(TRAINING)}
    safetensors.torch.save_file(tensors, tmp_path / "old.safetensors", metadata)

    checkpoint = load_checkpoint(tmp_path / "old.safetensors")

    assert checkpoint.card.fingerprint == fingerprint
    assert config_to_dict(checkpoint.card.config).items() >= json.loads(config_json).items()
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(checkpoint.network(images).embedding, original(images).embedding)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_rebuilds_itself_and_embeds_the_same(name: str, tmp_path: Path) -> None:
    original = build_network(ARCHITECTURES[name]("resnet18", unit_length=True), Preprocessing(64)).eval()
    fingerprint = save_checkpoint(tmp_path / "c.safetensors", original, Preprocessing(64), TRAINING)
    loaded = load_checkpoint(tmp_path / "c.safetensors")
    assert type(loaded.network) is type(original)
    assert loaded.card.config == original.config
    assert loaded.card.fingerprint == fingerprint
    assert json.loads(canonical_json(config_to_dict(loaded.card.config)))["architecture"] == name
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(loaded.network(images).embedding, original(images).embedding)
    # Half the bytes, another fingerprint, nearly the same answers.
    assert halve_checkpoint(tmp_path / "c.safetensors", tmp_path / "half.safetensors") != fingerprint
    with torch.no_grad():
        halved = load_checkpoint(tmp_path / "half.safetensors").network(images).embedding
        torch.testing.assert_close(halved, original(images).embedding, rtol=0.05, atol=0.01)


def test_more_columns_than_the_image_has_are_refused(tmp_path: Path) -> None:
    config = SANetConfig("resnet18", num_parts=0, transform="rotation", aligned="input", num_columns=9)
    save_checkpoint(tmp_path / "wide", build_network(config), Preprocessing(64), TRAINING)
    with pytest.raises(CheckpointError, match=r"wide do not fit: num_columns must be at most 4 .* got 9"):
        load_checkpoint(tmp_path / "wide")
