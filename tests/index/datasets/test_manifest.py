import csv
import dataclasses
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.datasets.manifest import (
    Entry,
    Manifest,
    ManifestError,
    ManifestLines,
    UnusableLine,
    read_manifest,
    read_usable_lines,
    write_manifest,
)
from index.datasets.protocol import Protocol, ProtocolError
from model.box import Box

PROTOCOL = Protocol("odd", "same_camera", 1, {"k": [1, "ü"]})
ODD = [
    "",
    "plain",
    "ä é 😀 车",
    'say "red"',
    '"',
    "'",
    "a,b;c\td",
    "two\nlines",
    "\n",
    "dos\r\nlines",
    " spaces ",
    "\ufeffmark",
    "\u2028\u2029\x85\x1c\x0b",  # what str.splitlines takes for line ends
    "\x00",
    "None",
    "=1+1",
    "#",
]
RETURN = "old\rmac"


def written(tmp_path: Path, text: str | bytes, name: str = "manifest.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(tmp_path: Path, text: str | bytes) -> str:
    path = written(tmp_path, text)
    with pytest.raises(ManifestError) as raised:
        read_manifest(path)
    return str(raised.value).replace(str(path), "FILE")


def manifest(*entries: Entry) -> Manifest:
    return Manifest(Path("/data"), entries, PROTOCOL)


@pytest.mark.parametrize("text", [*ODD, RETURN])
def test_any_text_comes_back_in_every_column(tmp_path: Path, text: str) -> None:
    entry = Entry(
        path=text or "path",
        identity=text,
        camera=text,
        role="query",
        split=text,
        captured_at=text,
        box=Box(-1, 2, 30, 40),
        further={"stationary": text, "löng, name\n": text},
    )
    others = [Entry("before", further=dict.fromkeys(entry.further, "")), Entry("after", further=dict(entry.further))]
    write_manifest(tmp_path / "m.csv", [others[0], entry, others[1]], PROTOCOL)
    assert read_manifest(tmp_path / "m.csv") == Manifest(tmp_path, (others[0], entry, others[1]), PROTOCOL)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=6)
entries_of_any_kind = st.builds(
    Entry,
    path=texts.filter(bool),
    identity=texts,
    camera=texts,
    role=st.sampled_from([None, "train", "query", "gallery", "junk", "distractor"]),
    split=texts,
    captured_at=texts,
    box=st.none() | st.builds(Box, *[st.integers(-(10**6), 10**6)] * 2, *[st.integers(1, 10**6)] * 2),
    further=st.fixed_dictionaries({"speed": texts, "Weather": texts}),
)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.lists(entries_of_any_kind, min_size=1, max_size=5))
def test_any_entries_come_back(tmp_path_factory: pytest.TempPathFactory, entries: list[Entry]) -> None:
    path = tmp_path_factory.mktemp("any") / "m.csv"
    write_manifest(path, entries, PROTOCOL)
    assert read_manifest(path).entries == tuple(entries)


def test_the_file_is_a_plain_csv_and_the_protocol_lies_beside_it(tmp_path: Path) -> None:
    entries = [
        Entry("a.png", "7", "c1", "train", "train", "2026-05-01", Box(1, 2, 3, 4), {"z": "1", "b": "2"}),
        Entry("b.png", further={"a": "x"}),
    ]
    write_manifest(tmp_path / "deep" / "m.csv", iter(entries), PROTOCOL)
    assert (tmp_path / "deep" / "m.csv").read_bytes().decode() == (
        "path,identity,camera,role,split,captured_at,box,a,b,z\n"
        'a.png,7,c1,train,train,2026-05-01,"1,2,3,4",,2,1\n'
        "b.png,,,,,,,x,,\n"
    )
    assert {path.name for path in (tmp_path / "deep").iterdir()} == {"m.csv", "m.json"}
    assert Protocol.read(tmp_path / "deep" / "m.json") == PROTOCOL


