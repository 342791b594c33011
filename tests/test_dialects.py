import re
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chainrule.app import csv_file
from chainrule.app.dialects import Reading, names_in
from chainrule.app.tables import TableFile, with_numbers
from chainrule.errors import TableError

ABC = {"a": [1.5, 2.5, 3.25], "b": ["x", "y", "z"], "c": [1, 2, 3]}
IRIS = {
    "column_1": [5.1, 4.9, 7.0, 6.1],
    "column_2": [3.5, 3.0, 3.2, 3.1],
    "column_3": ["setosa", "setosa", "virginica", "virginica"],
}
DIALECTS = {
    "German with a date": (
        "a;b;c;d\n1,5;x;1;01.03.2024\n2,5;y;2;02.03.2024\n3,25;z;3;03.03.2024\n",
        ABC | {"d": ["01.03.2024", "02.03.2024", "03.03.2024"]},
    ),
    "German with an IP": (
        "a;b;c;d\n1,5;x;1;10.0.0.1\n2,5;y;2;192.168.100.200\n3,25;z;3;192.168.100.201\n",
        ABC | {"d": ["10.0.0.1", "192.168.100.200", "192.168.100.201"]},
    ),
    "German thousands": ("a;b\n1.234,56;1\n2,5;2\n1.234.567,5;3\n", {"a": [1234.56, 2.5, 1234567.5], "b": [1, 2, 3]}),
    "German with a point column": (
        "a;b;c\n1,5;x;0.5\n2,5;y;12.25\n3,25;z;3.0\n",
        {"a": [1.5, 2.5, 3.25], "b": ["x", "y", "z"], "c": [0.5, 12.25, 3.0]},
    ),
    "German whole thousands": (
        "a;b\n1,5;1.234\n2,5;12.345\n3,25;999\n",
        {"a": [1.5, 2.5, 3.25], "b": [1234, 12345, 999]},
    ),
    "quoted decimals": ('a,b,c\n"1,5",x,1\n"2,5",y,2\n"3,25",z,3\n', ABC),
    "quoted thousands with decimal commas": ('a,b\n"1.234,5",x\n"2,5",y\n', {"a": [1234.5, 2.5], "b": ["x", "y"]}),
    "decimal commas with a missing word": (
        "a;b\n1,5;x\nn.a.;y\n2,5;z\n3,5;z\n",
        {"a": ["1.5", "n.a.", "2.5", "3.5"], "b": ["x", "y", "z", "z"]},
    ),
    "quoted header": ('"area, m2, net";"grade"\n1,5;1\n2,5;2\n', {"area, m2, net": [1.5, 2.5], "grade": [1, 2]}),
    "sep=": ("sep=;\na;b;c\n1.5;x;1\n2.5;y;2\n3.25;z;3\n", ABC),
    "sep=|": ("sep=|\r\na|b|c\r\n1.5|x|1\r\n2.5|y|2\r\n3.25|z|3\r\n", ABC),
    "spaces": ("a b c\n1.5 x 1\n2.5 y 2\n3.25 z 3\n", ABC),
    "aligned": ("  a    b  c\n1.5    x  1\n2.5    y  2\n3.25   z  3\n", ABC),
    "no header": ("5.1,3.5,setosa\n4.9,3.0,setosa\n7.0,3.2,virginica\n6.1,3.1,virginica\n", IRIS),
    "no header, all numbers": (
        "5,0,0\n4,0,255\n7,128,0\n",
        {"column_1": [5, 4, 7], "column_2": [0, 0, 128], "column_3": [0, 255, 0]},
    ),
    "years as names": (
        "country,2019,2020,2021\nDE,1.5,2.5,3.5\nFR,2.5,3.5,4.5\n",
        {"country": ["DE", "FR"], "2019": [1.5, 2.5], "2020": [2.5, 3.5], "2021": [3.5, 4.5]},
    ),
    "byte order mark": (b"\xef\xbb\xbfa,b,c\n1.5,x,1\n2.5,y,2\n3.25,z,3\n", ABC),
    "UTF-16 without mark": (
        b"a\x00,\x00b\x00,\x00c\x00\n\x001\x00.\x005\x00,\x00x\x00,\x001\x00\n\x002\x00.\x005\x00,\x00y\x00,\x002\x00\n\x003\x00.\x002\x005\x00,\x00z\x00,\x003\x00\n\x00",
        ABC,
    ),
    "cp1252": (b"a;b\n1,5;Zo\xeb\n2,5;\xc4\n", {"a": [1.5, 2.5], "b": ["Zoë", "Ä"]}),
    "old Mac": ("a,b,c\r1.5,x,1\r2.5,y,2\r3.25,z,3\r", ABC),
    "mixed line ends": ("a,b,c\r\n1.5,x,1\n2.5,y,2\r\n3.25,z,3\n", ABC),
    "comments": ("# made by hand\n# twice\na,b,c\n1.5,x,1\n# half\n2.5,y,2\n3.25,z,3\n", ABC),
    "header with a hash": (
        "#a,b,c\n1.5,x,1\n2.5,y,2\n3.25,z,3\n",
        {"#a": [1.5, 2.5, 3.25], "b": ["x", "y", "z"], "c": [1, 2, 3]},
    ),
    "trailing separators": ("a;b;c;\n1,5;x;1;\n2,5;y;2;\n3,25;z;3;\n", ABC),
    "trailing separators in rows only": ("a;b;c\n1,5;x;1;\n2,5;y;2;\n3,25;z;3;\n", ABC),
    "row names": ("a b c\n1 1.5 x 1\n2 2.5 y 2\n3 3.25 z 3\n", {"": [1, 2, 3]} | ABC),
    "title": ("Sales 2024\n\na,b,c\n1.5,x,1\n2.5,y,2\n3.25,z,3\n", ABC),
    "title with separators": ("Sales 2024;;\n;;\na;b;c\n1,5;x;1\n2,5;y;2\n3,25;z;3\n", ABC),
    "empty lines": ("\n\na,b,c\n\n1.5,x,1\n\n\n2.5,y,2\n3.25,z,3\n\n", ABC),
    "empty lines and quotes": ('\na,b,c\n\n1.5,"x",1\n\n2.5,"y",2\n3.25,z,3\n\n', ABC),
    "quotes in quotes": (
        'a,b,c\n1.5,"x ""q""",1\n2.5,"y, ""z""",2\n',
        {"a": [1.5, 2.5], "b": ['x "q"', 'y, "z"'], "c": [1, 2]},
    ),
    "line ends in quotes": (
        'a,b,c\n1.5,"x\ny",1\n2.5,"y\n\nz",2\n',
        {"a": [1.5, 2.5], "b": ["x\ny", "y\n\nz"], "c": [1, 2]},
    ),
    "inches": (
        'a,b,c\n1.5,5" pipe,1\n2.5,6" pipe,2\n3.5,"7 pipe",3\n',
        {"a": [1.5, 2.5, 3.5], "b": ['5" pipe', '6" pipe', "7 pipe"], "c": [1, 2, 3]},
    ),
    "padded": ("a , b , c\n1.5 , x , 1\n2.5 , y , 2\n3.25, z , 3\n", ABC),
    "padded and quoted": ('a, b, c\n1.5, "x, x", 1\n2.5, "y", 2\n', {"a": [1.5, 2.5], "b": ["x, x", "y"], "c": [1, 2]}),
    "separator in cells": ("a;b\n1;x, y, z\n2;x, y\n3;z\n", {"a": [1, 2, 3], "b": ["x, y, z", "x, y", "z"]}),
    "one column of decimal commas": ("a;b\n1,5;\n2,5;\n3,5;\n", {"a": [1.5, 2.5, 3.5], "b": [None, None, None]}),
    "currency": ("a;b\n1.234,50 €;x\n2,50 €;y\n", {"a": ["1234.50 €", "2.50 €"], "b": ["x", "y"]}),
    "no header, German": ("5,1;3,5;setosa\n4,9;3,0;setosa\n7,0;3,2;virginica\n6,1;3,1;virginica\n", IRIS),
    "tabs and decimal commas": ("a\tb\n1,5\tx\n2,5\ty\n", {"a": [1.5, 2.5], "b": ["x", "y"]}),
    "big integers": (
        "a,b\n12345678901234567890123,1\n12345678901234567890124,2\n",
        {"a": ["12345678901234567890123", "12345678901234567890124"], "b": [1, 2]},
    ),
}


