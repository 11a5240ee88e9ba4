import json
import random

import pytest

from index.embedded.snapshot.manifest import MadeFor, Manifest, ManifestError, Piece, SavedBlock, SavedFolding

MANIFEST = Manifest(
    MadeFor("f" * 64, "bf16", 2560, 65_536),
    32_768,
    SavedFolding(328, "000003.folding", "c" * 32),
    (
        SavedBlock(
            90,
            (Piece(10, "000001.keys", "a" * 32), Piece(4, "000004.keys", "d" * 32)),
            (Piece(14, "000002.vectors", "b" * 32),),
            (),
        ),
        SavedBlock(95, (Piece(1, "000005.keys", ""),), (Piece(1, "000006.vectors", ""),), (Piece(1, "7.folded", ""),)),
    ),
)


@pytest.mark.parametrize("manifest", [MANIFEST, Manifest(MadeFor("", "", 1, 1), 5, None, ())])
def test_a_manifest_comes_back(manifest: Manifest) -> None:
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_it_counts_rows_and_names_files() -> None:
    assert [block.num_rows for block in MANIFEST.blocks] == [14, 1]
    numbers = {name.split(".")[0] for name in MANIFEST.names}
    assert numbers == {"000001", "000002", "000003", "000004", "000005", "000006", "7"}


def test_every_other_text_is_damaged_or_says_the_same() -> None:
    text = MANIFEST.to_json()
    rng = random.Random(1)
    for _ in range(300):
        at = rng.randrange(len(text))
        changed = text[:at] + chr(ord(text[at]) ^ (1 << rng.randrange(7))) + text[at + 1 :]
        try:
            assert Manifest.from_json(changed) == MANIFEST
        except ManifestError:
            continue
    for length in range(0, len(text), 7):
        with pytest.raises(ManifestError):
            Manifest.from_json(text[:length])


@pytest.mark.parametrize("text", ["", "[]", "null", '{"snapshot": 1}', "[" * 100_000, '"\\ud800"'])
def test_what_is_no_manifest_is_damaged(text: str) -> None:
    with pytest.raises(ManifestError):
        Manifest.from_json(text)


def test_that_of_another_version_is_none() -> None:
    contents = json.loads(MANIFEST.to_json())["snapshot"] | {"format": "sanet-snapshot-2", "new": 1}
    from index.embedded.snapshot import manifest

    text = json.dumps({"snapshot": contents, "xxh3_128": manifest._checksum(contents)})
    assert Manifest.from_json(text) is None
