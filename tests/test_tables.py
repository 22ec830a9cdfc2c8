"""Tables in CSV files: what is read, and what is refused with line, column and remedy."""

import contextlib
import random

import hostile
import numpy as np
import pytest

from fastmlp import tables
from fastmlp._arguments import CommandError


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
    assert found.texts("name", "")[0] == [f"first{end}second", "a,b"]


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
        ("1,2\n3,4", "line 1: '1' is a number, where the names of the columns are expected; give --header no"),
        ("a,b,a\n1,2,3", "two columns are called 'a'"),
        ('a,b\n1,"2', "line 2: unexpected end of data; is a quote missing"),
        ('a,b\n1,"2"3', "line 2: "),
    ],
)
def test_files_that_are_no_tables(table, content, named):
    with pytest.raises(CommandError) as error:
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
    with pytest.raises(CommandError) as error:
        numbers(table(content, separator=";" if ";" in content else ","))
    assert named in str(error.value)


def test_underscores_elsewhere_do_no_harm(table):
    found = table("a_1,b,note\n1,2,x_y\n3,4,_\n")
    np.testing.assert_array_equal(found.numbers(["a_1", "b"], ""), [[1, 2], [3, 4]])


def test_empty_lines_of_one_column_may_be_missing_values(table):
    np.testing.assert_array_equal(numbers(table("\n\na,b\n\n1,2\n\n")), [[1, 2]])
    for content, line in (("a\n1\n\n3\n", 3), ("a\r\n1\r\n3\r\n\r\n", 4), ("\na\n1\n", 1)):
        with pytest.raises(CommandError, match=f"data.csv, line {line} is empty: in a file of one column it may be"):
            numbers(table(content))
    with pytest.raises(CommandError, match="line 2 is empty"):
        table("x\n\ny\n", header=False).texts("1", "")
    with pytest.raises(CommandError, match="separated by ';'"):
        table("a;b\n\n1;2\n").position("a")


def test_columns_that_are_missing(table):
    with pytest.raises(CommandError, match=r"no column 'radus' \(did you mean 'radius'\?\), but 'radius', 'x'$"):
        table("radius,x\n1,2").position("radus")
    with pytest.raises(CommandError, match=r"separated by ';'\? Then give --separator ';'\), but 'radius;x'"):
        table("radius;x\n1;2").position("radius")
    with pytest.raises(CommandError, match="give --separator tab"):
        table("radius\tx\n1\t2").position("radius")
    with pytest.raises(CommandError, match="called by their numbers"):
        table("1,2\n3,4", header=False).position("radius")
    with pytest.raises(CommandError, match=r"\.\.\. \(30\)"):
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
    assert tables.is_classification(texts)[0] is classification


@pytest.mark.parametrize(
    ("cells", "named"),
    [
        (["1.5", "NA", "2.5"], "line 3, column 'y': 'NA' is not a number, though 2 others are; mend it, or leave the"),
        (["1,5", "2", "3"], "line 2, column 'y': '1,5' is not a number; a decimal point is expected, though 2 others"),
        (["1", "b"], None),
        (["1", "b", "c"], None),
        (["a", "b"], None),
        (["1", "2"], None),
    ],
)
def test_a_few_bad_cells_do_not_make_a_target_text(table, cells, named):
    found = table("x;y\n" + "".join(f"1;{cell}\n" for cell in cells), separator=";")
    if named is None:
        tables.refuse_mixed(found, "y", *found.texts("y", ""))
        return
    with pytest.raises(CommandError) as error:
        tables.refuse_mixed(found, "y", *found.texts("y", ""))
    assert named in str(error.value)
    assert str(error.value).endswith("or give --task classification")


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("os.fsync", lambda number: synced.append((tmp_path / "a.csv").exists()))
    with tables.writing(tmp_path / "a.csv") as writer:
        writer.writerow(["a", "b"])
    assert synced[0] is False
    assert synced == sorted(synced)  # the folder comes after the name, where a system can do so
    assert (tmp_path / "a.csv").read_text() == "a,b\n"


def test_names_of_classes():
    assert tables.class_names(["b", "a", "b"]) == ("a", "b")
    assert tables.class_names(["10", "9", "09.0", "-1"]) == ("-1", "9", "10")
    assert tables.class_names(["0.5", ".50", "2"]) == ("0.5", "2")


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