def write(folder, content, name="t.csv"):
    path = Path(folder) / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("name", DIALECTS)
def test_a_table_in_any_dialect_is_read(name, tmp_path):
    content, expected = DIALECTS[name]
    assert TableFile(write(tmp_path, content)).read().to_dict(as_series=False) == expected


@pytest.mark.parametrize("name", DIALECTS)
def test_the_names_of_a_table_of_ascii_are_known_before_it_is_read(name, tmp_path):
    path = write(tmp_path, DIALECTS[name][0])
    is_plain = path.read_bytes().isascii() and b"\0" not in path.read_bytes()
    expected = TableFile(path).read().columns if is_plain else []
    assert list(names_in(path, Reading())) == expected


@pytest.mark.parametrize("block", [8, 100])
@pytest.mark.parametrize("name", DIALECTS)
def test_batches_do_not_depend_on_where_blocks_end(name, block, tmp_path, monkeypatch):
    content, expected = DIALECTS[name]
    whole = pl.concat(TableFile(write(tmp_path, content)).batches())
    source = TableFile(tmp_path / "t.csv")
    monkeypatch.setattr(csv_file, "BLOCK_CHARS", block)
    assert pl.concat(source.batches()).equals(whole)
    assert whole.columns == list(expected)
    numbers = [name for name, cells in expected.items() if {*map(type, cells)} <= {int, float, type(None)}]
    parts = [with_numbers(part, numbers) for part in source.batches(numbers=numbers)]
    assert pl.concat(parts).equals(with_numbers(whole, numbers))


