"""Tables in CSV files: what is read, and what is refused with line, column and remedy."""

import contextlib
import csv
import io
import os
import random
import re
import threading

import hostile
import numpy as np
import pytest

from fastmlp import tables
from fastmlp.programs._classes import classes_of, task_of
from fastmlp.programs._files import outputs
from fastmlp.tables import TableError, classes, plain, source
from fastmlp.tables.numbers import wrong_number


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Function that writes bytes or text to data.csv and reads the table."""
    monkeypatch.chdir(tmp_path)

    def read(content, **options):
        (tmp_path / "data.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
        return tables.read("data.csv", **options)

    return read


def numbers(found):
    return found.numbers(found.columns, "drop {column}")


def texts(found, column):
    cells = found.cells(column, "drop {column}")
    return [cells.spellings[code] for code in cells.codes]


def test_numbers_names_and_blanks(table):
    found = table("\ufeff a , b\r\n1, 2.5\r\n\r\n-1e3,+.5\r\n")
    assert found.columns == ("a", "b")
    assert found.n_rows == 2
    np.testing.assert_array_equal(numbers(found), [[1, 2.5], [-1000, 0.5]])
    np.testing.assert_array_equal(found.numbers(["b", "a"], ""), [[2.5, 1], [0.5, -1000]])
    assert [line for line, _ in found.rows()] == [2, 4]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_quotes_and_ends_of_lines(table, end):
    found = table(end.join(['name,"x, in ""mm"""', f'"first{end}second",1', '"a,b",2']))
    assert found.columns == ("name", 'x, in "mm"')
    assert [line for line, _ in found.rows()] == [2, 4]
    assert texts(found, "name") == [f"first{end}second", "a,b"]


def test_names_are_wanted_or_not(table):
    found = table("1;2\n3;4", separator=";", header=False)
    assert (found.columns, found.n_rows) == (("1", "2"), 2)
    assert table("2001,2002\n1,2", header=True).columns == ("2001", "2002")
    assert table("name,2002,x\na,1,2").columns == ("name", "2002", "x")
    found = table(",a\n0,5\n1,6")
    assert (found.columns, found.unnamed) == (("1", "a"), ("1",))


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("", "data.csv is empty"),
        ("\n\n", "data.csv is empty"),
        (b"\xef\xbb\xbf", "data.csv is empty"),
        ("a,b\n", "holds the names of its columns, but no row"),
        ("a,b\n1,\xe9".encode("latin-1"), "data.csv, line 2: the byte 0xe9 is not UTF-8; save the file as UTF-8"),
        ("a,b\n1,2".encode("utf-16"), "line 1: the byte 0xff is not UTF-8"),
        ("1,2\n3,4", "line 1: '1' is a number, where the names of the columns are expected; give header=False"),
        ("a,b,a\n1,2,3", "two columns are called 'a'"),
        ('a,b\n1,"2', "line 2: unexpected end of data; is a quote missing"),
        ('a,b\n1,"2"3', "line 2: "),
    ],
)
def test_files_that_are_no_tables(table, content, named):
    with pytest.raises(TableError) as error:
        table(content)
    assert named in str(error.value)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("a,b\n1,2\n3\n", "line 3: 1 cell, but the first line has 2"),
        ("a,b\n1,2,3\n", "line 2: 3 cells, but the first line has 2"),
        ("a,b\n1,\n", "line 2, column 'b': the value is missing; mend it, or drop b"),
        ("a,b c\n1,2\n\n1, NaN \n", "line 4, column 'b c': the value is missing; mend it, or drop \"b c\""),
        ("a,b\n1,x\n", "line 2, column 'b': 'x' is not a number; mend it"),
        ("a;b\n1,5;2\n", "'1,5' is not a number; a decimal point is expected"),
        ("a,b\n1_000,2\n", "'1_000' is not a number"),
        ("a,b\n1,inf\n", "'inf' is infinite or too large"),
        ("a,b\n1,-1e39\n", "'-1e39' is infinite or too large for float32"),
    ],
)
def test_cells_that_are_no_numbers(table, content, named):
    with pytest.raises(TableError) as error:
        numbers(table(content, separator=";" if ";" in content else ","))
    assert named in str(error.value)


def test_underscores_elsewhere_do_no_harm(table):
    found = table("a_1,b,note\n1,2,x_y\n3,4,_\n")
    np.testing.assert_array_equal(found.numbers(["a_1", "b"], ""), [[1, 2], [3, 4]])


