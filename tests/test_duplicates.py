import itertools
import random
from collections import Counter, defaultdict

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from sftdata.duplicates.crossing import audit_rows, find_crossing
from sftdata.duplicates.finding import DUPLICATES, find_duplicates
from sftdata.duplicates.frames import decontaminate, deduplicate
from sftdata.duplicates.near import SMALL, WINDOW, _fill_buckets
from sftdata.duplicates.spill import Chunk, ShingleStore, group_equal, spill_signed
from sftdata.errors import UsageError
from sftdata.records import FIELDS, REJECTED, Task
from sftdata.settings.deduplication import DeduplicateSettings
from sftdata.stages.deduplication import make_comparison, sign_rows
from sftdata.stages.forest import find_roots, join

PROVENANCE = {"row_id": pl.String, "source": pl.String, "record": pl.Int64}
CLASSIFY = Task.TEXT_CLASSIFICATION


def rows_of(rows, task=CLASSIFY):
    rows = [{"row_id": f"a:{number}", "source": "a", "record": number, **row} for number, row in enumerate(rows)]
    return pl.DataFrame(rows, schema=PROVENANCE | FIELDS[task])


def labelled(*pairs):
    return rows_of([{"text": text, "label": label} for text, label in pairs])


def chunks_of(rows, sign, sizes=(10**9,)):
    edges = [0, *itertools.accumulate(sizes)]
    parts = [rows[low:high] for low, high in itertools.pairwise(edges)]
    return [Chunk(lambda part=part: sign(part), lambda part=part: part) for part in parts]


def find(rows, folder, sizes=(10**9,), task=CLASSIFY, **options):
    settings = DeduplicateSettings.model_validate(options)
    comparison = make_comparison(task, settings)
    folder.mkdir(parents=True, exist_ok=True)
    chunks = chunks_of(rows, lambda part: sign_rows(part, comparison), sizes)
    found = find_duplicates(chunks, comparison, settings, folder)
    assert len(found.cluster) == found.kept.sum() == len(rows) - len(found.duplicates) - len(found.rejected)
    assert dict(found.duplicates.schema) == DUPLICATES
    assert dict(found.rejected.schema) == REJECTED
    return found


def audit(rows, parts, folder, sizes=(10**9,), **options):
    comparison = make_comparison(CLASSIFY, DeduplicateSettings.model_validate(options))
    chunks = chunks_of(rows, lambda part: audit_rows(part, comparison), sizes)
    return find_crossing(chunks, np.array(parts, dtype=np.int8), comparison, folder)


def shingles(text):
    words = text.lower().split()
    return {tuple(words[place : place + 3]) for place in range(len(words) - 2)}


def jaccard(one, other):
    one, other = shingles(one), shingles(other)
    return len(one & other) / len(one | other) if one and other else 0.0


def components(count, pairs):
    """Name each of `count` things after the first that it is connected with."""
    name = list(range(count))
    for one, other in pairs:
        low, high = sorted((name[one], name[other]))
        name = [low if which == high else which for which in name]
    return name


@quick
@given(st.lists(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=15), max_size=4))
def test_forest_finds_components(batches):
    parents = np.arange(21)
    for batch in batches:
        pairs = np.array(batch, dtype=np.int64).reshape(-1, 2)
        join(parents, pairs[:, 0], pairs[:, 1])
    expected = components(21, itertools.chain(*batches))
    assert find_roots(parents, np.arange(21)).tolist() == expected


def test_a_long_chain_is_joined_quickly():
    parents = np.arange(1_000_000)
    join(parents, parents[:-1].copy(), parents[1:].copy())
    assert not find_roots(parents, np.arange(1_000_000)).any()


vocabulary = st.lists(st.sampled_from("abcdefg"), max_size=14).map(" ".join)


@st.composite
def similar_texts(draw):
    """Texts of few words, and copies of them with a word changed or the case."""
    texts = draw(st.lists(vocabulary, min_size=1, max_size=6))
    for original, place, word in draw(
        st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20), st.sampled_from(["a", "x", "Y"])), max_size=8)
    ):
        words = texts[original % len(texts)].split()
        texts.append(" ".join([*words[:place], word, *words[place + 1 :]]))
    return texts


