import csv
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index.datasets.manifest import Entry, Role, write_manifest
from index.datasets.protocol import CameraRule, Protocol
from model.box import Box
from model.checkpoint import load_checkpoint, read_card
from model.embedder import Embedder
from model.image import read_image
from tests.conftest import png
from tests.training.runs import ROOT, evaluate_main, write_vehicles
from training import evaluate as evaluate_module

NUM_IDENTITIES, NUM_VIEWS = 5, 4
KEYS = {
    "refinement",
    "num_draws",
    "dataset", "dataset_fingerprint", "split", "camera_rule", "cmc", "map", "minp", "intervals", "intervals_over",
    "num_queries", "num_query_identities", "num_unmatched", "num_gallery", "num_distractors", "num_junk",
    "evaluated_at", "warnings", "cmc_curve", "model", "precision", "device", "runtime",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder per identity; its pictures are so noisy that the checkpoint does not find them all."""
    return write_vehicles(tmp_path_factory.mktemp("data") / "vehicles", NUM_IDENTITIES, NUM_VIEWS)


def lines(folder: Path) -> list[Entry]:
    """One gallery image of each vehicle from the north, the other views from the south; in turn in two weathers."""
    found = []
    for number, path in enumerate(sorted(folder.rglob("*.png"))):
        role: Role = "gallery" if path.stem == "0" else "query"
        camera = "north" if role == "gallery" else "south"
        further = {"weather": ["sun", "rain"][number % 2], "site": "a"}
        name = str(path.relative_to(folder))
        found.append(Entry(name, path.parent.name, camera, role, "test", further=further))
    return found


def manifest(folder: Path, name: str, entries: list[Entry], rule: CameraRule = "none") -> Path:
    write_manifest(folder / f"{name}.csv", entries, Protocol(name, rule))
    return folder / f"{name}.csv"


@pytest.fixture(scope="module")
def checkpoint(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a network that turns what it sees; not to be changed."""
    path = tmp_path_factory.mktemp("checkpoints") / "small.safetensors"
    shutil.copy(small_checkpoint, path)
    return path


def evaluated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> dict[str, Any]:
    """The one JSON object that is printed."""
    capsys.readouterr()
    assert evaluate_main(monkeypatch, *arguments, "--device", "cpu", "--quiet", "--json") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.count("\n") == 1
    result: dict[str, Any] = json.loads(printed.out)
    return result


def failed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The reason, in one line, for which there are no figures; above it may stand warnings."""
    capsys.readouterr()
    assert evaluate_main(monkeypatch, *arguments, "--quiet") == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    *warnings, reason = printed.err.splitlines()
    assert all(warning.startswith("training.evaluate: warning: ") for warning in warnings)
    assert reason.startswith("training.evaluate: ")
    return reason


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The reason, in one line, of wrong arguments."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        evaluate_main(monkeypatch, *arguments)
    assert exit_.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (reason,) = printed.err.splitlines()
    assert reason.startswith("python -m training.evaluate: error: ")
    return reason.removesuffix("; see --help")


def by_hand(checkpoint: Path, folder: Path, queries: list[Entry], gallery: list[Entry]) -> tuple[list[int], float]:
    """With one true match per query: the rank of each query's match, and mAP, which is the mean of their inverses."""
    embedder = Embedder(load_checkpoint(checkpoint))
    crops = [read_image(folder / entry.path) for entry in queries + gallery]
    # One at a time: nothing depends on batches.
    vectors = [embedder.embed([crop]).embedding[0].astype("float64") for crop in crops]
    ranks = []
    for query, vector in zip(queries, vectors, strict=False):
        distances = [float(((vector - other) ** 2).sum()) for other in vectors[len(queries) :]]
        (match,) = (d for d, entry in zip(distances, gallery, strict=True) if entry.identity == query.identity)
        ranks.append(sum(distance <= match for distance in distances))
    return ranks, sum(1 / rank for rank in ranks) / len(ranks)


# --- figures


def test_the_figures_are_those_that_one_computes_by_hand(
    checkpoint: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = evaluated(monkeypatch, capsys, "--checkpoint", checkpoint, "--data", folder)
    every = lines(folder)
    queries = [entry for entry in every if entry.role == "query"]
    ranks, mean_average_precision = by_hand(checkpoint, folder, queries, [e for e in every if e.role == "gallery"])
    cmc = {str(rank): sum(found <= rank for found in ranks) / len(ranks) for rank in (1, 5, 10)}
    assert 0 < cmc["1"] < 1
    assert result.keys() == KEYS
    assert result["cmc"] == pytest.approx(cmc)
    assert result["map"] == result["minp"] == pytest.approx(mean_average_precision)
    assert (result["num_queries"], result["num_gallery"]) == (NUM_IDENTITIES * (NUM_VIEWS - 1), NUM_IDENTITIES)
    assert (result["num_unmatched"], result["num_distractors"], result["num_junk"]) == (0, 0, 0)
    assert (result["dataset"], result["split"], result["camera_rule"]) == ("vehicles", "", "none")
    assert (result["model"], result["precision"], result["device"]) == (
        read_card(checkpoint).fingerprint,
        "float32",
        "cpu",
    )
    assert result["cmc_curve"][-1] == 1.0
    for name, value in (("cmc1", result["cmc"]["1"]), ("map", result["map"])):
        low, high = result["intervals"][name]
        assert 0 <= low <= value <= high <= 1
    no_role, few = result["warnings"]
    assert no_role.startswith("no image has a role: the first of each identity is its gallery image")
    assert few.startswith(f"the queries are of {NUM_IDENTITIES} vehicles only")


def test_a_folder_and_its_manifest_have_the_same_figures(
    checkpoint: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = manifest(folder, "by-hand", [Entry(e.path, e.identity, "", e.role) for e in lines(folder)])
    first = evaluated(monkeypatch, capsys, "--checkpoint", checkpoint, "--data", folder)
    second = evaluated(monkeypatch, capsys, "--checkpoint", checkpoint, "--data", data)
    for name in ("cmc", "cmc_curve", "map", "minp", "intervals", "num_queries", "num_gallery", "dataset_fingerprint"):
        assert first[name] == second[name]
    assert second["dataset"] == "by-hand"
    assert second["warnings"] == first["warnings"][-1:]
    assert second["warnings"][0].startswith(f"the queries are of {NUM_IDENTITIES} vehicles only")


def test_what_a_folder_has_besides_images_and_repeated_lines_are_warnings(
    checkpoint: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shutil.copytree(folder, tmp_path / "vehicles", ignore=shutil.ignore_patterns("*.csv", "*.json"))
    first = evaluated(monkeypatch, capsys, "--checkpoint", checkpoint, "--data", data)
    (data / "vehicle0" / "notes.txt").write_text("text")
    second = evaluated(monkeypatch, capsys, "--checkpoint", checkpoint, "--data", data)
    assert set(second["warnings"]) - set(first["warnings"]) == {
        "files in no format that is read, left out: 1 (vehicle0/notes.txt)"
    }
    twice = manifest(data, "twice", lines(data) + [replace(line, path=f"./{line.path}") for line in lines(data)])
    once = evaluated(monkeypatch, capsys, "--checkpoint", checkpoint, "--data", manifest(data, "once", lines(data)))
    third = evaluated(monkeypatch, capsys, "--checkpoint", checkpoint, "--data", twice)
    (warning,) = set(third["warnings"]) - set(once["warnings"])
    assert warning.startswith("lines that repeat another")
    assert warning.endswith(f": {NUM_IDENTITIES * NUM_VIEWS}")
    for name in ("cmc_curve", "map", "minp", "intervals", "num_queries", "num_gallery", "dataset_fingerprint"):
        assert once[name] == third[name]


def test_twice_is_the_same_but_for_the_time(
    checkpoint: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    first, second = (
        evaluated(monkeypatch, capsys, "--checkpoint", checkpoint, "--data", folder, "--ranks", "1,2,3") for _ in "ab"
    )
    for result in (first, second):
        assert before <= datetime.fromisoformat(result.pop("evaluated_at")) <= datetime.now(UTC)
    assert first == second


def test_the_data_set_is_known_by_its_bytes(
    checkpoint: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = shutil.copytree(folder, tmp_path / "vehicles")
    first = evaluated(monkeypatch, capsys, "--checkpoint", checkpoint, "--data", folder)
    assert (
        evaluated(monkeypatch, capsys, "--checkpoint", checkpoint, "--data", moved)["dataset_fingerprint"]
        == (first["dataset_fingerprint"])
    )
    (moved / "vehicle0" / "1.png").write_bytes(png(77))
    assert (
        evaluated(monkeypatch, capsys, "--checkpoint", checkpoint, "--data", moved)["dataset_fingerprint"]
        != (first["dataset_fingerprint"])
    )


def test_any_ranks_can_be_asked_for(
    checkpoint: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = evaluated(monkeypatch, capsys, "--checkpoint", checkpoint, "--data", folder, "--ranks", "2,1,50")
    assert list(result["cmc"]) == ["2", "1", "50"]
    assert result["cmc"]["1"] <= result["cmc"]["2"] <= result["cmc"]["50"] == 1.0
    assert result["cmc"]["2"] == result["cmc_curve"][1]


def test_without_json_there_is_a_table(
    checkpoint: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--checkpoint", checkpoint, "--data", folder, "--ranks", "1,2", "--device", "cpu")
    result = evaluated(monkeypatch, capsys, *arguments)
    assert evaluate_main(monkeypatch, *arguments, "--quiet") == 0
    printed = capsys.readouterr().out.splitlines()
    low, high = result["intervals"]["cmc1"]
    assert printed[0] == "vehicles: 15 queries, 5 gallery images"
    assert printed[1].split() == ["CMC-1", f"{result['cmc']['1']:.2%}", f"[{low:.2%},", f"{high:.2%}]"]
    assert printed[2].split() == ["CMC-2", f"{result['cmc']['2']:.2%}"]
    low, high = result["intervals"]["map"]
    assert printed[3].split() == ["mAP", f"{result['map']:.2%}", f"[{low:.2%},", f"{high:.2%}]"]
    assert printed[4].split() == ["mINP", f"{result['minp']:.2%}"]
    assert printed[5] == "in brackets: 95 % intervals over 5 identities"
    assert printed[6:] == [f"note: {warning}" for warning in result["warnings"]]


def test_bf16_is_another_numeric_path(
    checkpoint: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = evaluated(monkeypatch, capsys, "--checkpoint", checkpoint, "--data", folder, "--precision", "bf16")
    assert result["precision"] == "bf16"


# --- what the figures are made of


def test_without_being_asked_for_nothing_is_written(
    checkpoint: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    evaluated(monkeypatch, capsys, "--checkpoint", checkpoint, "--data", folder)
    assert list(tmp_path.iterdir()) == []


def test_embeddings_and_queries_are_written_beside_the_same_figures(
    checkpoint: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ("--checkpoint", checkpoint, "--data", folder)
    arrays, table = tmp_path / "new" / "arrays", tmp_path / "queries.csv"  # whatever it is called
    plain = evaluated(monkeypatch, capsys, *common)
    result = evaluated(monkeypatch, capsys, *common, "--export", arrays, "--per-query", table)
    assert plain | {"evaluated_at": ""} == result | {"evaluated_at": ""}
    every = lines(folder)
    queries = [entry for entry in every if entry.role == "query"]
    gallery = [entry for entry in every if entry.role == "gallery"]
    ranks, _ = by_hand(checkpoint, folder, queries, gallery)
    with np.load(arrays, allow_pickle=False) as file:
        exported = dict(file)
    assert json.loads(str(exported["figures"])) == result
    assert exported["path"].tolist() == [entry.path for entry in queries + gallery]
    assert exported["match_rank"].tolist() == ranks
    embedder = Embedder(load_checkpoint(checkpoint))
    for row in (0, 7, 19):
        alone = embedder.embed([read_image(folder / str(exported["path"][row]))])
        np.testing.assert_allclose(exported["embedding"][row], alone.embedding[0], atol=1e-4)
        np.testing.assert_allclose(exported["theta"][row], alone.theta[0], atol=1e-4)
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["query"] for row in rows] == [entry.path for entry in queries]
    assert [int(row["rank"]) for row in rows] == ranks
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["arrays", "new", "queries.csv"]


def test_both_files_are_there_or_none(
    checkpoint: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "a.npz").write_text("of yesterday")
    monkeypatch.setattr(evaluate_module, "write_query_table", full)
    files = ("--export", tmp_path / "a.npz", "--per-query", tmp_path / "b.csv")
    model = Path(shutil.copy(checkpoint, tmp_path / "model.safetensors"))
    reason = failed(monkeypatch, capsys, "--checkpoint", model, "--data", folder, *files, "--annotate")
    assert "No space left on device" in reason
    assert {path.name for path in tmp_path.iterdir()} == {"a.npz", "model.safetensors"}
    assert (tmp_path / "a.npz").read_text() == "of yesterday"
    assert read_card(model).evaluation is None


@pytest.mark.parametrize("flag", ["--export", "--per-query"])
def test_a_file_that_cannot_be_meant_is_refused_before_anything_is_embedded(
    flag: str, checkpoint: Path, folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(evaluate_module, "embed_task", None)
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "pipe")
    data = manifest(folder, "refused", lines(folder))
    other = "--per-query" if flag == "--export" else "--export"
    common = ("--checkpoint", checkpoint, "--data", data)
    wrong: list[tuple[object, tuple[object, ...], str]] = [
        (tmp_path / "folder", (), "this is a folder; name a file"),
        (tmp_path / "link", (), "this is a link or a device; name a file"),
        (tmp_path / "pipe", (), "this is a link or a device; name a file"),
        (checkpoint, (), "this is the file of --checkpoint; name another"),
        (checkpoint.parent / ".." / checkpoint.parent.name / checkpoint.name, (), "this is the file of --checkpoint"),
        (data, (), "this is the file of --data; name another"),
        (tmp_path / "both", (other, tmp_path / "folder" / ".." / "both"), "this is the file of --"),
        (tmp_path / "a", ("--claim", "R1=0.5,mAP=0.5"), "leave out --claim and --submission"),
        (tmp_path / "a", ("--submission", tmp_path / "b"), "leave out --claim and --submission"),
        ("", (), "a path was expected, and it is empty"),
    ]
    for path, others, reason in wrong:
        assert reason in refused(monkeypatch, capsys, *common, flag, path, *others)
    assert {path.name for path in tmp_path.rglob("*")} == {"folder", "link", "pipe"}


def test_the_manifest_of_a_folder_is_not_overwritten(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "manifest.csv").write_text("path,identity\n")
    arguments = ("--checkpoint", checkpoint, "--data", tmp_path, "--per-query", tmp_path / "manifest.csv")
    assert "this is the file of --data" in refused(monkeypatch, capsys, *arguments)
    assert (tmp_path / "manifest.csv").read_text() == "path,identity\n"


# --- the question


def test_where_picks_lines(
    checkpoint: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = manifest(folder, "weather", lines(folder))
    common = ("--checkpoint", checkpoint, "--data", data, "--where")
    result = evaluated(monkeypatch, capsys, *common, "weather=sun", "--where", "site=a")
    assert (result["num_queries"], result["num_gallery"]) == (NUM_IDENTITIES, NUM_IDENTITIES)
    # All first views have seen the sun.
    assert "the split 'test' has 10 query and 0 gallery images" in failed(monkeypatch, capsys, *common, "weather=rain")
    assert "weather has the values 'rain', 'sun'" in failed(monkeypatch, capsys, *common, "weather=snow")
    assert "a condition is column=value" in failed(monkeypatch, capsys, *common, "colour=red")
    assert "a condition is column=value" in failed(monkeypatch, capsys, *common, "weather")


def test_a_split_can_be_chosen(
    checkpoint: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    every = lines(folder)
    first_two = ("vehicle0", "vehicle1")
    entries = [Entry(e.path, e.identity, e.camera, e.role, "val" if e.identity in first_two else "test") for e in every]
    common = ("--checkpoint", checkpoint, "--data", manifest(folder, "splits", entries))
    assert [evaluated(monkeypatch, capsys, *common, "--split", split)["num_queries"] for split in ("val", "test")] == [
        6,
        9,
    ]
    assert evaluated(monkeypatch, capsys, *common)["split"] == "test"
    assert "the split 'dev' has 0 query and 0 gallery images" in failed(monkeypatch, capsys, *common, "--split", "dev")


def test_the_camera_rule_can_be_chosen(
    checkpoint: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # A second gallery image from the queries' own camera: only the rule none takes it as a match.
    entries = [
        Entry(e.path, e.identity, e.camera, "gallery" if e.path.endswith(("0.png", "1.png")) else "query")
        for e in lines(folder)
    ]
    common = ("--checkpoint", checkpoint, "--data", manifest(folder, "cameras", entries))
    none = evaluated(monkeypatch, capsys, *common, "--camera-rule", "none")
    same = evaluated(monkeypatch, capsys, *common, "--camera-rule", "same_camera")
    assert (none["camera_rule"], same["camera_rule"]) == ("none", "same_camera")
    assert none["num_gallery"] == same["num_gallery"] == 10
    assert none["dataset_fingerprint"] != same["dataset_fingerprint"]
    assert none["map"] != same["map"]
    assert evaluated(monkeypatch, capsys, *common)["map"] == none["map"]
    own_rule = manifest(folder, "cameras", entries, "same_camera")
    assert evaluated(monkeypatch, capsys, "--checkpoint", checkpoint, "--data", own_rule)["map"] == same["map"]
    without = [Entry(e.path, e.identity, "", e.role) for e in entries]
    data = manifest(folder, "no-cameras", without, "same_camera")
    assert "have no camera" in failed(monkeypatch, capsys, "--checkpoint", checkpoint, "--data", data)


def test_what_lies_there_can_be_said(
    checkpoint: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = [entry for entry in lines(folder) if entry.identity != "vehicle0"]
    manifest(folder, "manifest", entries)
    common = ("--checkpoint", checkpoint, "--data", folder)
    found = {
        name: evaluated(monkeypatch, capsys, *common, "--dataset", name)["num_gallery"]
        for name in ("auto", "folder", "manifest")
    }
    (folder / "manifest.csv").unlink()
    (folder / "manifest.json").unlink()
    assert found == {"auto": 4, "folder": 5, "manifest": 4}


# --- the checkpoint's card


def test_annotate_writes_the_result_into_the_card_and_changes_nothing_else(
    checkpoint: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(shutil.copy(checkpoint, tmp_path / "model.safetensors"))
    evaluated(monkeypatch, capsys, "--checkpoint", path, "--data", folder)
    assert path.read_bytes() == checkpoint.read_bytes()
    result = evaluated(monkeypatch, capsys, "--checkpoint", path, "--data", folder, "--annotate")
    before, after = read_card(checkpoint), load_checkpoint(path).card
    assert before.evaluation is None
    assert after.evaluation == result
    assert after.fingerprint == before.fingerprint == result["model"]
    assert after.training == before.training
    again = evaluated(monkeypatch, capsys, "--checkpoint", path, "--data", folder, "--annotate", "--ranks", "3")
    assert read_card(path).evaluation == again
    assert list(again["cmc"]) == ["3"]
    assert list(again["reranked"]["cmc"]) == ["3"]


def test_annotate_notes_what_re_ranking_would_make_of_it(
    checkpoint: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(shutil.copy(checkpoint, tmp_path / "model.safetensors"))
    common = ("--checkpoint", path, "--data", folder)
    plain = evaluated(monkeypatch, capsys, *common, "--annotate")
    reranked = evaluated(monkeypatch, capsys, *common, "--rerank", "--annotate")
    assert plain["reranked"] == {"cmc": reranked["cmc"], "map": reranked["map"]}
    assert "reranked" not in reranked


# --- claims


def test_a_claim_that_one_match_per_query_rules_out_is_impossible(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = failed(monkeypatch, capsys, "--data", folder, "--claim", "R1=0.965,mAP=0.919")
    assert "CMC-1 0.9650 above mAP 0.9190 is impossible where every query has one true match" in reason
    assert "were query and gallery swapped?" in reason


def test_a_claim_is_possible_if_some_ranking_has_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate_main(monkeypatch, "--data", folder, "--claim", "R1=0.919, mAP=0.965") == 0
    assert capsys.readouterr().out == "possible: at most 1 true matches per query\n"
    # With more matches, if only of some vehicles, R1 may well lie above mAP.
    entries = [
        Entry(e.path, e.identity, role="query" if e.path.endswith("0.png") else "gallery")
        for e in lines(folder)
        if e.identity != "vehicle0" or e.path.endswith(("0.png", "1.png"))
    ]
    data = manifest(folder, "many", entries)
    assert evaluate_main(monkeypatch, "--data", data, "--claim", "mAP=0.919,R1=0.965") == 0
    assert capsys.readouterr().out == "possible: at most 3 true matches per query\n"
    assert evaluate_main(monkeypatch, "--data", data, "--claim", "R1=0.3,mAP=0.4,mINP=0.6") == 0
    assert "mINP" in failed(monkeypatch, capsys, "--data", data, "--claim", "R1=0.3,mAP=0.4,mINP=0.61")
    assert "mINP" in failed(monkeypatch, capsys, "--data", folder, "--claim", "R1=0.5,mAP=0.7,mINP=0.6")


@pytest.mark.parametrize(
    "claim",
    [
        "",
        "R1=0_1,mAP=0.9",
        "R1=0.9",
        "mAP=0.9",
        "R1=0.9,mAP=high",
        "R1=96.5,mAP=91.9",
        "R1=nan,mAP=0.9",
        "R1=1,mAP=1,R5=1",
    ],
)
def test_a_claim_that_cannot_be_read_is_a_wrong_argument(
    claim: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "argument --claim: " in refused(monkeypatch, capsys, "--data", folder, "--claim", claim)


# --- wrong arguments, and no figures


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "--checkpoint is required, unless a claim is judged"),
        (("--ranks", "0"), "argument --ranks: ranks start at 1, got 0"),
        (("--ranks", "one"), "argument --ranks: "),
        (("--ranks", "1,1_0"), "argument --ranks: a whole number in the digits 0-9 was expected, not '1_0'"),
        (("--expand", "\u0661"), "argument --expand: a whole number in the digits 0-9 was expected"),
        (("--rerank-k1", " 5"), "argument --rerank-k1: a whole number in the digits 0-9 was expected, not ' 5'"),
        (("--rerank-weight", "nan"), "argument --rerank-weight: a number such as 50.25 was expected, not 'nan'"),
        (("--split-seed", "1_0"), "argument --split-seed: a whole number in the digits 0-9 was expected, not '1_0'"),
        (("--ranks", ""), "argument --ranks: "),
        (("--camera-rule", "any"), "argument --camera-rule: invalid choice"),
        (("--precision", "int8"), "argument --precision: invalid choice"),
        (("--dataset", "no-such"), "argument --dataset: invalid choice"),
        (("--pace", "3"), "unrecognized arguments: --pace 3"),
    ],
)
def test_wrong_arguments_are_exit_code_2(
    arguments: tuple[str, ...],
    reason: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert reason in refused(monkeypatch, capsys, "--data", folder, *arguments)


@pytest.mark.parametrize("device", ["abacus", "cuda:one"])
def test_a_device_that_does_not_exist_is_a_wrong_argument(
    device: str, checkpoint: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--checkpoint", checkpoint, "--data", folder, "--device", device, "--quiet")
    assert device in refused(monkeypatch, capsys, *arguments)


def test_a_gpu_that_is_not_there_is_a_wrong_argument(
    checkpoint: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    arguments = ("--checkpoint", checkpoint, "--data", folder, "--device", "cuda")
    assert "torch finds no GPU here" in refused(monkeypatch, capsys, *arguments)


def test_help_tells_every_flag(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        evaluate_main(monkeypatch, "--help")
    assert exit_.value.code == 0
    printed = capsys.readouterr().out
    flags = "checkpoint data dataset split where camera-rule ranks device precision annotate claim quiet json"
    for flag in flags.split():
        assert f"--{flag}" in printed


def test_what_cannot_be_read_is_exit_code_1(
    checkpoint: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ("--checkpoint", checkpoint)
    assert "there is nothing at" in failed(monkeypatch, capsys, *model, "--data", tmp_path / "absent")
    absent = ("--checkpoint", tmp_path / "absent", "--data", folder)
    assert f"there is no checkpoint at {tmp_path / 'absent'}" in failed(monkeypatch, capsys, *absent)
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(checkpoint.read_bytes()[:5000])
    assert "torn.safetensors" in failed(monkeypatch, capsys, "--checkpoint", torn, "--data", folder)


def test_an_image_or_box_that_cannot_be_used_is_exit_code_1_and_named(
    checkpoint: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shutil.copytree(folder, tmp_path / "vehicles")
    common = ("--checkpoint", checkpoint, "--data")
    entries = lines(data)
    entries[1] = Entry(entries[1].path, entries[1].identity, role="query", split="test", box=Box(900, 0, 9, 9))
    reason = failed(monkeypatch, capsys, *common, manifest(data, "boxes", entries))
    assert str(data / entries[1].path) in reason
    assert "the box 900,0,9,9 lies outside" in reason
    damaged = (data / "vehicle1" / "2.png").read_bytes()[:200]
    (data / "vehicle1" / "2.png").write_bytes(damaged)
    reason = failed(monkeypatch, capsys, *common, data)
    assert reason.startswith(f"training.evaluate: {data / 'vehicle1' / '2.png'}: the image is damaged")
    (data / "vehicle1" / "2.png").write_bytes(b"no image")
    reason = failed(monkeypatch, capsys, *common, manifest(data, "all", lines(data)))
    assert reason.startswith(f"training.evaluate: {data / 'vehicle1' / '2.png'}: the file is not a JPEG, PNG")
    (data / "vehicle1" / "2.png").unlink()
    assert "2.png" in failed(monkeypatch, capsys, *common, manifest(data, "absent", lines(folder)))


def test_no_query_is_exit_code_1(
    checkpoint: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = manifest(folder, "gallery", [entry for entry in lines(folder) if entry.role == "gallery"])
    assert "no line of the manifest has the role query" in failed(
        monkeypatch, capsys, "--checkpoint", checkpoint, "--data", data
    )


def test_the_command_is_a_module(folder: Path) -> None:
    command = ("-m", "training.evaluate", "--data", folder, "--claim", "R1=0.965,mAP=0.919")
    result = subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (1, "")
    *_, reason = result.stderr.splitlines()
    assert reason.startswith("training.evaluate: CMC-1 0.9650 above mAP 0.9190 is impossible")


# --- real frames


def test_real_frames_can_be_evaluated(
    checkpoint: Path, uav_frames: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--checkpoint", checkpoint, "--data", uav_frames, "--where", "stationary=0")
    result = evaluated(monkeypatch, capsys, *arguments)
    assert (result["num_queries"], result["num_gallery"]) == (312, 79)
    assert 1 / 79 < result["cmc"]["1"] <= result["cmc"]["5"] <= result["cmc"]["10"] <= 1
    assert result["map"] >= result["minp"] > 0