def test_empty_lines_of_one_column_may_be_missing_values(table):
    np.testing.assert_array_equal(numbers(table("\n\na,b\n\n1,2\n\n")), [[1, 2]])
    for content, line in (("a\n1\n\n3\n", 3), ("a\r\n1\r\n3\r\n\r\n", 4), ("\na\n1\n", 1)):
        with pytest.raises(TableError, match=f"data.csv, line {line} is empty: in a file of one column it may be"):
            numbers(table(content))
    with pytest.raises(TableError, match="line 2 is empty"):
        table("x\n\ny\n", header=False).cells("1", "")
    with pytest.raises(TableError, match="separated by ';'"):
        table("a;b\n\n1;2\n").position("a")


def test_columns_that_are_missing(table):
    with pytest.raises(TableError, match=r"no column 'radus' \(did you mean 'radius'\?\), but 'radius', 'x'$"):
        table("radius,x\n1,2").position("radus")
    with pytest.raises(TableError, match=r"separated by ';'\? Then give separator=';'\), but 'radius;x'"):
        table("radius;x\n1;2").position("radius")
    with pytest.raises(TableError, match=r"give separator='\\t'"):
        table("radius\tx\n1\t2").position("radius")
    with pytest.raises(TableError, match="called by their numbers"):
        table("1,2\n3,4", header=False).position("radius")
    with pytest.raises(TableError, match=r"\.\.\. \(30\)"):
        table(",".join(f"c{i}" for i in range(30)) + "\n" + "1," * 29 + "1").position("x")


@pytest.mark.parametrize(
    ("texts", "classification"),
    [
        (["a", "b"], True),
        (["1", "b"], True),
        (["0", "1", "1.0"], True),
        ([str(i) for i in range(20)], True),
        ([str(i) for i in range(21)], False),
        (["0.5", "1"], False),
        (["inf", "1"], False),
    ],
)
def test_which_targets_are_classes(texts, classification):
    assert classes.is_classification(texts)[0] is classification


@pytest.mark.parametrize(("text", "meant"), [
    ("1000,6257", "write 1000.6257"), ("0,625", "write 0.625"), ("1,50", "write 1.50"),
    ("-1234,567", "write -1234.567"),
    ("1,234", "write 1.234 where the comma is meant for one, 1234 where it groups thousands"),
    ("-12,345", "write -12.345 where the comma is meant for one, -12345 where it groups thousands"),
])  # fmt: skip
def test_groups_of_thousands_have_three_digits(text, meant):
    assert wrong_number(text).endswith(meant)


@pytest.mark.parametrize(
    ("cells", "named"),
    [
        (["1.5", "NA", "2.5"], "line 3, column 'y': 'NA' is not a number, though 2 others are; mend it, or leave the"),
        (
            ["1,5", "2", "3"],
            "line 2, column 'y': '1,5' is not a number; a decimal point is expected, and no comma: write 1.5",
        ),
        (["1", "b"], None),
        (["1", "b", "c"], None),
        (["a", "b"], None),
        (["1", "2"], None),
        (["1", "2.5", "x", "y", "z"], "line 4, column 'y': 'x' is not a number, though 2 others are"),
        (["1", "NA", "2", "n/a", "NA"], "line 3, column 'y': 'NA' is not a number, though 2 others are"),
        (["1,5", "2,5", "a"], "line 2, column 'y': '1,5' is not a number; a decimal point is expected"),
        (["1,5", "a", "b"], None),
        (
            ["1 234", "2'345", "a"],
            "line 2, column 'y': '1 234' is not a number; digits and a decimal point are expected",
        ),
        (["50%", "20 %"], "write 50; mend it, or call them classes if it names a class"),
        (["1", "\u22122"], "line 3, column 'y': '\u22122' is not a number; digits and a decimal point are expected"),
        (["$5", "cheap", "dear"], None),
        (["1-2", "3-4"], None),
    ],
)
def test_a_few_bad_cells_do_not_make_a_target_text(table, cells, named):
    found = table("x;y\n" + "".join(f"1;{cell}\n" for cell in cells), separator=";")
    if named is None:
        classes.refuse_mixed(found, "y", found.cells("y", ""), "call them classes")
        return
    with pytest.raises(TableError) as error:
        classes.refuse_mixed(found, "y", found.cells("y", ""), "call them classes")
    assert named in str(error.value)
    assert "or call them classes" in str(error.value)