@quick
@given(similar_texts(), st.sampled_from([0.5, 0.8, 1.0]), st.sampled_from(["drop", "group"]), st.booleans(), st.data())
def test_clusters_and_dropped_rows_equal_a_search_by_hand(tmp_path_factory, texts, threshold, action, exact, data):
    cut = data.draw(st.integers(0, len(texts)))
    near = {"threshold": threshold, "action": action}
    rows = labelled(*((text, "x") for text in texts))
    found = find(rows, tmp_path_factory.mktemp("found"), (cut, 10**9), near=near, exact=exact)
    forms = [" ".join(text.lower().split()) for text in texts]
    every = list(itertools.combinations(range(len(texts)), 2))
    equal = [(i, j) for i, j in every if forms[i] == forms[j]]
    alike = [(i, j) for i, j in every if jaccard(forms[i], forms[j]) >= threshold]
    same, cluster = components(len(texts), equal), components(len(texts), equal + alike)
    name = cluster if action == "drop" else same if exact else list(range(len(texts)))
    kept = [number for number, of in enumerate(name) if of == number]
    assert np.flatnonzero(found.kept).tolist() == kept
    assert found.cluster.tolist() == [cluster[number] for number in kept]
    expected = [
        (f"a:{i}", f"a:{of}", "exact", 1.0) if same[i] == same[of] else (f"a:{i}", f"a:{of}", "near", None)
        for i, of in enumerate(name)
        if i != of
    ]
    for row, (row_id, kept_id, kind, similarity) in zip(found.duplicates.rows(), expected, strict=True):
        true = similarity or jaccard(forms[int(row_id[2:])], forms[int(kept_id[2:])])
        assert row == (row_id, kept_id, kind, pytest.approx(true))