def test_a_failure_leaves_the_old_manifest(tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.csv", [Entry("old.png", "1")], PROTOCOL)
    with pytest.raises(ManifestError):
        write_manifest(tmp_path / "m.csv", [Entry("new.png", "2"), Entry("\ud800")], PROTOCOL)
    assert [entry.path for entry in read_manifest(tmp_path / "m.csv").entries] == ["old.png"]
    assert {path.name for path in tmp_path.iterdir()} == {"m.csv", "m.json"}


def test_without_its_protocol_no_csv_appears(tmp_path: Path) -> None:
    with pytest.raises(UnicodeEncodeError):
        write_manifest(tmp_path / "m.csv", [Entry("new.png", "2")], Protocol("\ud800"))
    assert list(tmp_path.iterdir()) == []


def test_only_path_and_identity_are_needed_in_any_order(tmp_path: Path) -> None:
    read = read_manifest(written(tmp_path, "identity,path\n7,a.png\n,b.png\n"))
    assert read.entries == (Entry("a.png", "7"), Entry("b.png"))
    assert read.folder == tmp_path
    assert read.path_of(read.entries[1]) == tmp_path / "b.png"


def test_every_column_is_read_wherever_it_stands(tmp_path: Path) -> None:
    text = 'colour,box,split,role,captured_at,camera,identity,path\nred,"1,2,3.4,4",val,junk,noon,c2,9,a/b.png\n'
    (entry,) = read_manifest(written(tmp_path, text)).entries
    assert entry == Entry("a/b.png", "9", "c2", "junk", "val", "noon", Box(1, 2, 3, 4), {"colour": "red"})


@pytest.mark.parametrize("role", ["train", "query", "gallery", "junk", "distractor", ""])
def test_every_role_is_known(tmp_path: Path, role: str) -> None:
    (entry,) = read_manifest(written(tmp_path, f"path,identity,role\na,1,{role}\n")).entries
    assert entry.role == (role or None)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffpath,identity\na.png,7\nb.png,8\n",
        "path,identity\r\na.png,7\r\nb.png,8\r\n",
        "path,identity\ra.png,7\rb.png,8\r",
        "path,identity\na.png,7\nb.png,8",
        '"path","identity"\n"a.png","7"\n\n"b.png",8\n\n\n',
    ],
    ids=["byte order mark", "of Windows", "of an old Mac", "no line end", "quotes and empty lines"],
)
def test_a_csv_of_any_program_is_read(tmp_path: Path, text: str) -> None:
    assert read_manifest(written(tmp_path, text)).entries == (Entry("a.png", "7"), Entry("b.png", "8"))


@pytest.mark.parametrize(
    "text",
    ["", "\n", "path\na\n", "identity\n1\n", "Path,identity\na,1\n", "path, identity\na,1\n", "path;identity\na;1\n"],
)
def test_a_file_without_the_columns_is_no_manifest(tmp_path: Path, text: str) -> None:
    message = refusal(tmp_path, text)
    assert message.startswith(
        "FILE is no manifest: expected a CSV whose first line names the columns path and identity"
    )
    assert message.endswith(f"got {', '.join(text.splitlines()[0].split(',')) if text.strip() else ''!r}")


@pytest.mark.parametrize("header", ["path,identity,path", "path,identity,colour,colour"])
def test_a_column_that_is_there_twice_is_refused(tmp_path: Path, header: str) -> None:
    message = refusal(tmp_path, f"{header}\n1,2,3,4\n")
    assert message.startswith("FILE is no manifest")
    assert message.endswith(f"each once; got {header.replace(',', ', ')!r}")


@pytest.mark.parametrize("line", ["a.png", "a.png,1,query,extra", "a.png,1,query,", ",,,,"])
def test_a_line_of_another_length_than_the_header_is_refused_by_its_number(tmp_path: Path, line: str) -> None:
    message = refusal(tmp_path, f"path,identity,role\nb.png,1,query\n{line}\nc.png,1,query\n")
    assert message == "FILE, line 3: it has not as many fields as the header"


@pytest.mark.parametrize("role", ["Query", "probe", "query ", "None"])
def test_an_unknown_role_is_refused_by_its_line(tmp_path: Path, role: str) -> None:
    message = refusal(tmp_path, f"path,identity,role\na.png,1,query\n\nb.png,1,{role}\n")
    assert (
        message == f"FILE, line 4: role must be one of train, query, gallery, junk, distractor or empty, got {role!r}"
    )


