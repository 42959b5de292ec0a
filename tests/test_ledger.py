import copy
import pickle
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import quick

from sftdata import errors
from sftdata.errors import LedgerError, TooManyRejected
from sftdata.ledger import Ledger, check_limit

counts = st.integers(0, 50)


@given(counts, counts, counts, counts, counts)
@quick
def test_the_ledger_closes_exactly_when_no_row_is_lost_or_made(read, augmented, written, rejected, duplicates):
    ledger = Ledger()
    ledger.read, ledger.augmented, ledger.written, ledger.duplicates = read, augmented, written, duplicates
    ledger.add_rejected([("read", "a")] * rejected)
    if read + augmented == written + rejected + duplicates:
        assert ledger.close().model_dump() == {
            "read": read,
            "augmented": augmented,
            "written": written,
            "rejected": rejected,
            "duplicates": duplicates,
        }
    else:
        with pytest.raises(LedgerError, match="a defect of sftdata"):
            ledger.close()


def test_a_ledger_that_would_close_closes():
    ledger = Ledger()
    ledger.read, ledger.written, ledger.augmented, ledger.duplicates = 10, 8, 1, 1
    ledger.add_rejected([("validate", "b"), ("clean", "a")])
    ledger.add_rejected([("clean", "a")])
    ledger.read += 1
    assert ledger.close().rejected == ledger.rejected == 3
    assert list(ledger.by_reason().items()) == [("a", 2), ("b", 1)]
    assert list(ledger.by_stage().items()) == [("clean", 2), ("validate", 1)]


def refuses(read, rejected, limit):
    try:
        check_limit(read, rejected, limit, {}, None)
    except TooManyRejected:
        return True
    return False


@given(st.integers(1, 10_000), st.integers(0, 10_000), st.integers(0, 100))
@example(100, 29, 29)
@example(100, 57, 57)
@quick
def test_a_share_allows_exactly_that_share(read, rejected, percent):
    rejected = min(read, rejected)
    assert refuses(read, rejected, percent / 100) == (Fraction(rejected, read) > Fraction(percent, 100))


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 100))
@quick
def test_a_number_allows_exactly_that_many_rows(read, rejected, limit):
    rejected = min(read, rejected)
    assert refuses(read, rejected, limit) == (rejected > limit)


def test_all_or_one_row_is_told_by_the_point():
    assert not refuses(10, 10, 1.0)
    assert refuses(10, 2, 1)
    assert not refuses(10, 1, 1)
    assert refuses(10, 1, 0.0)
    assert refuses(10, 1, 0)
    assert not refuses(0, 0, 0.0)


def test_too_many_rejected_says_how_many_why_and_what_to_do():
    ledger = Ledger()
    ledger.read = 10
    ledger.add_rejected([("validate", "x:isin")] * 3 + [("validate", "y:not_blank")])
    with pytest.raises(TooManyRejected) as caught:
        ledger.check_limit(0.02, "out/rejected.jsonl")
    text = str(caught.value)
    assert text.splitlines()[0] == "4 of 10 rows were rejected; max_rejected allows 0.02 of the rows"
    assert text.index("x:isin") < text.index("y:not_blank")
    assert "out/rejected.jsonl" in text
    assert caught.value.exit_code == 1


MADE = [
    errors.RecipeError("r.yaml", ["one", "two"]),
    errors.SchemaError("s.yaml", ["one"]),
    TooManyRejected(10, 4, 0.02, {"a": 4}, None),
    TooManyRejected(10, 4, 3, {"a": 4}, "here"),
    errors.SourceError("gone"),
    errors.NothingToWrite("nothing"),
]


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_errors_survive_the_way_out_of_a_worker_process(error):
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301
        assert type(other) is type(error)
        assert str(other) == str(error)
        assert vars(other) == vars(error)
        assert other.exit_code == error.exit_code