def planted(count, seed=3):
    """Texts of 40 words, every third one a copy of an earlier one with some words changed."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    words = [f"w{number}" for number in range(5000)]
    texts = [" ".join(draw.choices(words, k=40)) for _ in range(count)]
    for number in range(2, count, 3):
        copy = texts[draw.randrange(number)].split()
        for place in draw.sample(range(40), draw.choice([0, 1, 1, 2, 5])):
            copy[place] = draw.choice(words)
        texts[number] = " ".join(copy)
    return texts


def test_chunks_do_not_matter(tmp_path):
    rows = labelled(*((text, "ab"[number % 2]) for number, text in enumerate(planted(600))))
    options = {"near": {"action": "drop"}, "exact": True, "conflicts": "majority"}
    whole = find(rows, tmp_path / "whole", **options)
    assert {*whole.duplicates["kind"]} == {"exact", "near"}
    assert len(whole.rejected)
    for sizes in ((1, 0, 299, 300), (7,) * 86, (600, 0)):
        parts = find(rows, tmp_path / str(len(sizes)), sizes, **options)
        assert parts.duplicates.equals(whole.duplicates)
        assert parts.rejected.equals(whole.rejected)
        assert (parts.cluster == whole.cluster).all()
        assert (parts.kept == whole.kept).all()


def test_no_rows_and_one_row(tmp_path):
    for number, rows in enumerate((labelled(), labelled(("one two three", "a")))):
        found = find(rows, tmp_path / str(number), near={"action": "drop"}, conflicts="reject")
        assert (found.kept.tolist(), found.cluster.tolist()) == ([True] * number, [0] * number)


def test_rows_too_short_for_a_shingle_are_compared_exactly_only(tmp_path):
    rows = labelled(("one two", "a"), ("One  two", "a"), ("one too", "a"), ("", "a"), (None, "a"), ("?", "a"))
    found = find(rows, tmp_path, near={"threshold": 0.3, "action": "drop"})
    assert found.duplicates.rows() == [("a:1", "a:0", "exact", 1.0), ("a:4", "a:3", "exact", 1.0)]


def test_near_false_clusters_equal_rows_only(tmp_path):
    text = " ".join(map(str, range(50)))
    rows = labelled((text, "a"), (text + " x", "a"), (text.upper(), "a"))
    assert find(rows, tmp_path / "near").cluster.tolist() == [0, 0, 0]
    assert find(rows, tmp_path / "exact", near=False).cluster.tolist() == [0, 1, 0]


def test_a_chain_falls_to_its_first_row_and_says_how_similar(tmp_path):
    words = [f"w{number}" for number in range(30)]
    texts = [" ".join(words[start : start + 22]) for start in range(0, 8, 2)]
    similarities = [jaccard(texts[0], text) for text in texts]
    assert similarities[1] >= 0.8 > similarities[2]
    found = find(labelled(*((text, "a") for text in texts)), tmp_path, near={"action": "drop"})
    assert found.duplicates["kept_row_id"].to_list() == ["a:0"] * 3
    assert found.duplicates["similarity"].to_list() == pytest.approx(similarities[1:])


def turn(role, content):
    return {"role": role, "content": content, "weight": None, "details": None}


CONFLICTS = {
    CLASSIFY: [("text", "label"), ("x y z", "a"), ("X y z", "a"), ("x Y z", "b"), ("other", "a")],
    Task.MULTILABEL: [("text", "labels"), ("x", ["a", "b"]), ("x", ["b", "a"]), ("x", ["a"]), ("o", ["a"])],
    Task.REGRESSION: [("text", "score"), ("x", 0.5), ("x", 0.5), ("x", 1.0), ("o", 0.5)],
    Task.TOKEN_CLASSIFICATION: [("tokens", "tags"), (["x"], ["O"]), (["X"], ["O"]), (["x"], ["A"]), (["o"], ["O"])],
    Task.SEQ2SEQ: [("source_text", "target_text"), ("x", "a"), ("x", "A"), ("x", "b"), ("o", "a")],
    Task.CAUSAL_LM: [
        ("messages",),
        *([[turn("user", question), turn("assistant", answer)]] for question, answer in ("xa", "XA", "xb", "oa")),
    ],
}
"""For each task: three rows of one input, the first two of which agree, and a row of its own."""


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize(
    ("conflicts", "rejected", "fallen"),
    [("reject", [0, 1, 2], []), ("majority", [2], ["a:1"]), ("keep", [], ["a:1"])],
)
def test_conflicts(tmp_path, task, conflicts, rejected, fallen):
    names, *rows = CONFLICTS[task]
    frame = rows_of([dict(zip(names, row, strict=True)) for row in rows], task)
    found = find(frame, tmp_path, (2, 2), task, conflicts=conflicts, exact=True)
    assert found.rejected["record"].to_list() == rejected
    assert found.duplicates["row_id"].to_list() == fallen
    assert set(found.rejected["reason"]) <= {"conflict"}
    assert set(found.rejected["stage"]) <= {"deduplicate"}


def test_a_conflict_names_labels_and_rows(tmp_path):
    rows = labelled(*[("x", "a")] * 5, ("x", "b"), *[("y", label) for label in "abcd"])
    found = find(rows, tmp_path, conflicts="majority")
    assert found.rejected["record"].to_list() == [5, 6, 7, 8, 9]
    assert found.rejected["detail"].to_list() == [
        "rows with the same text differ in label: 'a' in 5 rows (a:0, a:1, a:2, ...); 'b' in 1 row (a:5)",
        *["rows with the same text differ in label: 'a' in 1 row (a:6); 'b' in 1 row (a:7); 'c' in 1 row (a:8); "
          "and 1 more"] * 4,
    ]  # fmt: skip


def test_a_tie_has_no_majority(tmp_path):
    rows = labelled(("x", "a"), ("x", "b"), ("x", "b"), ("x", "a"), ("x", "c"))
    assert find(rows, tmp_path, conflicts="majority").rejected["record"].to_list() == [0, 1, 2, 3, 4]


def test_a_rejected_row_connects_nothing(tmp_path):
    words = [f"w{number}" for number in range(30)]
    first, middle, last = (" ".join(words[start : start + 22]) for start in (0, 2, 4))
    rows = labelled((first, "a"), (middle, "a"), (last, "a"), (middle, "b"))
    assert find(rows, tmp_path / "keep").cluster.tolist() == [0] * 4
    assert find(rows, tmp_path / "reject", conflicts="reject").cluster.tolist() == [0, 2]


def test_kept_conflicts_do_not_fall_for_each_other(tmp_path):
    text = " ".join(map(str, range(60)))
    rows = labelled((text, "a"), (text, "b"), (text + " x", "b"), (text + " x y", "a"))
    found = find(rows, tmp_path / "keep", near={"action": "drop"})
    assert found.duplicates.select("row_id", "kept_row_id").rows() == [("a:2", "a:1"), ("a:3", "a:0")]
    assert found.cluster.tolist() == [0, 0]
    majority = find(rows[1:], tmp_path / "majority", near={"action": "drop"}, conflicts="majority")
    assert majority.duplicates.select("row_id", "kept_row_id").rows() == [("a:2", "a:1"), ("a:3", "a:1")]


class CountingStore(ShingleStore):
    """Counts the pairs that it is asked for."""

    pairs = 0

    def compare(self, left, right):
        CountingStore.pairs += len(left)
        return super().compare(left, right)


def template_rows(count, fixed, own):
    """Rows of one template: most words are the same, some are the row's own."""
    same = " ".join(f"t{number}" for number in range(fixed))
    return [same + " " + " ".join(f"r{row}x{number}" for number in range(own)) for row in range(count)]


