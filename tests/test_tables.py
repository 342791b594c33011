import gzip
import io
import os
import sys
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from chainrule.app import tables
from chainrule.app.tables import STDIN, TableFile, require_writable, write_table
from chainrule.errors import TableError

FRAME = pl.DataFrame({"name": ["Zoë", "Ægir", None], "size": [1.5, None, -20.25], "rooms": [3, 4, 5]})
PLAIN = FRAME.write_csv()


def zstandard(content):
    return bytes(pa.Codec("zstd").compress(content))


def written(path, content):
    path.write_bytes(content)
    return path


WAYS = {
    "commas": lambda folder: written(folder / "t.csv", PLAIN.encode()),
    "tabs": lambda folder: written(folder / "t.tsv", PLAIN.replace(",", "\t").encode()),
    "semicolons": lambda folder: written(folder / "t.csv", PLAIN.replace(",", ";").encode()),
    "bars": lambda folder: written(folder / "t.txt", PLAIN.replace(",", "|").encode()),
    "decimal commas": lambda folder: written(folder / "t.csv", PLAIN.replace(",", ";").replace(".", ",").encode()),
    "lines of Windows": lambda folder: written(folder / "t.csv", PLAIN.replace("\n", "\r\n").encode()),
    "a byte order mark": lambda folder: written(folder / "t.csv", PLAIN.encode("utf-8-sig")),
    "UTF-16": lambda folder: written(folder / "t.csv", PLAIN.encode("utf-16")),
    "Windows-1252": lambda folder: written(folder / "t.csv", PLAIN.encode("cp1252")),
    "gzip": lambda folder: written(folder / "t.csv.gz", gzip.compress(PLAIN.encode())),
    "gzip of Windows-1252": lambda folder: written(folder / "t.csv.gz", gzip.compress(PLAIN.encode("cp1252"))),
    "Zstandard": lambda folder: written(folder / "t.csv.zst", zstandard(PLAIN.encode())),
    "Parquet": lambda folder: FRAME.write_parquet(folder / "t.parquet") or folder / "t.parquet",
    "Arrow": lambda folder: FRAME.write_ipc(folder / "t.arrow") or folder / "t.arrow",
    "Feather": lambda folder: FRAME.write_ipc(folder / "t.feather") or folder / "t.feather",
    "JSON lines": lambda folder: FRAME.write_ndjson(folder / "t.jsonl") or folder / "t.jsonl",
    "Arrow's stream": lambda folder: FRAME.write_ipc_stream(folder / "t.arrow") or folder / "t.arrow",
    "lines of old Macs": lambda folder: written(folder / "t.csv", PLAIN.replace("\n", "\r").encode()),
    "blanks around": lambda folder: written(folder / "t.csv", PLAIN.replace(",", " , ").encode()),
    "gzip without its ending": lambda folder: written(folder / "t.csv", gzip.compress(PLAIN.encode())),
    "no gzip with its ending": lambda folder: written(folder / "t.csv.gz", PLAIN.encode()),
    "Parquet that is called CSV": lambda folder: FRAME.write_parquet(folder / "t.csv") or folder / "t.csv",
    "capitals": lambda folder: written(folder / "T.CSV", PLAIN.encode()),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_table_is_the_same_however_it_is_written(way, tmp_path):
    source = TableFile(WAYS[way](tmp_path))
    assert source.read().equals(FRAME)


@pytest.mark.parametrize("way", WAYS)
def test_in_parts_it_is_the_same_too(way, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "BATCH_ROWS", 2)
    whole = pl.concat(TableFile(WAYS[way](tmp_path)).batches())
    assert whole["name"].to_list() == FRAME["name"].to_list()
    assert whole["size"].cast(pl.Float64).to_list() == FRAME["size"].to_list()
    assert whole["rooms"].cast(pl.Int64).to_list() == FRAME["rooms"].to_list()


def test_what_was_not_plain_is_told(tmp_path):
    assert TableFile(WAYS["commas"](tmp_path)).notices == []
    assert TableFile(WAYS["Windows-1252"](tmp_path)).notices == [
        "t.csv is not UTF-8; it is read as Windows-1252, Western European"
    ]
    assert TableFile(WAYS["decimal commas"](tmp_path)).notices == ["t.csv writes decimals with a comma"]
    assert TableFile(WAYS["blanks around"](tmp_path)).notices == [
        "t.csv has blanks around its cells; they are taken off"
    ]
    assert TableFile(WAYS["Parquet that is called CSV"](tmp_path)).notices == [
        "t.csv is no CSV file but Parquet, and read as that"
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x,y\n1,2\n3\n4,5\n6\n", "2 lines have too few cells, the first is line 3"),
        ('x,y\n"1,0",2\n"3,0"\n', "1 line has too few cells, the first is line 3"),
        ('x,y\n"1\n0",2\n', None),
        ("x,y\n\n1,2\n\n", None),
    ],
)
def test_lines_that_end_too_soon_are_told(content, message, tmp_path):
    source = TableFile(written(tmp_path / "t.csv", content.encode()))
    source.read()
    expected = [] if message is None else [f"t.csv: {message}; what they lack counts as missing"]
    assert source.notices == expected