def test_an_empty_path_is_refused_by_its_line(tmp_path: Path) -> None:
    assert refusal(tmp_path, 'path,identity\n"a\nb",1\n,2\n') == "FILE, line 4: the path is empty"


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ("1,2,3", "a box is four numbers x,y,w,h in pixels, not '1,2,3'"),
        ("1,2,x,4", "a box is four numbers x,y,w,h in pixels, not '1,2,x,4'"),
        ("1,2,0,4", "a box needs a width and a height above 0, not '1,2,0,4'"),
        (" ", "a box is four numbers x,y,w,h in pixels, not ' '"),
    ],
)
def test_a_wrong_box_is_refused_by_its_line(tmp_path: Path, box: str, message: str) -> None:
    assert refusal(tmp_path, f'path,identity,box\na,1,\nb,1,"{box}"\n') == f"FILE, line 3: {message}"


def test_a_manifest_without_lines_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, "path,identity\n\n") == "the manifest FILE has no line below its header"


@pytest.mark.parametrize(
    "text",
    [b"path,identity\n\xff.png,1\n", 'path,identity\n"a.png,1\n', 'path,identity\n"a"b,1\n'],
    ids=["not UTF-8", "quote without end", "text after a quote"],
)
def test_what_is_no_csv_in_utf_8_is_refused(tmp_path: Path, text: str | bytes) -> None:
    assert refusal(tmp_path, text).startswith("FILE, line 2: it is no CSV in UTF-8: ")


def test_a_field_longer_than_a_csv_may_have_is_refused(tmp_path: Path) -> None:
    limit = csv.field_size_limit()
    assert len(read_manifest(written(tmp_path, f"path,identity\n{'a' * limit},1\n")).entries[0].path) == limit
    assert "line 2: it is no CSV in UTF-8: field larger" in refusal(tmp_path, f"path,identity\n{'a' * (limit + 1)},1\n")


def test_a_missing_manifest_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as raised:
        read_manifest(tmp_path / "m.csv")
    assert str(raised.value) == f"there is no manifest at {tmp_path / 'm.csv'}"
    with pytest.raises(ManifestError, match=f"there is no manifest at {tmp_path / 'manifest.csv'}"):
        read_manifest(tmp_path)
    written(tmp_path, "path,identity\na,1\n")
    assert read_manifest(tmp_path).entries == read_manifest(tmp_path / "manifest.csv").entries


def test_the_protocol_of_the_same_name_is_read_and_no_other(tmp_path: Path) -> None:
    path = written(tmp_path, "path,identity\na,1\n", "val.csv")
    (tmp_path / "manifest.json").write_text(Protocol("other", "same_camera").to_json())
    assert read_manifest(path).protocol == Protocol("val")
    (tmp_path / "val.json").write_text(PROTOCOL.to_json())
    assert read_manifest(path).protocol == PROTOCOL


def test_a_broken_protocol_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path, "path,identity\na,1\n")
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(ProtocolError, match=r"manifest\.json is no protocol"):
        read_manifest(path)


@pytest.mark.parametrize(
    ("name", "dataset"), [("manifest.csv", "UAV-Test"), ("val.csv", "val"), ("val.v2.csv", "val.v2")]
)
def test_a_data_set_without_a_name_is_called_after_its_file_or_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, dataset: str
) -> None:
    folder = tmp_path / "UAV-Test"
    write_manifest(folder / name, [Entry("a", "1")], Protocol(camera_rule="same_camera"))
    assert read_manifest(folder / name).protocol == Protocol(dataset, "same_camera")
    monkeypatch.chdir(folder)
    assert read_manifest(Path(name)).protocol.dataset == dataset


def test_any_column_of_an_entry_is_a_text() -> None:
    entry = Entry("a", "1", role="query", box=Box(1, 2, 3, 4), further={"colour": "red"})
    columns = ["path", "identity", "camera", "role", "split", "captured_at", "box", "colour", "weight"]
    assert [entry.column(name) for name in columns] == ["a", "1", "", "query", "", "", "1,2,3,4", "red", ""]
    assert [Entry("a").column(name) for name in ("role", "box")] == ["", ""]


