import datetime
import hashlib
import pickle
import sqlite3
import sys
from contextlib import closing
from decimal import Decimal

import pytest
from examples import write_jsonl
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick, texts

from sftdata.column import Column
from sftdata.errors import SourceError
from sftdata.rejections import describe_rejected
from sftdata.settings.sources import SourceSettings
from sftdata.sources import digest_of, find_sources, parsing, read_chunks, size_of, sql

COLUMNS = {"text": Column(nullable=True), "n": Column(dtype="int", nullable=True)}
QUERY = "SELECT text, n FROM rows ORDER BY id"


def make(path, rows, kind=""):
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"CREATE TABLE rows (id INTEGER PRIMARY KEY, text {kind}, n {kind})")
        connection.executemany("INSERT INTO rows (text, n) VALUES (?, ?)", rows)
    return path


@pytest.fixture
def base(tmp_path):
    make(tmp_path / "x.db", [("a", 1), (None, None), ("中", -5)])
    return tmp_path


def chunks_of(base, query=QUERY, uri="sqlite:///x.db"):
    (source,) = find_sources([SourceSettings(uri=uri, query=query)], base)
    return list(read_chunks(source))


def read(base, *args, columns=COLUMNS):
    """Return each record's values or reasons."""
    found = []
    for chunk in chunks_of(base, *args):
        parsed = chunk.parse(columns)
        of_row = dict(zip(parsed.positions, parsed.frame.rows(), strict=True))
        of_row |= {fault.position: fault.reason for fault in parsed.faults}
        found += [of_row[row] for row in range(len(chunk))]
    return found


def test_rows_of_a_query_are_records(base):
    assert read(base) == [("a", 1), (None, None), ("中", -5)]
    assert read(base, "SELECT text, n FROM rows WHERE n < 0") == [("中", -5)]
    assert read(base, "/* of one */ -- row\n WITH r AS (SELECT 'a' AS text, 2 AS n) SELECT * FROM r") == [("a", 2)]
    assert read(base, "SELECT text, n FROM rows WHERE n > 99") == []
    assert read(base, QUERY, f"sqlite:///{base}/x.db") == read(base)
    (chunk,) = chunks_of(base)
    assert [chunk.original(row) for row in (0, 1)] == [{"text": "a", "n": 1}, {"text": None, "n": None}]
    assert chunk.line(0) is None


def test_an_order_is_missed(base):
    assert [chunk.found for chunk in chunks_of(base)] == [{}]
    (chunk,) = chunks_of(base, "SELECT text, n FROM rows")
    assert "ORDER BY" in chunk.found["order"]


def test_the_name_is_the_same_on_any_machine_and_holds_no_password(base):
    (source,) = find_sources([SourceSettings(uri="sqlite:///x.db", query=QUERY)], base)
    assert source.name == f"sqlite:///x.db?{hashlib.sha256(QUERY.encode()).hexdigest()[:8]}"
    assert (source.path, source.format) == (base / "x.db", "sql")
    uri = "postgresql+psycopg://ann:secret@db.example:5432/texts?password=secret"
    (source,) = find_sources([SourceSettings(uri=uri, query=QUERY)], base)
    assert source.name.startswith("postgresql+psycopg://db.example:5432/texts?")
    assert "secret" not in source.name
    assert "ann" not in source.name
    assert (source.path, size_of(source)) == (base, 0)


def test_two_queries_of_one_database_are_two_sources(base):
    settings = [SourceSettings(uri="sqlite:///x.db", query=f"SELECT {n} AS n") for n in (1, 2)]
    assert len({source.id for source in find_sources(settings, base)}) == 2
    with pytest.raises(SourceError, match="named more than once"):
        find_sources([settings[0], settings[0]], base)


def fault_of(base, query=QUERY, uri="sqlite:///x.db"):
    with pytest.raises(SourceError) as caught:
        read(base, query, uri)
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM rows",
        "DROP TABLE rows",
        "INSERT INTO rows (text) VALUES ('b') RETURNING text",
        "WITH x AS (SELECT 1) INSERT INTO rows (n) SELECT * FROM x",
        "WITH x AS (SELECT 1) DELETE FROM rows RETURNING text",
        "PRAGMA user_version = 5",
        "VACUUM INTO 'copy.db'",
        "ATTACH 'other.db' AS other",
        "SELECT 1; DELETE FROM rows",
        "SELECT writefile('written.txt', 'x')",
        "SELECT load_extension('x')",
        "CREATE TABLE more (x)",
        "",
        "  ",
    ],
)
def test_nothing_but_reading_is_done(base, query, monkeypatch):
    monkeypatch.chdir(base)
    before, files = (base / "x.db").read_bytes(), sorted(base.iterdir())
    assert query.strip() in fault_of(base, query or " ")
    assert (base / "x.db").read_bytes() == before
    assert sorted(base.iterdir()) == files