def test_columns_become_floats_until_a_block_has_something_else(tmp_path, monkeypatch):
    cells = ["1.5", "-2.25", " 3.5", "4e3", "", "7.5", "?", "8.5"]
    content = "a,b,c\n" + "".join(f"{cell},{k}.5,0{k}\n" for k, cell in enumerate(cells))
    monkeypatch.setattr(csv_file, "BLOCK_CHARS", 8)
    source = TableFile(write(tmp_path, content))
    parts = list(source.batches(numbers=["a", "b"]))
    kinds = ["".join(str(dtype)[0] for dtype in part.dtypes) for part in parts]
    n_floats = kinds.count("FFS")
    assert kinds == ["SSS", *["FFS"] * n_floats, *["SSS"] * (len(kinds) - 1 - n_floats)]  # the first shows the marks
    assert n_floats >= 3
    assert pl.concat(parts[1 : 1 + n_floats])["a"].to_list() == [-2.25, 3.5, 4000, None, 7.5][:n_floats]
    assert [cell for part in parts[1 + n_floats :] for cell in part["a"]][-2:] == ["?", "8.5"]


@pytest.mark.parametrize(
    ("content", "notice"),
    [
        ("a;b\n1,5;2\n2,5;3\n", "decimal commas in a. Override with --decimal."),
        ("a b\n1 2\n3 4\n", "spaces as separators. Override with --separator."),
        ("1.5,2.5\n1.25,3.5\n", "no header (columns column_1, column_2). Override with --header."),
        ("# made by hand\na,b\n1,2\n", "comments that begin with # (skipped)"),
        ("Sales\n\na,b,c\n1,2,3\n", "1 line above the header (skipped)"),
        ("a;b\n1,5;Zoë\n".encode("cp1252"), "Windows-1252 text (Western European); decimal commas in a. "
         "Override with --encoding, --decimal."),
    ],
)  # fmt: skip
def test_what_was_detected_is_one_notice(content, notice, tmp_path):
    source = TableFile(write(tmp_path, content))
    source.read()
    assert source.notices == [f"t.csv: detected {notice}"]


def test_the_usual_dialects_give_no_notice(tmp_path):
    for content in ("a,b\n1,2\n", "a;b\r\n1.5;x\r\n", "a\tb\n2024-01-01\t1\n", "a|b\n1|2\n"):
        source = TableFile(write(tmp_path, content))
        source.read()
        assert source.notices == []


@pytest.mark.parametrize(
    ("content", "reading", "expected"),
    [
        ("a^b\n1^2\n", Reading(separator="^"), {"a": [1], "b": [2]}),
        ("a;b\n1,5;1.234\n", Reading(decimal="."), {"a": ["1,5"], "b": [1.234]}),
        ("a;b\n1,5;1.234\n", Reading(decimal=","), {"a": [1.5], "b": [1234]}),
        ('a,b\n"1,234",2\n', Reading(decimal=","), {"a": [1.234], "b": [2]}),
        ("a,b\nŽ,2\n".encode("cp1250"), Reading(encoding="cp1250"), {"a": ["Ž"], "b": [2]}),
        ("a,b\nx,y\n", Reading(header=False), {"column_1": ["a", "x"], "column_2": ["b", "y"]}),
        ("1,2\n3,5\n", Reading(header=True), {"1": [3], "2": [5]}),
        ("1.5,2.5\n3,5\n", Reading(header=True), {"1.5": [3], "2.5": [5]}),
        ("1.5,2.5\n3,5\n", Reading(expected=["2.5"]), {"1.5": [3], "2.5": [5]}),
    ],
)
def test_choices_override_what_is_detected(content, reading, expected, tmp_path):
    source = TableFile(write(tmp_path, content), reading=reading)
    assert source.read().to_dict(as_series=False) == expected
    assert source.notices == []