@pytest.mark.parametrize("number", ["1234", "1234567", "12345.6", "-1234.5", "+999999"])
@pytest.mark.parametrize("mark", [" ", "'", "_", "\u00a0", "\u202f", "\u2009", "\u2019"])
def test_marks_of_groups_are_told_with_the_number_that_is_meant(number, mark):
    sign, digits, fraction = re.fullmatch(r"([+-]?)(\d+)(\.\d)?", number).groups("")
    grouped = f"{int(digits):,}".replace(",", mark)
    assert wrong_number(f"{sign}{grouped}{fraction}").endswith(f": write {number}")
    assert wrong_number(f"{sign}{grouped}{fraction.replace('.', ',')}").endswith(f": write {number}")
    assert wrong_number(f"{sign}1{mark}2").endswith("is not a number")  # a group has three digits


@pytest.mark.parametrize(("text", "meant"), [
    ("50%", "50"), ("0.5 %", "0.5"), ("7\u2030", "7"), ("20\u00b0", "20"), ("$12.50", "12.50"), ("\u20ac5", "5"),
    ("5 \u20ac", "5"), ("-\u00a35", "-5"), ("\u00a5 -5", "-5"), ("$1,234.50", "1234.50"), ("\u20ac1.234,50", "1234.50"),
    ("1.234.567", "1234567"), ("1.234.567,8", "1234567.8"), ("\u22121.5", "-1.5"), ("\u20131,5", "-1.5"),
    ("\uff0d2e3", "-2e3"),
])  # fmt: skip
def test_signs_of_units_and_other_minuses_are_told_with_the_number_that_is_meant(text, meant):
    assert wrong_number(text).endswith(f": write {meant}")


@pytest.mark.parametrize("text", [
    "$", "%", "\u2212", "1-2", "1.2.3", "01.02.2020", "2020_01", "12:30", "1/2", "5 kg", "A%", "--5", "$cheap", "+%",
    "5 5%",
])  # fmt: skip
def test_text_that_is_no_number_in_disguise_gets_no_such_remedy(text):
    assert wrong_number(text).endswith("is not a number")


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("os.fsync", lambda number: synced.append((tmp_path / "a.csv").exists()))
    with tables.writing(tmp_path / "a.csv") as writer:
        writer.writerow(["a", "b"])
    assert synced[0] is False
    assert synced == sorted(synced)  # the folder comes after the name, where a system can do so
    assert (tmp_path / "a.csv").read_text() == "a,b\n"


def test_names_of_classes():
    assert classes.class_names(["b", "a"]) == ("a", "b")
    assert classes.class_names(["10", "9", "09.0", "-1"]) == ("-1", "09.0", "9", "10")
    assert classes.class_names(["2", "0.5", ".50"]) == (".50", "0.5", "2")
    long = [str(10**16 + i) for i in range(3)]
    assert classes.class_names(long[::-1]) == tuple(long)
    assert classes.one_number(["1E2", "7", "100", "x", "007"]) == [("1E2", "100"), ("7", "007")]
    assert classes.one_number([*long, "inf", "1e400"]) == []


def test_names_are_not_compared_each_with_each():
    """That would take longer than a reader may."""
    n = 60_000
    with contextlib.closing(hostile.Table()) as reader:
        reader.try_out(("".join(f"c{i}," for i in range(n)) + "c\n" + "1," * n + "1\n").encode())
        assert reader.n_refused == 0


def test_mutations():
    """Some thousand damaged and hostile files; reliability/fuzz_readers.py reads more."""
    with contextlib.closing(hostile.Table()) as reader:
        hostile.try_mutations(reader, 5000, random.Random(1))
        assert 0.05 < 1 - reader.n_refused / reader.n_read < 0.5


# ---- two readers ----