def test_a_query_that_fails_is_told_be_it_half_way(base):
    assert "no such column: absent" in fault_of(base, "SELECT absent FROM rows")
    assert "syntax error" in fault_of(base, "SELECT FROM WHERE")
    half_way = "SELECT text, CASE WHEN id = 3 THEN abs(-9223372036854775808) ELSE n END AS n FROM rows ORDER BY id"
    assert "integer overflow" in fault_of(base, half_way)


def test_what_is_no_database_is_told(base):
    (base / "text.db").write_text("text,label\n" * 100)
    (base / "empty.db").write_bytes(b"")
    whole = make(base / "whole.db", [("x" * 3000, n) for n in range(100)]).read_bytes()
    (base / "cut.db").write_bytes(whole[: len(whole) // 2])
    assert "file is not a database" in fault_of(base, uri="sqlite:///text.db")
    assert "no such table: rows" in fault_of(base, uri="sqlite:///empty.db")
    assert "malformed" in fault_of(base, uri="sqlite:///cut.db")
    assert f"{base}/none.db: No such file or directory" in fault_of(base, uri="sqlite:///none.db")
    assert "a directory, expected a file" in fault_of(base, uri=f"sqlite:///{base}")
    for uri in ("sqlite:///", "sqlite://x.db", "sqlite:x.db", "x.db", "sqlite+pysqlite:///x.db"):
        assert f"found {uri!r}, expected sqlite:///FILE" in fault_of(base, uri=uri)
    assert not (base / "none.db").exists()


def test_a_column_of_several_types_gives_each_value_its_due(base):
    mixed = [("a", 1), (2, "b"), (b"\xff", 2.5), ("3", "4"), (b"ok", None)]
    make(base / "x.db", mixed)
    assert read(base) == [("a", 1), "n:dtype", "n:dtype", "n:dtype", "text:dtype"]
    assert read(base, columns={"text": Column(coerce=True)}) == [("a",), ("2",), "text:dtype", ("3",), ("ok",)]
    (chunk,) = chunks_of(base)
    assert [chunk.original(row)["text"] for row in range(5)] == ["a", 2, "\udcff", "3", "ok"]
    assert pickle.loads(pickle.dumps(chunk)) == chunk, "chunks go to other processes"  # noqa: S301  # our own


def test_text_that_is_not_utf8_rejects_its_row_alone(base):
    assert read(base, "SELECT CAST(x'61ff' AS TEXT) AS text, 1 AS n UNION ALL SELECT 'b', 2") == [
        "encoding:utf-8",
        ("b", 2),
    ]


def test_json_in_text_is_what_it_holds(base):
    talk = '[{"role": "user", "content": "a"}]'
    make(base / "x.db", [(talk, 1)])
    ((turns,),) = read(base, columns={"text": Column(dtype="messages")})
    assert [(turn["role"], turn["content"]) for turn in turns] == [("user", "a")]


def test_other_encodings_of_a_database_are_read(base):
    with closing(sqlite3.connect(base / "wide.db")) as connection, connection:
        connection.execute("PRAGMA encoding = 'UTF-16'")
        connection.execute("CREATE TABLE rows AS SELECT 1 AS id, '中' AS text, 1 AS n")
    assert read(base, QUERY, "sqlite:///wide.db") == [("中", 1)]


def test_a_name_with_odd_characters_is_that_file(base):
    make(base / "50% a?b#c 中.db", [("a", 1)])
    assert read(base, QUERY, "sqlite:///50% a?b#c 中.db") == [("a", 1)]


def test_a_database_in_use_is_read_with_what_its_journal_holds(base):
    with closing(sqlite3.connect(base / "x.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        (source,) = find_sources([SourceSettings(uri="sqlite:///x.db", query=QUERY)], base)
        before = digest_of(source), size_of(source)
        with connection:
            connection.execute("INSERT INTO rows (text, n) VALUES ('new', 9)")
        assert read(base)[-1] == ("new", 9)
        assert digest_of(source) != before[0]
        assert size_of(source) > before[1]
    kept = (base / "x.db").read_bytes(), digest_of(source)
    assert read(base)[-1] == ("new", 9)
    assert ((base / "x.db").read_bytes(), digest_of(source)) == kept


def test_slices_are_of_rows_and_of_bytes(base, monkeypatch):
    make(base / "x.db", [("x" * 100, n) for n in range(30)])
    monkeypatch.setattr(sql, "ROWS_AT_ONCE", 4)
    monkeypatch.setattr(parsing, "CHUNK_ROWS", 10)
    assert [(chunk.first_record, len(chunk)) for chunk in chunks_of(base)] == [(1, 10), (11, 10), (21, 10)]
    monkeypatch.setattr(parsing, "CHUNK_BYTES", 300)
    assert [len(chunk) for chunk in chunks_of(base)] == [4] * 7 + [2]


cells = st.none() | texts.filter(lambda text: "\0" not in text)


@given(st.lists(st.tuples(cells, st.none() | st.integers(-(2**63), 2**63 - 1)), max_size=9), st.integers(1, 4))
@quick
def test_rows_read_as_they_would_from_json_lines(tmp_path_factory, rows, most):
    folder = tmp_path_factory.getbasetemp()
    make(folder / "property.db", rows)
    write_jsonl(folder / "property.jsonl", [{"text": text, "n": n} for text, n in rows])
    (lines,) = find_sources([SourceSettings(path="property.jsonl")], folder)
    expected = [row for chunk in read_chunks(lines) for row in chunk.parse(COLUMNS).frame.rows()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parsing, "CHUNK_ROWS", most)
        assert read(folder, QUERY, "sqlite:///property.db") == expected == rows


SERVER = "postgresql://ann:secret@host/db"


@pytest.fixture
def server(base, monkeypatch):
    """SQLAlchemy, which opens an SQLite database whatever it is asked for: no server can be had in a test."""
    sqlalchemy = pytest.importorskip("sqlalchemy")
    create = sqlalchemy.create_engine
    monkeypatch.setattr(
        sqlalchemy, "create_engine", lambda uri, **how: create(f"sqlite+pysqlite:///{base}/x.db", **how)
    )
    return sqlalchemy


def test_other_databases_go_through_sqlalchemy(base, server):
    assert read(base, QUERY, SERVER) == [("a", 1), (None, None), ("中", -5)]
    message = fault_of(base, "SELECT * FROM absent", SERVER)
    assert "postgresql://host/db: the database refuses: no such table: absent" in message
    assert "secret" not in message
    (source,) = find_sources([SourceSettings(uri=SERVER, query=QUERY)], base)
    assert digest_of(source).startswith("sha256:")


def test_a_database_that_cannot_be_opened_is_told(base, server, monkeypatch):
    def refuse(uri, **how):
        raise ModuleNotFoundError("No module named 'psycopg'", name="psycopg")

    monkeypatch.setattr(server, "create_engine", refuse)
    assert "postgresql://host/db: install the driver of this database: psycopg" in fault_of(base, QUERY, SERVER)
    monkeypatch.undo()
    assert "Can't load plugin" in fault_of(base, QUERY, "nonsense://ann:secret@host/db")


def test_a_missing_library_is_told(base, monkeypatch):
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    message = fault_of(base, QUERY, "postgresql://ann:secret@host/db")
    assert "postgresql://host/db" in message
    assert "pip install 'sftdata[sql]'" in message


def test_values_of_a_driver_are_kept_as_they_are():
    def kept(*cells):
        return [cell.as_py() for cell in sql.to_array(list(cells))]

    day = datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC)
    assert kept(Decimal("1.10"), None) == [Decimal("1.10"), None]
    assert kept(day)[0] == day
    assert kept({"b": 1, "a": None}, None) == ['{"b": 1, "a": null}', None], "JSON keeps its keys and its nulls"
    assert kept([1, "x"]) == ['[1, "x"]']
    assert kept(1, "a", None, 2.5, True) == [1, "a", None, 2.5, True]
    assert kept(2**70, None) == [str(2**70), None]
    assert kept(range(2)) == ["range(0, 2)"]
    assert kept() == []


def test_originals_are_read_again(base):
    import polars as pl

    (source,) = find_sources([SourceSettings(uri="sqlite:///x.db", query=QUERY)], base)
    wanted = pl.DataFrame({"source": [source.name], "record": [3]}, schema={"source": pl.String, "record": pl.Int64})
    (row,) = describe_rejected([source], wanted)
    assert row == {"source": source.name, "record": 3, "format": "sql", "original": {"text": "中", "n": -5}}