def test_an_entry_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Entry("a").path = "b"  # type: ignore[misc]


RED = Entry("1", "7", "c1", "query", "test", further={"colour": "red", "note": "a=b"})
BLUE = Entry("2", "7", "c2", "gallery", "test", further={"colour": "blue", "note": ""})
BARE = Entry("3", "8", "c1", None, "train")
ALL = manifest(RED, BLUE, BARE)


def test_values_are_counted_with_the_empty_ones() -> None:
    assert ALL.count("identity") == Counter({"7": 2, "8": 1})
    assert ALL.count("role") == Counter({"query": 1, "gallery": 1, "": 1})
    assert ALL.count("colour") == Counter({"red": 1, "blue": 1, "": 1})


def test_keep_leaves_order_folder_and_protocol() -> None:
    assert ALL.keep(lambda entry: entry.camera == "c1") == manifest(RED, BARE)
    assert ALL.keep(lambda entry: False) == manifest()


@pytest.mark.parametrize(
    ("conditions", "kept"),
    [
        ([], (RED, BLUE, BARE)),
        (["camera=c1"], (RED, BARE)),
        (["camera=c1", "identity=7"], (RED,)),
        (["identity=7", "colour=blue"], (BLUE,)),
        (["colour="], (BARE,)),
        (["role="], (BARE,)),
        (["role=query"], (RED,)),
        (["note=a=b"], (RED,)),
        (["note="], (BLUE, BARE)),
        (["path=2"], (BLUE,)),
        (["box="], (RED, BLUE, BARE)),
    ],
    ids=str,
)
def test_where_keeps_what_fulfils_every_condition(conditions: list[str], kept: tuple[Entry, ...]) -> None:
    assert ALL.where(conditions) == manifest(*kept)
    assert ALL.where(iter(reversed(conditions))) == manifest(*kept)


@pytest.mark.parametrize("condition", ["", "camera", "c1", "Camera=c1", " camera=c1", "weight=3", "=c1"])
def test_a_condition_on_no_column_is_refused_with_the_columns(condition: str) -> None:
    with pytest.raises(ManifestError) as raised:
        ALL.where(["identity=7", condition])
    assert str(raised.value) == (
        "a condition is column=value, the column one of box, camera, captured_at, colour, identity, note, path, role, "
        f"split; got {condition!r}"
    )


@pytest.mark.parametrize("conditions", [["camera=c9"], ["camera=C1"], ["identity=7", "camera=c1 c"]], ids=str)
def test_a_condition_that_nothing_fulfils_is_refused_with_the_values(conditions: list[str]) -> None:
    with pytest.raises(ManifestError) as raised:
        ALL.where(conditions)
    assert str(raised.value) == f"no line fulfils {conditions[-1]!r}: camera has the values 'c1', 'c2'"


def test_conditions_that_no_line_fulfils_together_are_refused() -> None:
    with pytest.raises(ManifestError, match="no line fulfils 'identity=8'"):
        ALL.where(["split=test", "identity=8"])


def test_only_ten_values_are_named() -> None:
    many = manifest(*(Entry(f"{i:02d}") for i in range(30)))
    with pytest.raises(ManifestError) as raised:
        many.where(["path=x"])
    assert str(raised.value).endswith("has the values " + ", ".join(f"'{i:02d}'" for i in range(10)))


# One vehicle, however its name is written.


@pytest.mark.parametrize("written_so", ["Zo\u00eb", "Zoe\u0308", " Zo\u00eb", "Zoe\u0308\t", "\u3000Zo\u00eb\n"])
@pytest.mark.parametrize("column", ["identity", "camera", "split"])
def test_names_are_compared_composed_and_without_spaces_around(tmp_path: Path, column: str, written_so: str) -> None:
    text = f'path,identity,camera,split\n"a","{written_so}","{written_so}","{written_so}"\nb,c,d,e\n'
    read = read_manifest(written(tmp_path, text))
    assert read.entries[0].column(column) == "Zo\u00eb"
    for condition in (f"{column}=Zo\u00eb", f"{column}=Zoe\u0308", f"{column}={written_so}"):
        assert read.where([condition]).entries == read.entries[:1]


