import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities, precision_recall_fscore_support
from strategies import quick

from sftdata.checks import legal_tags
from sftdata.training.metrics import find_scheme, find_spans, score_tags

LETTERS = {"BIO": "BI", "BIOES": "BIES", "BMES": "BMES", "BILOU": "BILU"}
KINDS = ["LOC", "PER", "A-B"]


def names_of(scheme):
    return ["O", *(f"{letter}-{kind}" for letter in LETTERS[scheme] for kind in KINDS)]


def as_seqeval(tag):
    """The same tag in the letters that seqeval knows."""
    return {"M": "I", "L": "E", "U": "S"}.get(tag[0], tag[0]) + tag[1:]


@st.composite
def tagged(draw):
    """A scheme, and the true and predicted tags of some rows, legal or not, empty rows among them."""
    scheme = draw(st.sampled_from(sorted(LETTERS)))
    some = st.sampled_from(names_of(scheme)[: draw(st.integers(2, 20))])
    rows = draw(st.lists(st.lists(st.tuples(some, some | st.none()), max_size=9), min_size=1, max_size=6))
    found = [[guess or true for true, guess in row] for row in rows]
    return scheme, [[true for true, _ in row] for row in rows], found


def arrays_of(rows, names):
    flat = [names.index(tag) for row in rows for tag in row]
    return np.array(flat, dtype=np.int16), np.array([len(row) for row in rows])


@given(tagged())
@quick
def test_entities_are_those_of_seqeval(case):
    scheme, rows, _ = case
    names = names_of(scheme)
    spans = find_spans(*[arrays_of(rows, names)[0], names, arrays_of(rows, names)[1]])
    apart = np.cumsum([0] + [len(row) + 1 for row in rows])  # seqeval puts an O between rows
    place = np.concatenate([np.arange(len(row)) + start for row, start in zip(rows, apart, strict=False)]).astype(int)
    kinds = sorted(KINDS)
    ours = [(kinds[k], place[s], place[e]) for k, s, e in zip(spans.kinds, spans.starts, spans.ends, strict=True)]
    assert ours == get_entities([[as_seqeval(tag) for tag in row] for row in rows])


@given(tagged())
@quick
def test_scores_are_those_of_seqeval(case):
    scheme, targets, found = case
    names = names_of(scheme)
    if not any(targets):
        targets, found = [["O"]], [["B-LOC"]]
    flat, lengths = arrays_of(targets, names)
    result = score_tags(flat, arrays_of(found, names)[0], names, lengths)
    both = [[[as_seqeval(tag) for tag in row] for row in rows] for rows in (targets, found)]
    ways = precision_recall_fscore_support(*both, zero_division=0, average="micro")[:3]
    assert [result.values[f"entity_{name}"] for name in ("precision", "recall", "f1")] == pytest.approx(list(ways))
    each = precision_recall_fscore_support(*both, zero_division=0)
    assert result.values["entity_macro_f1"] == pytest.approx(np.mean(each[2]) if len(each[2]) else 0)
    occurs = sorted({kind for rows in both for kind, _, _ in get_entities(rows)})
    per_entity = [list(result.details["per_entity"][kind].values()) for kind in occurs]
    assert np.array(per_entity).reshape(-1, 4) == pytest.approx(np.array(each).T.reshape(-1, 4))
    assert result.values["accuracy"] == np.mean(flat == arrays_of(found, names)[0])


@pytest.mark.parametrize("scheme", sorted(LETTERS))
@given(parts=st.lists(st.tuples(st.sampled_from([None, *KINDS]), st.integers(1, 4)), min_size=1, max_size=6))
@quick
def test_entities_that_are_spelled_as_the_schema_has_it_are_found_again(scheme, parts):
    row = [tag for kind, words in parts for tag in spell(kind, words, scheme)]
    assert pl.DataFrame({"tags": [row]}).select(legal_tags("tags", scheme)).item()
    spans = find_spans(arrays_of([row], names_of(scheme))[0], names_of(scheme), np.array([len(row)]))
    ends = np.cumsum([words for _, words in parts])
    expected = [(kind, end - words, end - 1) for (kind, words), end in zip(parts, ends, strict=True) if kind]
    found = zip(spans.kinds, spans.starts, spans.ends, strict=True)
    assert [(sorted(KINDS)[kind], start, end) for kind, start, end in found] == expected
    assert find_scheme(names_of(scheme)) == scheme


def spell(kind, words, scheme):
    """The legal tags of one entity, or of words outside any."""
    if kind is None:
        return ["O"] * words
    begin, inside, end, single = {"BIO": "BIIB"}.get(scheme, LETTERS[scheme])
    letters = single if words == 1 else begin + inside * (words - 2) + end
    return [f"{letter}-{kind}" for letter in letters]


@pytest.mark.parametrize(
    ("names", "scheme"),
    [
        (["O", "B-X", "I-X"], "BIO"),
        (["I-X", "I-Y"], "BIO"),  # IOB1 of a split without two neighbours
        (["O", "S-X"], "BIOES"),
        (["O", "B-X", "M-X", "E-X"], "BMES"),
        (["U-X", "L-X"], "BILOU"),
        (["O", "B-X", "M-X", "L-X"], None),
        (["O", "B-X", "I-X", "PAD"], None),
        (["O", "B-"], None),
        (["O"], None),
        (["NNP", "VB", "O"], None),
        (["B", "I", "O"], None),
    ],
)
def test_the_scheme_is_found_in_the_names_of_the_tags(names, scheme):
    assert find_scheme(names) == scheme


def test_tags_that_spell_no_entities_are_scored_as_classes_only():
    result = score_tags(np.array([0, 1, 1]), np.array([0, 1, 0]), ["NN", "VB"], np.array([3]))
    assert result.values["accuracy"] == pytest.approx(2 / 3)
    assert not [name for name in result.values if name.startswith("entity")]
    assert result.undefined["entity_f1"] == "the tags follow none of BIO, BIOES, BMES, BILOU"
    assert result.details.keys() == {"per_class", "confusion_matrix"}


def test_no_entity_goes_over_the_end_of_a_row():
    names, tags = ["O", "B-X", "I-X"], np.array([1, 2, 2, 2])
    assert find_spans(tags, names, np.array([4])).ends.tolist() == [3]
    cut = find_spans(tags, names, np.array([0, 2, 0, 2, 0]))
    assert (cut.starts.tolist(), cut.ends.tolist()) == ([0, 2], [1, 3])