@pytest.mark.parametrize(
    ("content", "reading", "message"),
    [
        ("a,b\n1,2\n3,4,5\n", Reading(), "line 3 has 3 fields, but the header has 2 columns"),
        ('a,b\n1,"2\n3,4\n', Reading(), "the quoted field in line 2 does not end"),
        ("a,b,a\n1,2,3\n", Reading(), "unique column names, got 'a' more than once. Rename one, or pass --no-header"),
        ("a b c\n1 2 3\n1 2\n", Reading(), "t.csv must have , ; | or tabs between its fields.* Pass --separator"),
        ("\n\n", Reading(), "t.csv is empty. A table needs a header line"),
        ("a,b\n\xe9,2\n".encode("cp1252"), Reading(encoding="utf-8"), "not valid utf-8 text. Pass another --encoding"),
        (
            "1.5,x\n2.5,x\n",
            Reading(trained={"header": True}, expected=["size"]),
            "must begin with a line of column names",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(content, reading, message, tmp_path):
    with pytest.raises(TableError, match=message) as caught:
        TableFile(write(tmp_path, content), reading=reading).read()
    assert "\n" not in str(caught.value)


def test_decimal_marks_of_the_training_table_hold_for_doubtful_cells(tmp_path):
    first = TableFile(write(tmp_path, "a;b\n1,5;x\n1.234;y\n2;z\n"))
    assert first.read()["a"].to_list() == [1.5, 1234, 2]
    later = TableFile(write(tmp_path, "a;b\n1.234;x\n2.345;y\n"), reading=Reading(trained=first.state))
    assert later.read()["a"].to_list() == [1234, 2345]
    other = TableFile(write(tmp_path, "a,b\n1.5,x\n2.345,y\n"), reading=Reading(trained=first.state))
    assert other.read()["a"].to_list() == [1.5, 2.345]


def test_bytes_of_windows_1252_may_come_late(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_file, "BLOCK_CHARS", 1000)
    content = b"a,b\n" + b"1,x\n" * 300_000 + "2,Zoë\n".encode("cp1252")
    source = TableFile(write(tmp_path, content))
    assert source.read()["b"][-1] == "Zoë"
    assert source.notices == ["t.csv has bytes that are not UTF-8; reading them as cp1252"]


# Any table in any dialect.

WORDS = st.text("abcxyzÄöß é,;|\t\"'#.-\n", min_size=1, max_size=12).filter(
    lambda word: word == word.strip() and re.search("[a-z]", word) and not word.startswith("#")
)
TABLES = st.integers(2, 12).flatmap(
    lambda n: st.fixed_dictionaries(
        {
            "size": st.lists(st.integers(-9999, 9999).map(lambda k: k / 100), min_size=n, max_size=n),
            "name, first": st.lists(st.none() | WORDS, min_size=n, max_size=n),
            "count": st.lists(st.none() | st.integers(-5, 10**6), min_size=n, max_size=n),
        }
    )
)


def test_a_line_of_a_quoted_cell_that_begins_with_a_number_sign_is_no_comment(tmp_path):
    text = 'size;name\n1;\n2;"a\n#,"\n3;\n4;b\n'
    assert TableFile(write(tmp_path, text.encode())).read()["name"].to_list() == [None, "a\n#,", None, "b"]


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    table=TABLES,
    separator=st.sampled_from(",;\t|"),
    comma=st.booleans(),
    end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252", "utf-16-le"]),
    marked=st.booleans(),
    quoted=st.sampled_from(["necessary", "always"]),
)
def test_a_table_written_in_any_dialect_reads_back_as_the_same_table(
    table, separator, comma, end, encoding, marked, quoted, tmp_path
):
    frame = pl.DataFrame(table, schema={"size": pl.Float64, "name, first": pl.String, "count": pl.Int64})
    written = frame.with_columns(pl.col("size").cast(pl.String).str.replace(".", "," if comma else ".", literal=True))
    text = written.write_csv(separator=separator, quote_style=quoted, line_terminator=end)
    text = f"sep={separator}{end}{text}" if marked else text
    source = TableFile(write(tmp_path, text.encode(encoding)))
    result = source.read()
    assert result.columns == frame.columns
    assert result["size"].to_list() == frame["size"].to_list()
    assert result["count"].cast(pl.Int64).to_list() == frame["count"].to_list()
    assert result["name, first"].to_list() == frame["name, first"].to_list()
    assert pl.concat(TableFile(tmp_path / "t.csv").batches())["name, first"].equals(result["name, first"])