def test_paths_are_kept_as_they_are_written(tmp_path: Path) -> None:
    (entry,) = read_manifest(written(tmp_path, "path,identity\n Zoe\u0308/./a.png,1\n")).entries
    assert entry.path == " Zoe\u0308/./a.png"


@pytest.mark.parametrize(
    ("on_disk", "asked"),
    [("Zoe\u0308.png", "Zo\u00eb.png"), ("Zo\u00eb.png", "Zoe\u0308.png"), ("\u00e9/a.png", "e\u0301/a.png")],
)
def test_a_file_whose_name_has_the_other_unicode_form_is_found(tmp_path: Path, on_disk: str, asked: str) -> None:
    (tmp_path / on_disk).parent.mkdir(exist_ok=True)
    (tmp_path / on_disk).write_bytes(b"there")
    found = Manifest(tmp_path, (), PROTOCOL)
    assert found.path_of(Entry(asked)) == tmp_path / on_disk
    assert found.path_of(Entry(on_disk)) == tmp_path / on_disk
    assert found.path_of(Entry("\u00fc.png")) == tmp_path / "\u00fc.png"
    (tmp_path / asked).parent.mkdir(exist_ok=True)
    (tmp_path / asked).write_bytes(b"both")
    assert found.path_of(Entry(asked)) == tmp_path / asked


def test_a_name_too_long_for_a_file_is_a_path_like_any_other() -> None:
    assert manifest().path_of(Entry("\u00e9" * 3000)) == Path("/data") / ("\u00e9" * 3000)


# Files that were joined, and lines that cannot be used.


def test_a_repeated_header_is_left_out_with_a_warning(tmp_path: Path) -> None:
    read = read_manifest(written(tmp_path, "path,identity\na,1\npath,identity\nb,2\n\ufeffpath,identity\n"))
    assert [entry.path for entry in read.entries] == ["a", "b"]
    assert read.warnings == ("lines that repeat the header, as in files that were joined, left out: 2",)
    assert read.where(["identity=2"]).warnings == read.keep(lambda entry: True).warnings == read.warnings


def test_an_entry_knows_its_line(tmp_path: Path) -> None:
    read = read_manifest(written(tmp_path, 'path,identity\n"a\nb",1\n\nc,2\n'))
    assert [(entry.line, entry.place) for entry in read.entries] == [(2, "a\nb (line 2)"), (5, "c (line 5)")]
    assert Entry("c", "2").place == "c"


BAD = (
    b"path,identity,role,box\n"
    b"a.png,1,gallery,\n"
    b"b.png,1,gallery\n"
    b"c.png,1,gallery,,\n"
    b"d.png,1,probe,\n"
    b",1,gallery,\n"
    b'e.png,1,gallery,"1,2,x,4"\n'
    b"f\xff.png,1,gallery,\n"
    b'"g"h.png,1,gallery,\n'
    b"\n"
    b'i.png,1,query,"1,2,30,40"\n'
    b'"j.png,1,gallery,\n'
    b"k.png,1,gallery,\n"
)


def test_a_line_that_cannot_be_used_is_left_out_alone(tmp_path: Path) -> None:
    read, unusable = read_usable_lines(written(tmp_path, BAD))
    assert read.entries == (
        Entry("a.png", "1", role="gallery"),
        Entry("i.png", "1", role="query", box=Box(1, 2, 30, 40)),
    )
    assert [line for line, *_ in unusable] == [3, 4, 5, 6, 7, 8, 9, 12]
    reasons = ["not as many fields", "not as many fields", "role must be", "path is empty", "a box is four numbers"]
    reasons += ["no CSV in UTF-8", "no CSV in UTF-8", "no CSV in UTF-8: unexpected end of data (up to line 13)"]
    for (*_, found), reason in zip(unusable, reasons, strict=True):
        assert reason in found
    assert [path for _, path, _ in unusable][:3] == ["b.png", "c.png", "d.png"]


