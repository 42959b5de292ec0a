import pickle
import re

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import quick, texts

from sftdata.expressions import LONGEST, compile_expression

COLUMNS = {
    "a": pl.Int64(),
    "b": pl.Float64(),
    "x": pl.String(),
    "y": pl.String(),
    "l": pl.List(pl.String()),
    "t": pl.Boolean(),
}
ROWS = pl.DataFrame(
    {
        "a": [3, None, 1, 2, 3],
        "b": [1.5, float("nan"), None, -0.0, 2.0],
        "x": ["a", "b", None, "", "2024-01-01"],
        "y": ["a", "a", "b", None, ""],
        "l": [["a", "b"], [], None, ["c"], ["a", "a"]],
        "t": [True, None, False, True, False],
    },
    schema=COLUMNS,
)

OF_A_ROW = """
    a > b and t or not t ; a + b * 2 - 1 > 3 ; a % 2 = 0 ; a // 2 > 1 ; -a < 0 ; a is null ; b is not null ; t is true
    a between 1 and 2 ; a not between 1 and 2 ; a in (1, 2) ; x not in ('a') ; x in ('a', 'b') ; a is distinct from b
    a > 1 xor t ; x || y = 'aa' ; x like 'a%' ; x not like '%a' ; x ilike 'A' ; x rlike 'a' ; x ~* 'A' ; l[1] = y
    case when a > 1 then t else false end ; case x when 'a' then true else false end ; coalesce(a, 1) > 1
    nullif(a, 1) > 1 ; greatest(a, b) > 1 ; least(a, b) > 1 ; if(a > 1, t, false) ; ifnull(a, 1) > 1 ; abs(a) > 1
    round(b, 1) > 1 ; sqrt(b) > 1 ; try_cast(x as int) > 1 ; cast(a as varchar) = x ; a::float > b ; bit_and(a, 2) > 1
    pow(a, 2) > 1 ; sign(b) > 0 ; length(x) > 1 ; octet_length(x) > 1 ; lower(x) = 'a' ; trim(both 'a' from x) = ''
    substr(x, 1, 1) = 'a' ; left(x, 1) = 'a' ; starts_with(x, 'a') ; regexp_like(x, 'a') ; replace(x, 'a', 'b') = 'b'
    split_part(x, '-', 1) = '2024' ; strpos(x, 'a') > 0 ; concat_ws('-', x, y) = 'a' ; reverse(x) = 'a'
    array_length(l) > 1 ; array_contains(l, 'a') ; array_get(l, 1) = 'a' ; array_to_string(l, ',') = 'a'
    array_unique(l) = l ; array_reverse(l) = l ; string_to_array(x, '-')[1] = 'a' ; x = 'select'
    x != 'with a table of (from) values' ; x = 'Agg' ; x like '%--%' ; x = 'it''s' ; "a" > 1 ; `a` > 1
"""

BEYOND = """
    avg(b) > 1 ; a > avg(b) ; count(*) > a ; count(a) > 1 ; sum(a) > a ; max(a) = a ; min(a) = a ; first(a) = a
    last(a) = a ; median(a) = a ; stddev(b) > a ; variance(b) > a ; corr(a, b) > a ; covar_pop(a, b) > a
    quantile_cont(b, 0.5) > a ; quantile_disc(b, 0.5) > a ; string_agg(x, '') = x ; array_agg(x) = l ; unnest(l) = x
    columns('a|b') > 1 ; row_number() over () > a ; rank() over (order by a) > a ; dense_rank() over (order by a) > a
    ntile(2) over (order by a) > a ; lag(a) over (order by b) > a ; lead(a) over (order by b) > a
    first_value(a) over (order by b) > a ; max(a) over () = a ; percent_rank() over (order by a) > a
    cume_dist() over (order by a) > a ; nth_value(a, 2) over (order by b) > a ; last_value(a) over (order by b) > a
    a > sum(case when t then 1 else 0 end) ; count(distinct a) > 1 ; "^a|b$" > 1
"""


def listed(text):
    return [content.strip() for line in text.strip().splitlines() for content in line.split(" ; ")]