NASTY = [
    "a,b\n1,2\n3,4\n",
    "a,b\n1,2",
    "a,b\r\n1,2\r\n3,4\r\n",
    "a,b\n1,2\r\n3,4\n",
    "a,b\r1,2\r3,4\r",
    "a,b\n1,2\r3,4\n",
    "\ufeffa,b\n1,2\n",
    "\ufeff1,2\n3,4\n",
    "a,b\n\ufeff1,2\n",
    '\ufeff"a",b\n1,2\n',
    "\n\na,b\n\n1,2\n\n\n3,4\n\n",
    "\r\n\r\na,b\r\n\r\n1,2\r\n",
    "a,b\n1,2\n \n3,4\n",
    "a,b\n1,2\n,\n3,4\n",
    "a\n1\n2\n",
    "a\n1\n\n2\n",
    "a\n1\n\n",
    'a\n1\n""\n',
    "a\n",
    "a",
    "",
    "\n",
    "a,b\n",
    "a,b\n\n",
    '"a\nb",c\n1,2\n',
    "a,b\n1,2\n3\n",
    "a,b\n1,2,3\n",
    "a,b\n1,2,\n",
    "a,b\n1,2\n3,4,5,6\n7\n",
    "a,b\n1,\n",
    "a,b\n,2\n",
    "a,b\n1,nan\n",
    "a,b\n1,NaN\n2,-nan\n",
    "a,b\n1,inf\n",
    "a,b\n1,-Infinity\n",
    "a,b\n1,NA\n",
    "a,b\n 1 ,\t2\n",
    "a,b\n1 2,3\n",
    "a,b\n+1,-2\n",
    "a,b\n+-1,2\n",
    "a,b\n--1,2\n",
    "a,b\n1., .5\n",
    "a,b\n1,.\n",
    "a,b\n007,1E5\n",
    "a,b\n1e5,1e+05\n",
    "a,b\n1e,2\n",
    "a,b\n1e400,2\n",
    "a,b\n1e-400,-1e-400\n",
    "a,b\n0x10,2\n",
    "a,b\n1_000,2\n",
    "a,b\n1d5,2\n",
    "a,b\n1f,2\n",
    "a,b\n1,true\n",
    "a,b\n\uff11,2\n",
    "a,b\n1,2\xa0\n",
    "a,b\n-0,+0.0\n",
    f"a,b\n{10**17 + 1},{10**17 + 2}\n{10**17 + 3},4\n",
    f"a,b\n{'9' * 40},2\n",
    f"a,b\n{'9' * 400},2\n",
    f"a,b\n0.{'0' * 300}1,2\n",
    "a,b\n0.1,2.2250738585072011e-308\n",
    "a,b\n9007199254740993,1.7976931348623157e+308\n",
    'a,b\n"1","2"\n',
    'a,b\n"1",2\n3,"4"\n',
    'a,b\n" 1 ",2\n',
    'a,b\n1, "2"\n',
    'a,b\n "1","2"\n',
    'a,b\n1,\t"2"\n',
    'a,b\n1,"2" \n',
    'a,b\n1,"2"x\n',
    'a,b\n1,2"\n',
    'a,b\n1,2"3\n',
    'a,b\n1,"2\n',
    'a,b,c\n1,"2\n3",\n',
    'a,b,c\n1,"2,3",\n',
    'a,b\n"1,2\n3,4\n',
    'a,b\n1,""\n',
    'a,b\nx,"y, z"\n',
    'a,b\nx,"y ""z"""\n',
    'a,b\nx,"""y"""\n',
    'a,b\nx,"y\nz"\nu,"v\r\nw"\nq,"r\rs"\n',
    'a,b\nx,""""\n',
    'a,b\nx,"a"",b"\nu,"a"",""b"\n',
    'a,b\n"x","y"\n\n\n"u\n\nv","w"\n1,2,3\n',
    'a,b\nx, "y, ""z"", w"\n5" x, "y"\n',
    'a,b\n1,"2"\n3,"4"5"\n',
    'a,b\nx,""y"\n',
    'a,b\n1,"2""\n',
    "a,b\n1,\0\n",
    "a,b\0\n1,2\n",
    "a,b\n1,\x0b2\n",
    "a,b\n1,\x1f2\n",
    "a,b\n1,x\u2028y\n",
    "a,b\n1,x\x85y\n",
    "a,b\nGr\u00f6\u00dfe,1\nGro\u0308\u00dfe,2\n",
    "\u00f6,o\u0308\n1,2\n",
    "a,a\n1,2\n",
    ",b\n1,2\n",
    "1,2\n3,4\n",
    "a,2,3\n1,2,3\n",
    "a;b\n1;2\n",
    "a\tb\n1\t2\n",
    "a,b\nx" + "y" * 140_000 + ",1\n",
    'a,b\n"x' + "y,\n" * 70_000 + '",1\n',
    "a,b\nx,1\n" * 3,
    b"a,b\n1,\xff\n",
    "a,b\r\r\n1,2\n3,\xe9\n".encode("latin-1"),
    "a,b\n1,2\n".encode("utf-16"),
    "a,b\n1,2\n".encode("utf-16-le"),
]