def test_ten_thousand_rows_of_one_template_are_one_cluster_with_linear_work(tmp_path, monkeypatch):
    monkeypatch.setattr("sftdata.duplicates.finding.ShingleStore", CountingStore)
    monkeypatch.setattr(CountingStore, "pairs", 0)
    texts = template_rows(10_000, fixed=60, own=4)
    assert jaccard(texts[0], texts[1]) >= 0.8
    found = find(labelled(*((text, "a") for text in texts)), tmp_path, near={"action": "drop"})
    assert found.kept.sum() == 1
    assert CountingStore.pairs < 20 * len(texts)  # all pairs would be 5,000 times as many as rows


def test_a_template_whose_rows_are_no_duplicates_stays_linear_and_keeps_its_true_pairs(tmp_path, monkeypatch):
    monkeypatch.setattr("sftdata.duplicates.finding.ShingleStore", CountingStore)
    monkeypatch.setattr(CountingStore, "pairs", 0)
    texts = template_rows(6_000, fixed=40, own=10)
    assert 0.5 < jaccard(texts[0], texts[1]) < 0.8
    copies = [text + f" c{number}" for number, text in enumerate(texts[:1000])]
    found = find(labelled(*((text, "a") for text in texts + copies)), tmp_path)
    assert found.cluster[:6000].tolist() == list(range(6000))
    missed = (found.cluster[6000:] != np.arange(1000)).sum()
    assert missed <= 10
    assert CountingStore.pairs < WINDOW * 22 * len(texts)


def test_large_buckets_are_ordered_by_the_next_bands_and_looked_at_in_a_window(tmp_path):
    size = 2 * (SMALL + 1)
    keys = [[7, row % (SMALL + 1), 1] for row in range(size)] + [[8, 0, 0]] * SMALL + [[9, 0, 0]]
    spill = spill_signed([pl.DataFrame({"keys": keys}, schema={"keys": pl.Array(pl.UInt32, 3)})], tmp_path)
    small, large = _fill_buckets(spill, np.arange(len(keys)), 0, 3)
    assert (sorted(small[0].tolist()), small[2]) == (list(range(size, size + SMALL)), SMALL - 1)
    assert large[0].tolist() == [row + half for row in range(SMALL + 1) for half in (0, SMALL + 1)]
    assert (len(set(large[1].tolist())), large[2]) == (1, WINDOW)


def test_half_a_hash_makes_no_rows_equal(tmp_path):
    content = [[5, 1], [5, 2], [6, 1], [5, 1], [5, 2], [7, 9], [5, 1]]
    spill = spill_signed([pl.DataFrame({"content": content}, schema={"content": pl.Array(pl.UInt64, 2)})], tmp_path)
    rows, firsts = group_equal(spill, "content", np.ones(7, dtype=np.bool_))
    assert (rows.tolist(), firsts.tolist()) == ([0, 1, 3, 4, 6], [0, 1, 0, 1, 0])
    rows, firsts = group_equal(spill, "content", np.array([False, False, *[True] * 5]))
    assert (rows.tolist(), firsts.tolist()) == ([3, 6], [3, 3])


def test_planted_near_duplicates_are_found(tmp_path):
    texts = planted(3000)
    found = find(labelled(*((text, "a") for text in texts)), tmp_path)
    by_shingle = defaultdict(list)
    pairs = Counter()
    for number, text in enumerate(texts):
        for shingle in shingles(text):
            pairs.update((other, number) for other in by_shingle[shingle])
            by_shingle[shingle].append(number)
    alike = [pair for pair in pairs if jaccard(texts[pair[0]], texts[pair[1]]) >= 0.8]
    assert len(alike) > 500
    assert found.cluster.tolist() == components(len(texts), alike)


def test_the_store_counts_like_python_sets(tmp_path):
    texts = [*planted(50), "too short", "", "a b c a b c a b c", "a b c"]
    rows = labelled(*((text, "a") for text in texts))
    comparison = make_comparison(CLASSIFY, DeduplicateSettings())
    chunks = chunks_of(rows, lambda part: sign_rows(part, comparison), (20, 0, 34))
    store = ShingleStore(spill_signed((chunk.signed() for chunk in chunks), tmp_path), chunks, comparison)
    left, right = map(np.array, zip(*itertools.product(range(len(texts)), repeat=2), strict=True))
    expected = [jaccard(texts[i], texts[j]) for i, j in zip(left, right, strict=True)]
    assert store.compare(left, right).tolist() == pytest.approx(expected)


