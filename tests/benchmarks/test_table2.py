import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import experiment
from benchmarks.table2 import __main__ as table2
from benchmarks.table2.cost import measure_cost
from benchmarks.table2.data import with_fewer_identities
from benchmarks.table2.page import summarize, table
from benchmarks.table2.settings import METHODS, SETTINGS
from index.datasets.manifest import Entry, ManifestError, Role, read_manifest, write_manifest
from index.datasets.protocol import Protocol
from model.build import build_network
from model.checkpoint import save_checkpoint
from model.config import BaselineConfig
from model.preprocessing import Preprocessing
from tests.benchmarks.stand_in_programs import StandInPrograms
from training.recipe import RECIPES, Recipe
from training.train import _parser as parser_of_trainer


class Programs(StandInPrograms):
    """Figures at three ranks."""

    def figures(self, name: str, cmc1: float) -> dict[str, Any]:
        return {
            "cmc": {"1": cmc1, "5": cmc1 + 0.1, "10": cmc1 + 0.2},
            "map": 0.6,
            "intervals": {"cmc1": [cmc1 - 0.1, cmc1 + 0.1], "map": [0.5, 0.7]},
            "model": name,
        }


COST = {"num_parameters": 11_200_000, "embedding_dim": 512, "gflop_per_image": 1.25, "images_per_s": 99.6}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """320 training identities and nine of the test."""
    roles: tuple[Role, ...] = ("query", "gallery")
    entries = [Entry(f"{number}.jpg", f"car{number:03}", role="train", split="train") for number in range(320)]
    entries += [
        Entry(f"{role}{number}.jpg", f"other{number}", role=role, split="test") for number in range(9) for role in roles
    ]
    (tmp_path / "data").mkdir()
    write_manifest(tmp_path / "data" / "manifest.csv", entries, Protocol("synth"))
    return tmp_path / "data"


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Programs:
    stand_in = Programs()
    monkeypatch.setattr(experiment, "run", stand_in)
    monkeypatch.setattr(table2, "measure_cost", lambda *_: COST)
    return stand_in


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    monkeypatch.setattr(sys, "argv", ["table2", *map(str, arguments), "--json"])
    assert table2.main() == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_every_method_is_trained_on_the_same_data_with_the_same_budget(
    data: Path,
    tmp_path: Path,
    programs: Programs,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    result = run(monkeypatch, capsys, "--data", data, "--out", tmp_path / "runs", "--setting", "two_cores")
    seeds = SETTINGS["two_cores"].seeds
    assert [(row["method"], row["seed"]) for row in result["rows"]] == [(m, s) for s in seeds for m in METHODS]
    assert len(programs.trained) == len(programs.evaluated) == len(METHODS) * len(seeds)
    shared = set()
    for arguments in programs.trained:
        flags = dict(pairwise(arguments))
        recipe, out = flags.pop("--recipe"), flags.pop("--out")
        assert Path(out).name == f"{recipe}-{flags.pop('--seed')}"
        flags.pop("--heading-steps", None)
        # Pairs of a flag and its value alone: `pairwise` also pairs values with the flags after them.
        shared.add(tuple(sorted((name, value) for name, value in flags.items() if name.startswith("--"))))
    assert len(shared) == 1
    assert dict(shared.pop())["--epochs"] == str(SETTINGS["two_cores"].epochs)
    used = read_manifest(tmp_path / "runs" / "two_cores" / "data.csv")
    assert len({entry.identity for entry in used.entries if entry.role == "train"}) == 300
    assert set(result["headline"]) == set(METHODS)


def test_what_is_there_is_not_done_again(
    data: Path,
    tmp_path: Path,
    programs: Programs,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = (
        "--data",
        data,
        "--out",
        tmp_path / "runs",
        "--setting",
        "gpu",
        "--methods",
        "ram,sanet",
        "--seeds",
        "0,1",
    )
    first = run(monkeypatch, capsys, *arguments)
    assert len(programs.trained) == 4
    (tmp_path / "runs" / "gpu" / "ram-1" / "finished.json").unlink()
    assert run(monkeypatch, capsys, *arguments) == first
    assert len(programs.trained) == 5
    assert "--resume" in programs.trained[-1]
    assert len(programs.evaluated) == 4


def test_a_failed_run_is_reported_and_the_others_go_on(
    data: Path,
    tmp_path: Path,
    programs: Programs,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    programs.failing = "vscr"
    arguments = ("--data", data, "--out", tmp_path, "--setting", "gpu", "--methods", "vscr,scan", "--seeds", "0")
    result = run(monkeypatch, capsys, *arguments)
    assert [("failed" in row, "cost" in row) for row in result["rows"]] == [(True, False), (False, True)]
    assert list(result["headline"]) == ["scan"]


def test_flags_after_two_dashes_go_to_every_run(
    data: Path,
    tmp_path: Path,
    programs: Programs,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["--data", data, "--out", tmp_path, "--quick", "--json", "--", "--trunk-weights", "mine.pth"]
    monkeypatch.setattr(sys, "argv", ["table2", *map(str, arguments)])
    assert table2.main() == 0
    assert len(programs.trained) == len(METHODS)
    for flags in programs.trained:
        # The last one counts.
        assert [value for flag, value in pairwise(flags) if flag == "--trunk-weights"] == ["none", "mine.pth"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--quick", "--methods", "ram,pcb"], "there is no method pcb: choose of scan, ram"),
        ([], "give --setting or --quick, and not both"),
        (["--quick", "--setting", "gpu"], "give --setting or --quick, and not both"),
    ],
)
def test_wrong_arguments_are_refused(
    arguments: list[str],
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["table2", "--data", "d", "--out", str(tmp_path), *arguments])
    with pytest.raises(SystemExit) as stopped:
        table2.main()
    assert stopped.value.code == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("method", METHODS)
def test_the_trainer_takes_every_settings_flags(name: str, method: str) -> None:
    setting = SETTINGS[name]
    flags = [*setting.flags, *setting.of_method.get(method, ())]
    fields = vars(parser_of_trainer().parse_args(["--data", "d", "--out", "o", "--recipe", method, *flags]))
    given = {field: fields[field] for field in Recipe.__dataclass_fields__ if fields[field] is not None}
    recipe = Recipe(**{**vars(RECIPES[method]()), **given})
    assert recipe.size_px == given["size_px"]


def test_fewer_identities_are_the_same_at_every_call_and_their_paths_lead_there(data: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    written = with_fewer_identities(data, 20, None, tmp_path / "elsewhere" / "data.csv")
    manifest = read_manifest(written)
    trained = {entry.identity for entry in manifest.entries if entry.role == "train"}
    assert len(trained) == 20
    assert sorted(trained) != sorted(f"car{number:03}" for number in range(20))
    assert [entry.identity for entry in manifest.entries if entry.role != "train"] == [
        f"other{number // 2}" for number in range(18)
    ]
    assert manifest.protocol.dataset == "synth, 20 training identities"
    entry = manifest.entries[0]
    assert manifest.path_of(entry).resolve() == (data / f"{int(entry.identity[3:])}.jpg").resolve()
    before = written.read_bytes()
    assert with_fewer_identities(data, 20, None, written).read_bytes() == before
    with pytest.raises(ManifestError, match="has 320 identities of the role train, the setting takes 321"):
        with_fewer_identities(data, 321, None, written)
    fewer = read_manifest(with_fewer_identities(data, 2, 3, written))
    assert len({entry.identity for entry in fewer.entries if entry.role == "train"}) == 2
    tested = [entry for entry in fewer.entries if entry.role != "train"]
    assert len(tested) == 6
    assert len({entry.identity for entry in tested}) == 3
    with pytest.raises(ManifestError, match="has 9 identities of the split test, the setting takes 10"):
        with_fewer_identities(data, 2, 10, written)


def test_the_cost_is_that_of_the_served_network(tmp_path: Path) -> None:
    network = build_network(BaselineConfig("resnet18")).eval()
    save_checkpoint(tmp_path / "c.safetensors", network, Preprocessing(64), {"trained": False, "data": None})
    cost = measure_cost(tmp_path / "c.safetensors", "cpu", 1)
    resnet = torchvision.models.resnet18(weights=None).eval()
    resnet.fc = torch.nn.Identity()
    assert cost["num_parameters"] == sum(parameter.numel() for parameter in resnet.parameters())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        resnet(torch.zeros(1, 3, 64, 64))
    assert cost["gflop_per_image"] == pytest.approx(counter.get_total_flops() / 1e9)
    # 3.63 GFLOP at 224 pixels, with two operations for a multiplication and an addition.
    assert cost["gflop_per_image"] == pytest.approx(3.63 * (64 / 224) ** 2, rel=0.02)
    assert cost["embedding_dim"] == 512
    assert cost["images_per_s"] > 0


def test_the_table_has_the_means_of_the_seeds_in_the_papers_order() -> None:
    rows: list[dict[str, Any]] = [
        {"method": "sanet", "seed": 0, "failed": "it did"},
        *[
            {
                "method": method, "seed": seed, "cmc": {"1": cmc1, "5": 0.8, "10": 0.9}, "map": 0.7,
                "cmc1_interval": [cmc1 - 0.04, cmc1 + 0.02], "map_interval": [0.65, 0.75], "cost": COST,
            }
            for method in ("sanet_paper", "ram")
            for seed, cmc1 in enumerate((0.5, 0.6))
        ],
    ]  # fmt: skip
    summaries = summarize(rows)
    assert list(summaries) == ["ram", "sanet_paper"]
    assert summaries["ram"]["num_seeds"] == 2
    assert summaries["ram"]["cmc1_interval"] == pytest.approx([0.51, 0.57])
    _, _, ram, sanet = table(summaries).splitlines()
    assert ram == (
        "| RAM (`ram`) | 55.0 [51.0, 57.0] | 80.0 | 90.0 | 70.0 [65.0, 75.0] | 50.0, 60.0 | 512 | 11.2 M | 1.25 | "
        "100 | 45.3 / 59.4 / 64.1 |"
    )
    assert sanet.startswith("| SANet (`sanet_paper`) |")