def everything(read):
    """All that a table gives, or the error: numbers, cells of each column, rows."""
    found = []

    def tried(function):
        try:
            result = function()
        except TableError as error:
            result = str(error)
        found.append(result)
        return result

    table = tried(read)
    if isinstance(table, str):
        return found
    found[0] = [getattr(table, name) for name in ("columns", "spelled", "unnamed", "has_header", "n_rows")]
    tried(lambda: [list(map(float.hex, row)) for row in numbers(table).tolist()])
    for column in table.columns:
        tried(lambda column=column: texts(table, column))
    tried(lambda: list(table.rows()))
    return found


@pytest.fixture(params=["pyarrow", "Python"])
def reader_of_numbers(request, monkeypatch):
    """What reads the numbers of plain files."""
    if request.param == "pyarrow":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install '.[tables]'")
    monkeypatch.setattr(plain, "LEAST_BYTES_OF_PYARROW", 0 if request.param == "pyarrow" else 2**62)


@pytest.mark.parametrize("options", [{}, {"header": False}, {"separator": ";"}, {"separator": "\t"}])
def test_both_readers_read_the_same_and_refuse_the_same(table, monkeypatch, reader_of_numbers, options):
    made, n_fast, whole = [], 0, plain.reader
    monkeypatch.setattr(plain, "reader", lambda *arguments: made.append(whole(*arguments)) or made[-1])
    for content in NASTY:
        if options.get("separator") and isinstance(content, str):
            content = content.replace(",", options["separator"])
        monkeypatch.setattr(plain, "LEAST_BYTES", 2**62)
        slow = everything(lambda content=content: table(content, **options))
        assert not any(made)
        monkeypatch.setattr(plain, "LEAST_BYTES", 0)
        assert everything(lambda content=content: table(content, **options)) == slow, content[:100]
        n_fast += any(made)
        made.clear()
    assert n_fast > len(NASTY) / 3  # else nothing is compared


def test_parts_of_a_file_come_together(table, monkeypatch, reader_of_numbers):
    """A file of many blocks, of rows and cells that are quoted, so that edges of blocks fall everywhere."""
    generator = random.Random(3)
    kinds = ["x", '"y"', '"y, z"', '"u""v"', '"line\nline"', '"1"', "Gr\u00f6\u00dfe", " x "]
    lines = [
        f"{generator.uniform(-9, 9)},{generator.choice(kinds)},{generator.randrange(10**6)}\n" for _ in range(3000)
    ]
    monkeypatch.setattr(plain, "_PART", 1000)
    monkeypatch.setattr(plain, "LEAST_BYTES", 2**62)
    content = "a,kind,n\n" + "\n".join(lines)
    slow = table(content)
    X, cells = slow.numbers(["n", "a"], ""), slow.cells("kind", "")
    monkeypatch.setattr(plain, "LEAST_BYTES", 0)
    fast = table(content)
    assert (slow.fast, fast.fast is None, fast.n_rows) == (None, False, 3000)
    np.testing.assert_array_equal(fast.numbers(["n", "a"], ""), X)
    assert fast.cells("kind", "").spellings == cells.spellings
    np.testing.assert_array_equal(fast.cells("kind", "").codes, cells.codes)
    with monkeypatch.context() as patch:
        patch.setattr(tables.Table, "rows", lambda table: pytest.fail("by Python's csv"))
        fast.numbers(["n"], "")
        fast.cells("kind", "")
    for damage, named in (("1,x,2,3", "4 cells"), ('1,"x"y,2', "quote"), ("1,x", "2 cells"), ("1,x,", "missing")):
        messages = []
        for least in (0, 2**62):
            monkeypatch.setattr(plain, "LEAST_BYTES", least)
            with pytest.raises(TableError, match=named) as error:
                table(content + damage).numbers(["n"], "")
            messages.append(str(error.value))
        assert messages[0] == messages[1]


def test_a_file_that_changes_meanwhile_is_refused(table, tmp_path):
    found = table("a,b\n1,2\n")
    (tmp_path / "data.csv").write_text("a,b\n1,2\n3,4\n")
    with pytest.raises(TableError, match=r"data.csv has changed while it was read"):
        numbers(found)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name here")