@pytest.mark.parametrize(
    ("kind", "way"),
    [("csv", "semicolons"), ("csv", "gzip"), ("csv", "Parquet"), ("parquet", "Parquet"), ("jsonl", "JSON lines")],
)
def test_standard_input_is_a_table_too(kind, way, tmp_path, monkeypatch):
    content = WAYS[way](tmp_path).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    source = TableFile(STDIN, kind)
    assert source.read().equals(FRAME)
    assert pl.concat(source.batches())["name"].to_list() == FRAME["name"].to_list()


def test_the_first_word_of_a_column_may_stand_in_its_last_row(tmp_path):
    file = written(tmp_path / "t.csv", b"x\n" + b"1\n" * 5000 + b"one\n")
    assert TableFile(file).read()["x"][-1] == "one"


def test_a_header_alone_is_a_table_of_no_rows(tmp_path):
    source = TableFile(written(tmp_path / "t.csv", b"x,y\n"))
    assert source.read().shape == (0, 2)
    assert [frame.columns for frame in source.batches()] == [["x", "y"]]


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.parquet", "t.arrow", "t.feather", "t.jsonl", "t.ndjson"])
def test_what_is_written_in_parts_is_read_back_whole(name, tmp_path):
    write_table(FRAME.iter_slices(2), tmp_path / name)
    assert TableFile(tmp_path / name).read().equals(FRAME)


def test_a_table_that_fails_on_the_way_is_not_half_written(tmp_path):
    def parts():
        yield FRAME
        raise TableError("row 4")

    with pytest.raises(TableError, match="row 4"):
        write_table(parts(), tmp_path / "t.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x,y\n1,2\n3,4,5\n", "line 3 has 3 cells, and the header names 2 columns"),
        (b'x,y\n1,"2\n3,4\n', "t.csv cannot be read as CSV"),
        (b"x,y,x\n1,2,3\n", "t.csv must name its columns differently, got 'x' is there twice"),
        (b"PK\x03\x04...", "t.csv is an Excel workbook or another zip file; save the table as CSV"),
        (gzip.compress(b"x,y\n1,2\n" * 500, mtime=0)[:30], "t.csv cannot be read as CSV"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(content, message, tmp_path):
    with pytest.raises(TableError, match=message):
        TableFile(written(tmp_path / "t.csv", content)).read()


def test_a_place_that_cannot_be_written_is_found_before_the_work(tmp_path):
    require_writable(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
    os.mkfifo(tmp_path / "pipe")
    places = {
        tmp_path: "is a folder",
        tmp_path / "pipe": "is a pipe or a device; name a file",
        tmp_path / "no/new": "there is no folder",
        Path("/proc/new"): "cannot be written",
    }
    for place, message in places.items():
        with pytest.raises(TableError, match=message):
            require_writable(place)