def test_the_audit_counts_what_crosses(tmp_path):
    text = " ".join(map(str, range(60)))
    rows = labelled((text, "a"), (text.upper() + "  ", "b"), (text + " x", "a"), (text + " x", "a"), ("y z", "a"))
    (tmp_path / "one").mkdir()
    apart = audit(rows, [0, 1, 1, 0, 1], tmp_path / "one", (2, 0, 3))
    assert (apart.exact, apart.near) == (2, 2)
    assert sorted(zip(apart.left.tolist(), apart.right.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 3), (2, 3)]
    assert apart.merge(np.array([10, 11, 12, 13, 14])).tolist() == [0, 0, 0, 0, 4]
    (tmp_path / "two").mkdir()
    together = audit(rows, [1, 1, 1, 1, 0], tmp_path / "two")
    assert (together.exact, together.near, len(together.left)) == (0, 0, 0)
    assert together.merge(np.array([7, 7, 8, 7, 9])).tolist() == [0, 0, 2, 0, 4]


def test_the_audit_without_near_and_without_rows(tmp_path):
    rows = labelled(("x", "a"), ("X", "a"))
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    assert audit(rows, [0, 1], tmp_path / "one", near=False).exact == 1
    assert audit(rows[:0], [], tmp_path / "two").exact == 0


def test_the_audit_finds_nothing_where_clusters_stay_whole(tmp_path):
    rows = labelled(*((text, "a") for text in planted(900)))
    found = find(rows, tmp_path / "found")
    (tmp_path / "audit").mkdir()
    crossing = audit(rows, found.cluster % 3, tmp_path / "audit")
    assert (crossing.exact, crossing.near) == (0, 0)
    (tmp_path / "wrong").mkdir()
    assert audit(rows, np.arange(900) % 3, tmp_path / "wrong").near > 50


def test_deduplicate_a_frame_of_ones_own():
    frame = pl.DataFrame(
        {"record": ["One two three!", "one TWO three!", "four"], "id": ["p", "q", "r"], "n": [1, 2, 3]}
    )
    before = frame.clone()
    result = deduplicate(frame, ["record"], row_id="id")
    assert frame.equals(before)
    assert result.kept.equals(frame[[0, 2]])
    assert result.duplicates.rows() == [("q", "p", "exact", 1.0)]
    assert result.cluster.to_list() == [0, 2]
    assert deduplicate(frame, ["record"]).duplicates.rows() == [("1", "0", "exact", 1.0)]
    assert deduplicate(frame, ["record"], exact=False, near=False).kept.equals(frame)


def test_deduplicate_a_frame_with_conflicts():
    frame = pl.DataFrame({"text": ["x", "x", "y"], "label": [1, 2, 1]})
    result = deduplicate(frame, ["text"], label="label", conflicts="reject")
    assert result.kept.equals(frame[[2]])
    assert result.rejected.select("row_id", "row", "reason").rows() == [("0", 0, "conflict"), ("1", 1, "conflict")]
    assert deduplicate(frame, ["text"], label="label").kept.equals(frame)
    assert deduplicate(frame, ["text"]).kept.equals(frame[[0, 2]])
    assert deduplicate(frame[:0], ["text"]).kept.equals(frame[:0])


def test_decontaminate_a_frame():
    frame = pl.DataFrame({"question": ["What is the capital of France", "Who?"], "source": ["a", "b"]})
    against = pl.DataFrame({"prompt": ["unrelated", "what is the capital of France?"]})
    result = decontaminate(frame, against, ["question", "source"], against_fields=["prompt"])
    assert result.kept.equals(frame[1:])
    assert result.rejected.rows() == [
        ("0", 0, "contaminated", ["contaminated"],
         "question: shares 'what is the capital of france' with against:1")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda frame: deduplicate(frame, ["nothing"]), "found no column nothing, expected some of: text"),
        (lambda frame: deduplicate(frame, ["text"], row_id="id"), "found no column id"),
        (lambda frame: deduplicate(frame, ["text"], near={"treshold": 1}), "treshold"),
        (lambda frame: deduplicate(frame, []), r"fields: found \(\), expected at least one entry"),
        (lambda frame: decontaminate(frame, frame, ["text"], ngram=1), "ngram: found 1"),
        (lambda frame: decontaminate(frame, frame, ["text"], against_fields=["x"]), "found no column x"),
    ],
)
def test_wrong_use_is_refused(call, message):
    with pytest.raises(UsageError, match=message):
        call(pl.DataFrame({"text": ["a"]}))