def test_looking_for_inputs_does_not_open_a_pipe(tmp_path):
    pipe = tmp_path / "p.csv"
    os.mkfifo(pipe)
    found = []
    out = str(tmp_path / "out.npz")
    looking = threading.Thread(target=lambda: found.append(outputs([out], [str(pipe)], False)), daemon=True)
    looking.start()
    looking.join(5)  # to open it waits for a writer, of whom there is none
    assert len(found) == 1
    with pytest.raises(OSError, match="absent"):
        outputs([out], [str(tmp_path / "absent")], False)
    with pytest.raises(IsADirectoryError):
        outputs([out], [str(tmp_path)], False)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name here")
def test_a_pipe_is_read_once(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text("a,b\n1,2\n"))
    writer.start()
    found = tables.read(str(pipe))
    writer.join()
    for _ in range(2):
        np.testing.assert_array_equal(numbers(found), [[1, 2]])


def test_without_pyarrow_python_reads_the_numbers(table, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    monkeypatch.setattr(plain, "LEAST_BYTES", 0)
    monkeypatch.setattr(plain, "LEAST_BYTES_OF_PYARROW", 0)
    found = table("a,b\n1,x\n2.5,y\n")
    np.testing.assert_array_equal(found.numbers(["a"], ""), [[1], [2.5]])
    assert texts(found, "b") == ["x", "y"]


@pytest.mark.parametrize("least_bytes", [0, 2**62])
def test_numbers_are_kept_as_they_are_in_the_smaller_dtype_that_can(table, monkeypatch, reader_of_numbers, least_bytes):
    monkeypatch.setattr(plain, "LEAST_BYTES", least_bytes)
    monkeypatch.setattr(plain, "_PART", 64)
    monkeypatch.setattr(tables.table, "_AT_A_TIME", 8)
    n, last = 200, ["0", "0.5", "16777216", str(2.0**-149), "0.1", "16777217", "1e-46", "3e38"]
    for text in last:
        found = numbers(table("a,b,c\n" + "".join(f"{i},-0,{i / 4}\n" for i in range(n)) + f"1,{text},2\n"))
        expected = [[i, -0.0, i / 4] for i in range(n)] + [[1, float(text), 2]]
        assert [row[1].hex() for row in found.tolist()] == [row[1].hex() for row in expected]
        np.testing.assert_array_equal(found, np.array(expected))
        assert (found.dtype == np.float32) == (float(np.float32(text)) == float(text))


def test_columns_in_any_order_and_apart(table, monkeypatch, reader_of_numbers):
    monkeypatch.setattr(plain, "LEAST_BYTES", 0)
    content = 'a,b,"c, d",e,f\r\n' + "".join(f'{i},"x, {i}",{i + 0.5},"{-i}",{i}e1\r\n\r\n' for i in range(50))
    found, i = table(content), np.arange(50)
    assert found.fast is not None
    monkeypatch.setattr(tables.Table, "rows", lambda table: pytest.fail("by Python's csv"))
    columns = {"a": i, "c, d": i + 0.5, "e": -i, "f": 10 * i}
    for names in (["f", "a"], ["e", "c, d", "a"], ["a", "c, d", "e", "f"], ["c, d"], ["a", "f", "a"]):
        np.testing.assert_array_equal(found.numbers(names, ""), np.stack([columns[name] for name in names], axis=1))
    assert texts(found, "b") == [f"x, {row}" for row in range(50)]


def test_work_grows_with_the_columns_not_with_their_square(table, monkeypatch):
    """Names are looked up, not searched for: each comparison of two names counts."""
    compared = 0

    class Name(str):
        __hash__ = str.__hash__

        def __eq__(self, other):
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

    n = 2000
    found = table(",".join(f"c{i}" for i in range(n)) + "\n" + ",".join("1" * n) + "\n")
    names = [Name(name) for name in found.columns]
    found.numbers(names, "")
    assert compared <= 2 * n


# ---- spellings ----


def test_blanks_before_a_quote_are_skipped_and_no_others(table):
    found = table('a,b\n 1 , "x, ""y"""\n"2",\t"p\n, ""q"\n')
    assert [cells for _, cells in found.rows()] == [[" 1 ", 'x, "y"'], ["2", 'p\n, "q']]
    assert texts(table('a,b\n1,"yes"\n2, "yes"\n'), "b") == ["yes", "yes"]
    tabs = table('a\tb\n "1"\t "x"\n', separator="\t")
    assert [cells for _, cells in tabs.rows()] == [["1", "x"]]


def test_accents_of_their_own_are_the_same_name_and_class(table):
    one, two = "Gr\u00f6\u00dfe", "Gro\u0308\u00dfe"
    found = table(f"{two},b\n1,{one}\n2,{two}\n")
    assert found.columns == (one, "b")
    assert found.spelled == (two, "b")
    assert found.position(one) == found.position(two) == 0
    assert found.cells("b", "").spellings == (one,)
    assert classes.labels(found.cells("b", ""), (two,))[0].tolist() == [0, 0]
    with pytest.raises(TableError, match="two columns are called"):
        table(f"{one},{two}\n1,2\n")


def test_classes_are_told_apart_by_their_spelling(table):
    long = [str(10**17 + i) for i in range(3)]
    found = table("c,d\n" + "".join(f"{long[i % 3]},{('007', '7', '1E2', '100 ')[i % 4]}\n" for i in range(12)))
    for column, expected in (("c", tuple(long)), ("d", ("007", "7", "100", "1E2"))):
        cells, why = task_of(None, found, column)
        assert why.startswith("the target is one of ")
        names = classes_of(found, column, cells)
        assert names == expected
        labels, respelled, unknown = classes.labels(cells, names)
        assert [names[label] for label in labels] == texts(found, column)
        assert (respelled, unknown) == ({}, {})


def test_cells_of_another_spelling_are_of_the_class_that_is_the_same_number(table):
    cells = table("y\n" + "".join(f"{text}\n" for text in ("9.0", "1e1", "9", "7", "x", "007"))).cells("y", "")
    labels, respelled, unknown = classes.labels(cells, ("9", "10", "07", "7.0"))
    assert labels.tolist() == [0, 1, 0, -1, -1, -1]  # 7 may be either of two
    assert respelled == {"9.0": "9", "1e1": "10"}
    assert unknown == {"7": 1, "x": 1, "007": 1}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("1,234", "write 1.234 where the comma is meant for one, 1234 where it groups thousands"),
        ("1,234,567", "write 1234567"),
        ("1,234.5", "write 1234.5"),
        ("1.234,5", "write 1234.5"),
        ("1,2,x", "is not a number;  mend"),
    ],
)
def test_commas_in_numbers_are_told_with_what_they_may_mean(table, text, named):
    found = table("a;b\n" + f"1;{text}\n" * 30, separator=";")
    with pytest.raises(TableError) as error:
        found.numbers(["b"], "drop")
    if "mend" in named:
        assert str(error.value).endswith("'1,2,x' is not a number; mend it, or drop")
        assert task_of(None, found, "b")[1] == "the target is text"
        return
    assert named in str(error.value)
    with pytest.raises(TableError, match=r"line 2, column 'b'.*--task classification") as error:
        task_of(None, found, "b")
    assert named in str(error.value)


