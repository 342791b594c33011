import gc
import gzip
import io
import os
import sys
import tempfile
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from chainrule.app import tables
from chainrule.app.paths import STDIN, require_writable
from chainrule.app.tables import TableFile, write_table
from chainrule.errors import TableError
from fuzz_model_file import GOLDEN

FRAME = pl.DataFrame({"name": ["Zoë", "Ægir", None], "size": [1.5, None, -20.25], "rooms": [3, 4, 5]})
PLAIN = FRAME.write_csv()


def zstandard(content):
    return bytes(pa.Codec("zstd").compress(content))


def write(path, content):
    path.write_bytes(content)
    return path


FORMATS = {
    "commas": lambda folder: write(folder / "t.csv", PLAIN.encode()),
    "tabs": lambda folder: write(folder / "t.tsv", PLAIN.replace(",", "\t").encode()),
    "semicolons": lambda folder: write(folder / "t.csv", PLAIN.replace(",", ";").encode()),
    "bars": lambda folder: write(folder / "t.txt", PLAIN.replace(",", "|").encode()),
    "decimal commas": lambda folder: write(folder / "t.csv", PLAIN.replace(",", ";").replace(".", ",").encode()),
    "Windows line ends": lambda folder: write(folder / "t.csv", PLAIN.replace("\n", "\r\n").encode()),
    "a byte order mark": lambda folder: write(folder / "t.csv", PLAIN.encode("utf-8-sig")),
    "UTF-16": lambda folder: write(folder / "t.csv", PLAIN.encode("utf-16")),
    "Windows-1252": lambda folder: write(folder / "t.csv", PLAIN.encode("cp1252")),
    "gzip": lambda folder: write(folder / "t.csv.gz", gzip.compress(PLAIN.encode())),
    "gzip, Windows-1252": lambda folder: write(folder / "t.csv.gz", gzip.compress(PLAIN.encode("cp1252"))),
    "Zstandard": lambda folder: write(folder / "t.csv.zst", zstandard(PLAIN.encode())),
    "Parquet": lambda folder: FRAME.write_parquet(folder / "t.parquet") or folder / "t.parquet",
    "Arrow": lambda folder: FRAME.write_ipc(folder / "t.arrow") or folder / "t.arrow",
    "Feather": lambda folder: FRAME.write_ipc(folder / "t.feather") or folder / "t.feather",
    "JSON lines": lambda folder: FRAME.write_ndjson(folder / "t.jsonl") or folder / "t.jsonl",
    "Arrow stream": lambda folder: FRAME.write_ipc_stream(folder / "t.arrow") or folder / "t.arrow",
    "old Mac line ends": lambda folder: write(folder / "t.csv", PLAIN.replace("\n", "\r").encode()),
    "padded cells": lambda folder: write(folder / "t.csv", PLAIN.replace(",", " , ").encode()),
    "gzip without its suffix": lambda folder: write(folder / "t.csv", gzip.compress(PLAIN.encode())),
    "not gzip, with its suffix": lambda folder: write(folder / "t.csv.gz", PLAIN.encode()),
    "Parquet with the suffix of CSV": lambda folder: FRAME.write_parquet(folder / "t.csv") or folder / "t.csv",
    "uppercase suffix": lambda folder: write(folder / "T.CSV", PLAIN.encode()),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_table(name, tmp_path):
    source = TableFile(FORMATS[name](tmp_path))
    assert source.read().equals(FRAME)


@pytest.mark.parametrize("name", FORMATS)
def test_batches_give_the_same_table(name, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "BATCH_ROWS", 2)
    whole = pl.concat(TableFile(FORMATS[name](tmp_path)).batches())
    assert whole["name"].to_list() == FRAME["name"].to_list()
    assert whole["size"].cast(pl.Float64).to_list() == FRAME["size"].to_list()
    assert whole["rooms"].cast(pl.Int64).to_list() == FRAME["rooms"].to_list()


def test_unusual_properties_give_notices(tmp_path):
    assert TableFile(FORMATS["commas"](tmp_path)).notices == []
    assert TableFile(FORMATS["Windows-1252"](tmp_path)).notices == [
        "t.csv: detected Windows-1252 text (Western European). Override with --encoding."
    ]
    assert TableFile(FORMATS["padded cells"](tmp_path)).notices == ["t.csv: detected whitespace around cells (removed)"]
    assert TableFile(FORMATS["Parquet with the suffix of CSV"](tmp_path)).notices == [
        "t.csv is a Parquet file; reading it as Parquet"
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x,y\n1,2\n3\n4,5\n6\n", "2 lines have too few fields, the first is line 3"),
        ('x,y\n"a,b",2\n"c,d"\n', "1 line has too few fields, the first is line 3"),
        ('x,y\n"1\n0",2\n', None),
        ("x,y\n\n1,2\n\n", None),
    ],
)
def test_lines_with_too_few_fields_give_a_notice(content, message, tmp_path):
    source = TableFile(write(tmp_path / "t.csv", content.encode()))
    source.read()
    expected = [] if message is None else [f"t.csv: {message}; missing fields are treated as empty"]
    assert source.notices == expected