def test_the_strict_reader_refuses_the_whole_file_and_names_the_first_line(tmp_path: Path) -> None:
    assert refusal(tmp_path, BAD) == "FILE, line 3: it has not as many fields as the header"


def test_an_enrolment_needs_no_column_but_the_path(tmp_path: Path) -> None:
    read, unusable = read_usable_lines(written(tmp_path, "path,colour\na.png,red\n"))
    assert (read.entries, unusable) == ((Entry("a.png", further={"colour": "red"}),), [])
    with pytest.raises(ManifestError, match="the columns path \\(and identity, camera, role"):
        read_usable_lines(written(tmp_path, "file,identity\na.png,1\n"))


def test_a_file_of_unusable_lines_alone_is_read_and_an_empty_one_refused(tmp_path: Path) -> None:
    read, unusable = read_usable_lines(written(tmp_path, "path,identity\n,1\n"))
    assert (read.entries, len(unusable)) == ((), 1)
    with pytest.raises(ManifestError, match="has no line below its header"):
        read_usable_lines(written(tmp_path, "path,identity\n"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_a_file_in_another_encoding_is_refused(tmp_path: Path, encoding: str) -> None:
    assert refusal(tmp_path, "path,identity\na.png,1\n".encode(encoding)).startswith("FILE")


@pytest.mark.parametrize("column", ["Role", " camera", "SPLIT ", "Box", "Draws", "captured_At"])
def test_a_misspelt_column_is_refused_because_the_figures_would_be_others(tmp_path: Path, column: str) -> None:
    meant = column.strip().lower()
    message = refusal(tmp_path, f"path,identity,{column}\na.png,1,\n")
    assert message.startswith(f"FILE: the column {column!r} is not called {meant!r}: rename it")


def test_a_line_of_spaces_is_an_empty_line(tmp_path: Path) -> None:
    path = written(tmp_path, "path,identity\na.png,7\n  \n\t\nb.png,8\n \n")
    assert read_manifest(path).entries == (Entry("a.png", "7"), Entry("b.png", "8"))


def test_a_path_with_a_nul_is_refused_where_the_file_is_asked_for(tmp_path: Path) -> None:
    entry = Entry("a\0.png", "7", line=2)
    with pytest.raises(ManifestError) as raised:
        Manifest(tmp_path, (entry,), PROTOCOL).path_of(entry)
    assert str(raised.value).startswith("a\\0.png (line 2): the path has a NUL character")


def test_a_file_name_that_is_no_utf8_is_not_written_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be written into a manifest: its name is not in UTF-8"):
        write_manifest(tmp_path / "m.csv", [Entry("a"), Entry("\udce9.png")], PROTOCOL)
    assert list(tmp_path.iterdir()) == []


def test_lines_are_read_one_by_one_as_often_as_one_likes(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    path.write_text("path,identity\na.png,1\nb.png\npath,identity\nc.png,3\n")
    opened: list[str] = []

    def opener(name: str, flags: int) -> int:
        opened.append(name)
        return os.open(name, flags)

    lines = ManifestLines(tmp_path, opener=opener)
    for _ in range(2):
        first, second, third = lines
        assert (first, third) == (Entry("a.png", "1"), Entry("c.png", "3"))
        assert second == UnusableLine(3, "b.png", "it has not as many fields as the header")
        assert lines.warnings == ("lines that repeat the header, as in files that were joined, left out: 1",)
    assert opened == [str(path)] * 2
    before = iter(lines)
    path.write_text("path,identity\n" + "x.png,1\n" * 3 + "y" * 2_000_000)
    assert next(before) == Entry("x.png", "1")
    with pytest.raises(ManifestError, match="it has a line of 1,000,000 characters or more"):
        list(before)


def test_what_is_no_manifest_is_quoted_in_part(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    path.write_text(",".join(f"column{i}" for i in range(10_000)) + "\n")
    with pytest.raises(ManifestError, match=r"column1, .*\.\.\.'") as error:
        read_manifest(path)
    assert len(str(error.value)) < 700