RISKY = [
    "a\rb",
    "a\nb",
    "a,b",
    'a"b',
    '"',
    "",
    " a",
    "a ",
    "\ta",
    "a\x0bb",
    "\x0c",
    "a\x85b",
    "a\u2028b",
    "\ufeffa",
    "\xa0a",
]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_what_is_written_is_read_again_by_every_reader(tmp_path, separator):
    """By one that cuts lines wherever Unicode ends one, one that leaves blanks out, and one that takes a mark away."""
    cells = [*RISKY, *(f"x{separator}{text}" for text in RISKY), "plain", "1.5"]
    rows = [cells, cells[::-1], *([text, "x"] for text in RISKY), *([text] for text in RISKY)]
    with tables.writing(tmp_path / "a.csv", separator) as writer:
        writer.writerows(rows)
    content = (tmp_path / "a.csv").read_bytes().decode()
    assert [cells for _, _, cells in source.records(source.text(tmp_path / "a.csv"), separator)] == rows
    for quoted in content.split('"')[::2]:  # what stands outside of quotes
        assert not set(quoted.replace("\n", "").replace(separator, "")).intersection("\r\x0b\x0c\x85\u2028\ufeff\xa0 ")
    for options in ({}, {"skipinitialspace": True}):
        lines = io.StringIO(content, newline="")
        assert list(csv.reader(lines, delimiter=separator, strict=True, **options)) == rows