@pytest.mark.parametrize(
    ("kind", "name"),
    [("csv", "semicolons"), ("csv", "gzip"), ("csv", "Parquet"), ("parquet", "Parquet"), ("jsonl", "JSON lines")],
)
def test_standard_input_is_read(kind, name, tmp_path, monkeypatch):
    content = FORMATS[name](tmp_path).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    source = TableFile(STDIN, kind)
    assert source.read().equals(FRAME)
    assert pl.concat(source.batches())["name"].to_list() == FRAME["name"].to_list()


def test_standard_input_is_not_in_memory_and_its_copy_is_deleted(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PLAIN.encode())))
    source = TableFile(STDIN)
    (copy,) = tmp_path.iterdir()
    assert copy.read_bytes() == PLAIN.encode()
    assert source.read().equals(FRAME)
    del source
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_the_first_word_of_a_column_may_be_in_its_last_row(tmp_path):
    file = write(tmp_path / "t.csv", b"x\n" + b"1\n" * 5000 + b"one\n")
    assert TableFile(file).read()["x"][-1] == "one"


def test_a_header_alone_is_a_table_without_rows(tmp_path):
    source = TableFile(write(tmp_path / "t.csv", b"x,y\n"))
    assert source.read().shape == (0, 2)
    assert [frame.columns for frame in source.batches()] == [["x", "y"]]


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.parquet", "t.arrow", "t.feather", "t.jsonl", "t.ndjson"])
def test_batches_are_written_as_one_table(name, tmp_path):
    write_table(FRAME.iter_slices(2), tmp_path / name)
    assert TableFile(tmp_path / name).read().equals(FRAME)


def test_a_table_that_fails_midway_is_not_saved(tmp_path):
    def batches():
        yield FRAME
        raise TableError("row 4")

    with pytest.raises(TableError, match="row 4"):
        write_table(batches(), tmp_path / "t.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x,y\n1,2\n3,4,5\n", "line 3 has 3 fields, but the header has 2 columns"),
        (b'x,y\n1,"2\n3,4\n', "t.csv cannot be read as CSV"),
        (b"x,y,x\n1,2,3\n", "t.csv must have unique column names, got 'x' more than once"),
        (b"PK\x03\x04...", "t.csv is an Excel workbook or another zip archive. Save the table as CSV."),
        ((GOLDEN / "network-1.chainrule").read_bytes(), "t.csv is a model or a checkpoint, not a table"),
        (gzip.compress(b"x,y\n1,2\n" * 500, mtime=0)[:30], "t.csv cannot be read as CSV"),
    ],
)
def test_a_file_that_cannot_be_read_is_reported_with_the_line(content, message, tmp_path):
    with pytest.raises(TableError, match=message):
        TableFile(write(tmp_path / "t.csv", content)).read()


def test_a_path_that_cannot_be_written_is_reported_in_advance(tmp_path):
    require_writable(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
    os.mkfifo(tmp_path / "pipe")
    places = {
        tmp_path: "is a directory, not a file",
        tmp_path / "pipe": "cannot be written: it is not a regular file",
        tmp_path / "no/new": "the directory .* does not exist",
        Path("/proc/new"): "cannot be written",
    }
    for place, message in places.items():
        with pytest.raises(TableError, match=message):
            require_writable(place)