@pytest.mark.parametrize("content", listed(OF_A_ROW))
def test_the_verdict_on_a_row_does_not_depend_on_the_others(content):
    expression = compile_expression(content, COLUMNS)
    whole = ROWS.select(expression).to_series()
    assert whole.dtype == pl.Boolean
    alone = [ROWS[row : row + 1].select(expression).to_series().item() for row in range(len(ROWS))]
    assert whole.to_list() == alone
    assert ROWS.reverse().select(expression).to_series().reverse().to_list() == alone
    again = pickle.loads(pickle.dumps(expression))  # noqa: S301  # as worker processes get it
    assert ROWS.select(again).to_series().to_list() == alone


@pytest.mark.parametrize("content", listed(BEYOND))
def test_what_looks_at_other_rows_is_refused(content):
    with pytest.raises(ValueError, match="looks beyond the row"):
        compile_expression(content, COLUMNS)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "cannot be computed"),
        ("a >", "unable to parse"),
        ("a > 1; a > 2", "cannot be computed"),
        ("end >= a", "cannot be computed"),
        ("a > nope", 'unable to find column "nope"; valid columns: ["a", "b", "x", "y", "l", "t"]'),
        ("nope(a)", "unsupported function 'nope'"),
        ("read_csv('f')", "unsupported function 'read_csv'"),
        ("x > 1", "cannot compare string with numeric type"),
        ("a", "gives Int64, expected one value, true or false"),
        ("l", "gives List(String)"),
        ("1 = 1", "names no column"),
        ("true", "names no column"),
        ("current_date > '2020-01-01'::date", "names no column"),
        ("a > 1" + " " * LONGEST, "characters, expected at most 1000"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(content, words):
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        compile_expression(content, COLUMNS)
    assert "\n" not in str(caught.value)


QUERIES = [
    "a > (select max(column_1) from read_csv('FILE'))",
    "a in (select column_1 from read_csv('FILE'))",
    "a in (from read_csv('FILE'))",
    "a in (FROM\n\tread_csv('FILE'))",
    "a in (/* it's */ from read_csv('FILE'))",
    "a in (-- it's\n from read_csv('FILE'))",
    "a in /* ' */ (select column_1 from read_csv('FILE')) /* ' */",
    "a in (with q as (from read_csv('FILE')) select column_1 from q)",
    "a in (values (1))",
    "a in (table read_csv)",
    "exists (select 1 from read_ndjson('FILE'))",
    "a > any (select column_1 from read_csv('FILE'))",
    "a in (select column_1 from 'FILE')",
    r"x = E'\' or a in (select column_1 from read_csv(''FILE''))' or x = ''",
    "x = $$'$$ or a in (select column_1 from read_csv('FILE')) or x = $$'$$",
]


@pytest.mark.parametrize("content", QUERIES)
def test_a_query_is_refused_before_it_opens_a_file(content, tmp_path):
    secret = tmp_path / "f.csv"
    secret.write_text("secret_name\n1\n")
    with pytest.raises(ValueError, match="holds a query") as caught:
        compile_expression(content.replace("FILE", str(secret)), COLUMNS)
    assert "secret_name" not in str(caught.value)


def test_such_a_query_would_open_the_file_else(tmp_path):
    (tmp_path / "f.csv").write_text("secret_name\n1\n")
    with pytest.raises(pl.exceptions.ColumnNotFoundError, match="secret_name"):
        pl.sql_expr(QUERIES[0].replace("FILE", str(tmp_path / "f.csv")))


words = st.sampled_from(
    [
        *("a", "b", "x", "(", ")", ",", "'", '"', ">", "=", "+", "and", "or", "not", "in", "is null", "select", "from"),
        *("with", "--", "/*", "*/", "$$", "1", "'a'", "cast", "as", "::int", "max(a)", "over ()"),
    ]
)


@given(st.lists(words, max_size=12).map(" ".join) | texts)
@settings(quick, max_examples=150)
def test_whatever_it_is_told_it_gives_booleans_or_refuses(content):
    try:
        expression = compile_expression(content, COLUMNS)
    except ValueError:
        return
    assert ROWS[:0].select(expression).dtypes == [pl.Boolean]


@pytest.mark.parametrize("content", ["+".join(["a"] * 498) + ">1", "(" * 499 + "t" + ")" * 499])
def test_the_longest_expressions_end_in_an_answer_and_not_in_the_end_of_the_process(content):
    try:  # how deep Python's JSON goes differs
        expression = compile_expression(content, COLUMNS)
    except ValueError as refused:
        assert re.search("nested too deeply|cannot be computed", str(refused))
    else:
        assert len(ROWS.select(expression)) == len(ROWS)
