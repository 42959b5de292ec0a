import dataclasses
import pickle
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stopwordsiso import stopwords
from strategies import quick as most
from strategies import texts

from sftdata.augmentation import make_augmenter
from sftdata.records import FIELDS, MESSAGES, STRINGS, Task
from sftdata.settings.augmentation import AugmentationStep
from sftdata.stages.augmentation import augment_rows, find_repeated, text_keys
from sftdata.text.cutting import cut_texts
from sftdata.text.segmentation import Segmenter

quick = settings(most, max_examples=20)  # each example loads nothing, but cuts and changes several frames
STEPS = [name for name in AugmentationStep.model_fields if name != "nlpaug"]
SENTENCES = [
    "The movie was an awful story about a clever teacher, and the director started it badly.",
    'See {name} at https://example.org/x?y=1 or mail a@b.org: 3.14 of "50%"!\n\n- First point. Second point there.\n',
    "我很喜欢这部电影，演员的表演非常精彩。故事也很感人！\n他在北京大学工作。",
    "Run `code here` and $a + b$.  Two  spaces\tand a tab; COVID-19 isn't over. Really? Yes!",
    "John met Mary in New York. He said: “Movies began early.” They laughed… It was funny, silly and difficult.",
    "中英 mixed text 电影 movie 很好看 really beautiful 漂亮",
    "one",
    "",
    " \n ",
]
_VOCABULARY = (
    "movie|story|The|a|an|awful|clever|not|don't|.|,|\n| |  |{x}|`a b`|42|电影|喜欢|不|。|$x y$|"
    "Teacher|DIFFICULT|e.g.|https://a.bc/d|state-of-the-art"
)
vocabulary = st.sampled_from(_VOCABULARY.split("|"))
spaced = st.lists(vocabulary, max_size=25).map(" ".join)
written = spaced | st.lists(vocabulary, max_size=15).map("".join) | texts


@cache
def augmenter_for(task, *steps):
    told = [AugmentationStep.model_validate({name: dict(options)}) for name, options in steps]
    return make_augmenter(told, task, Path())


def step(name, **options):
    return (name, tuple(options.items()))


def rows_of(values, name="text"):
    ids = [f"r:{number}" for number in range(1, len(values) + 1)]
    return pl.DataFrame({"row_id": ids, name: pl.Series(values, dtype=pl.String)})


def augment_texts(values, *steps, seed=7, taken=None):
    return augment_rows(rows_of(values), augmenter_for(Task.TEXT_CLASSIFICATION, *steps), seed, taken)


def words_of(text):
    pieces = cut_texts(pl.Series([text]), Segmenter())
    return pieces.distinct.gather(pieces.code[pieces.kind[pieces.code] >= 2]).to_list()


def between_words(text):
    """What is no word: protected spans, spaces, signs."""
    pieces = cut_texts(pl.Series([text]), Segmenter())
    return pieces.distinct.gather(pieces.code[pieces.kind[pieces.code] < 2]).to_list()


def protected_of(text):
    return [piece for piece in between_words(text) if "\n" in piece or any(sign.isalnum() for sign in piece)]


@pytest.mark.parametrize("name", STEPS)
def test_a_copy_has_its_parents_id_and_the_number_of_the_copy(name):
    made = augment_texts(SENTENCES, step(name, copies=2))
    assert len(made.rows) > 0
    assert made.rows.columns == ["row_id", "text", "parent_id"]
    assert made.rows["row_id"].n_unique() == len(made.rows)
    assert (made.rows["row_id"].str.replace(r"\+[12]$", "") == made.rows["parent_id"]).all()
    assert sum(made.counts[name].values()) == 2 * len(SENTENCES)
    assert made.counts[name]["made"] == len(made.rows)


@pytest.mark.parametrize("name", STEPS)
@given(values=st.lists(written, min_size=1, max_size=5), seed=st.integers(0, 3), data=st.data())
@quick
def test_copies_depend_on_seed_and_row_alone(name, values, seed, data):
    augmenter = augmenter_for(Task.TEXT_CLASSIFICATION, step(name, rate=0.4, copies=2))
    rows = rows_of(values)
    together = augment_rows(rows, augmenter, seed).rows
    cut = data.draw(st.integers(0, len(values)))
    parts = [augment_rows(part, augmenter, seed).rows for part in (rows[:cut], rows[cut:])]
    assert pl.concat(parts).equals(together)
    order = data.draw(st.permutations(range(len(values))))
    shuffled = augment_rows(rows[order], augmenter, seed).rows
    assert shuffled.sort("row_id").equals(together.sort("row_id"))
    copy = pickle.loads(pickle.dumps(augmenter))  # noqa: S301  # our own
    assert augment_rows(rows, copy, seed).rows.equals(together)


@pytest.mark.parametrize("name", STEPS)
@given(values=st.lists(spaced, min_size=1, max_size=5))
@quick
def test_protected_spans_and_line_breaks_stay_in_their_order(name, values):
    made = augment_texts(values, step(name, rate=0.5))
    parents = dict(zip(rows_of(values)["row_id"], values, strict=True))
    for parent, text in made.rows.select("parent_id", "text").iter_rows():
        before, after = protected_of(parents[parent]), protected_of(text)
        if name == "sentence_reordering":
            before, after = sorted(before), sorted(after)
        assert after == before


@pytest.mark.parametrize("name", ["synonym_replacement", "random_swap", "typing_noise", "homophone_noise"])
@given(values=st.lists(spaced, min_size=1, max_size=5))
@quick
def test_nothing_but_words_changes(name, values):
    made = augment_texts(values, step(name, rate=0.5))
    parents = dict(zip(rows_of(values)["row_id"], values, strict=True))
    for parent, text in made.rows.select("parent_id", "text").iter_rows():
        assert "".join(between_words(text)) == "".join(between_words(parents[parent]))


@given(values=st.lists(written, min_size=1, max_size=5), seed=st.integers(0, 3))
@quick
def test_no_copy_equals_a_row_or_another_copy_of_its_row(values, seed):
    taken = np.sort(text_keys(rows_of(values), ["text"]))
    made = augment_texts(
        values, step("random_deletion", rate=0.2, copies=3), step("random_swap", rate=0.2), seed=seed, taken=taken
    )
    assert not set(text_keys(made.rows, ["text"]).tolist()) & set(taken.tolist())
    assert (text_keys(made.rows, ["text"]) == made.keys).all()
    assert not pl.DataFrame({"parent": made.rows["parent_id"], "key": made.keys}).is_duplicated().any()
    total = sum(sum(of_step.values()) for of_step in made.counts.values())
    assert total == 4 * len(values)


def test_what_is_unchanged_or_a_duplicate_is_counted():
    values = ["good good", "one", "two three", "three two"]
    taken = np.sort(text_keys(rows_of(values), ["text"]))
    made = augment_texts(values, step("random_swap"), taken=taken)
    assert made.rows.is_empty()
    assert made.counts == {"random_swap": {"made": 0, "unchanged": 2, "duplicate": 2}}
    assert augment_texts(values, step("random_swap")).counts["random_swap"]["made"] == 2


def test_copies_that_two_rows_have_in_common_are_found():
    ids, keys = pl.Series(["b+1", "a+1", "c+1", "c+2"]), np.array([5, 5, 6, 5], dtype=np.uint64)
    assert find_repeated(ids, keys).tolist() == [True, False, False, True]


def test_synonyms_keep_case_and_form_and_stopwords_stay():
    made = augment_texts(
        ["Movies began. The movie was DIFFICULT, and John saw an awful film.", "a movie, an awful story"],
        step("synonym_replacement", rate=1.0),
    )
    first, second = made.rows["text"]
    assert first.startswith("Films began. The film was HARD, and John saw an unspeakable movie.")
    assert second.startswith("a film, an unspeakable ")


def test_a_capital_inside_a_sentence_is_a_name():
    made = augment_texts(
        ["He saw Story and Movie.", "Movie. Story: Film\nMovie"], step("synonym_replacement", rate=1.0)
    )
    assert made.rows["parent_id"].to_list() == ["r:2"]
    assert "Movie" not in made.rows["text"][0].split("\n")[1]


@given(st.lists(st.sampled_from(["a", "an"]), min_size=1, max_size=4), st.integers(0, 9))
@quick
def test_a_and_an_go_with_what_follows(articles, seed):
    text = " ".join(f"{article} {'movie' if article == 'a' else 'awful'} clever" for article in articles)
    for (made,) in augment_texts([text], step("synonym_replacement", rate=1.0), seed=seed).rows.select("text").rows():
        words = made.split()
        pairs = [pair for pair in pairwise(words) if pair[0] in ("a", "an")]
        assert all((article == "an") == (word[0] in "aeiou") for article, word in pairs)


def test_stopwords_are_neither_replaced_nor_inserted():
    stops = stopwords(["en", "zh"])
    for name in ("synonym_replacement", "random_insertion", "typing_noise", "homophone_noise"):
        made = augment_texts(SENTENCES, step(name, rate=1.0, copies=3))
        parents = dict(zip(rows_of(SENTENCES)["row_id"], SENTENCES, strict=True))
        for parent, text in made.rows.select("parent_id", "text").iter_rows():
            before = Counter(word for word in words_of(parents[parent]) if word.lower() in stops and word.isascii())
            after = Counter(word for word in words_of(text) if word.lower() in stops and word.isascii())
            assert before == after, (name, text)


@given(values=st.lists(spaced, min_size=1, max_size=5))
@quick
def test_deletion_keeps_negations_order_and_something(values):
    made = augment_texts(values, step("random_deletion", rate=0.5))
    parents = dict(zip(rows_of(values)["row_id"], values, strict=True))
    for parent, text in made.rows.select("parent_id", "text").iter_rows():
        assert text.strip()
        for negation in ("not", "don't"):
            assert words_of(text).count(negation) == words_of(parents[parent]).count(negation)
        rest = iter(parents[parent])
        assert all(sign in rest for sign in text)


def test_deletion_takes_one_space_with_each_word():
    texts = {
        augment_texts(["one two, three (four five)"], step("random_deletion"), seed=seed).rows["text"][0]
        for seed in range(60)
    }
    assert texts == {
        "two, three (four five)",
        "one, three (four five)",
        "one two, three (five)",
        "one two, three (four)",
    }


def test_punctuation_is_inserted_behind_words():
    made = augment_texts(["one two three four five six"] * 1, step("punctuation_insertion", copies=50))
    assert made.rows["text"].str.replace_all(r" [.;?:!,]", "").unique().to_list() == ["one two three four five six"]
    assert made.rows["text"].str.extract_all(r"[.;?:!,]").list.len().unique().to_list() == [1]
    chinese = augment_texts(["我们喜欢电影"], step("punctuation_insertion", copies=20))
    assert chinese.rows["text"].str.contains(r"^[我们喜欢电影]+[。；？：！，][我们喜欢电影]*$").all()


def test_sentences_change_places_within_their_line():
    text = "Mr. Smith went home. It rained! “Was it late?”\n\n- First one. Second one.\n第一句。第二句！"
    made = augment_texts([text], step("sentence_reordering", copies=20, rate=1.0))
    for result in made.rows["text"]:
        first, blank, item, chinese = result.split("\n")
        assert sorted(
            first.replace("Mr. ", "Mr.").replace("! ", "!|").replace("” ", "”|").replace(". ", ".|").split("|")
        ) == [
            "It rained!",
            "Mr.Smith went home.",
            "“Was it late?”",
        ]
        assert (blank, item) == ("", "- First one. Second one.")
        assert chinese in ("第一句。第二句！", "第二句！第一句。")
    assert made.rows["text"].n_unique() == 3


def test_the_end_of_a_text_ends_a_sentence_whatever_follows():
    alone = augment_texts(["One here. Two there."], step("sentence_reordering")).rows["text"].to_list()
    assert alone == ["Two there. One here."]
    assert augment_texts(["One here. Two there.", "x y"], step("sentence_reordering")).rows["text"].to_list() == alone
    dots = augment_texts(["... One here. Two there."], step("sentence_reordering", copies=9)).rows["text"].to_list()
    after = augment_texts(["x y", "... One here. Two there."], step("sentence_reordering", copies=9)).rows["text"]
    assert [text.count(".") for text in after] == [5] * len(after)
    assert sorted(set(after)) == sorted(set(dots))


def test_insertion_adds_synonyms_of_the_same_script():
    text = "The movie 电影 was awful 漂亮"
    for result in augment_texts([text], step("random_insertion", rate=0.5, copies=30)).rows["text"]:
        rest = iter(result)
        assert all(sign in rest for sign in text)
        assert len(words_of(result)) > len(words_of(text))


def test_rates_say_how_many_words_change():
    text = "movie story " * 50
    for rate, count in ((0.1, 10), (0.29, 29), (1.0, 100)):
        (result,) = augment_texts([text], step("synonym_replacement", rate=rate)).rows["text"]
        changed = sum(a != b for a, b in zip(text.split(), result.split(), strict=True))
        assert changed == count


def test_terms_are_protected():
    made = augment_texts(
        ["The movie and the Movies, a story"], step("synonym_replacement", rate=1.0, protect=("movie",))
    )
    assert "movie and the Movies, a" in made.rows["text"][0]


def test_factors_multiply_the_copies_of_a_label():
    rows = pl.concat([rows_of(["a movie about a clever story"] * 400).with_columns(label=pl.lit("x"))])
    rows = rows.with_columns(label=pl.Series(["rare", "half", "none", "usual"] * 100))
    told = {"copies": 2, "factors": {"rare": 3, "half": 0.25, "none": 0}}
    one = AugmentationStep.model_validate({"punctuation_insertion": told})
    augmenter = make_augmenter([one], Task.TEXT_CLASSIFICATION, Path())
    made = augment_rows(rows, augmenter, 1)
    total = made.rows.group_by("label").len().sort("label")
    tried = sum(made.counts["punctuation_insertion"].values())
    assert dict(total.iter_rows()).keys() == {"rare", "half", "usual"}
    assert 800 + 30 < tried < 800 + 70
    shuffled = augment_rows(rows[::-1], augmenter, 1)
    assert shuffled.rows.sort("row_id").equals(made.rows.sort("row_id"))
    several = rows.select("row_id", "text", labels=pl.concat_list(pl.col("label"), pl.lit("usual")))
    multilabel = make_augmenter([one], Task.MULTILABEL, Path())
    assert set(augment_rows(several, multilabel, 1).rows["labels"].list.first()) == {"rare", "half", "none", "usual"}


def test_steps_number_their_copies_apart():
    made = augment_texts([SENTENCES[0]], step("random_swap", copies=2), step("typing_noise", copies=2))
    assert made.rows["row_id"].to_list() == ["r:1+1", "r:1+2", "r:1+3", "r:1+4"]


CHAT = [
    {"role": "system", "content": "Be a clever teacher of difficult movies.", "weight": None, "details": None},
    {"role": "user", "content": "Tell a funny story about a movie.", "weight": None, "details": "{}"},
    {"role": "assistant", "content": "A movie story is a difficult story.", "weight": 0.5, "details": None},
    {"role": "tool", "content": '{"movie": "story"}', "weight": None, "details": None},
    {"role": "user", "content": None, "weight": None, "details": None},
    {"role": "user", "content": "Another movie story, clever and difficult.", "weight": None, "details": None},
]


@pytest.mark.parametrize(("side", "changed"), [("input", {1, 5}), ("all", {0, 1, 2, 5})])
def test_only_what_is_told_changes_in_a_conversation(side, changed):
    rows = pl.DataFrame(
        {"row_id": ["c:1", "c:2", "c:3"], "messages": pl.Series([CHAT, [], CHAT[:1]], dtype=MESSAGES), "tools": None}
    )
    made = augment_rows(rows, augmenter_for(Task.CAUSAL_LM, step("synonym_replacement", rate=1.0, side=side)), 3)
    assert made.rows.schema["messages"] == MESSAGES
    turns = made.rows["messages"][0].to_list()
    assert {place for place, turn in enumerate(turns) if turn["content"] != CHAT[place]["content"]} == changed
    assert [{**turn, "content": ""} for turn in turns] == [{**turn, "content": ""} for turn in CHAT]
    assert made.rows["parent_id"].to_list() == (["c:1"] if side == "input" else ["c:1", "c:3"])
    again = augment_rows(rows[:1], augmenter_for(Task.CAUSAL_LM, step("synonym_replacement", rate=1.0, side=side)), 3)
    assert again.rows["messages"].to_list() == made.rows["messages"][:1].to_list()


def test_only_the_source_of_a_pair_changes_unless_told():
    rows = pl.DataFrame({"row_id": ["p:1"], "source_text": [SENTENCES[0]], "target_text": ["A clever movie story."]})
    told = augment_rows(rows, augmenter_for(Task.SEQ2SEQ, step("synonym_replacement", rate=1.0, side="all")), 0).rows
    made = augment_rows(rows, augmenter_for(Task.SEQ2SEQ, step("synonym_replacement", rate=1.0)), 0).rows
    assert made["target_text"][0] == "A clever movie story." != told["target_text"][0]
    assert made["source_text"][0] != SENTENCES[0]


@pytest.mark.parametrize("name", STEPS)
def test_both_texts_of_a_pair_change_and_a_text_that_is_not_there_stays_so(name):
    rows = rows_of(SENTENCES).with_columns(text_pair=pl.Series([*SENTENCES[1:], None], dtype=pl.String))
    settings = [AugmentationStep.model_validate({name: {}})]
    made = augment_rows(rows, make_augmenter(settings, Task.REGRESSION, Path(), has_pairs=True), 3).rows
    parents = rows.select("row_id", first="text", second="text_pair")
    told = made.join(parents, left_on="parent_id", right_on="row_id", maintain_order="left")
    assert len(told), "the test must not pass on nothing"
    assert (told["text_pair"].is_null() == told["second"].is_null()).all()
    changed = told.select(pl.col("text") != pl.col("first"), pl.col("text_pair").ne_missing(pl.col("second")))
    assert changed.select(pl.any_horizontal(pl.all()).all()).item()
    alone = augment_rows(rows, make_augmenter(settings, Task.REGRESSION, Path()), 3).rows
    assert alone.join(rows, left_on="parent_id", right_on="row_id")["text_pair_right"].equals(alone["text_pair"])


def test_a_copy_of_a_pair_is_new_where_either_text_is():
    rows = pl.DataFrame({"row_id": ["p:1", "p:2"], "text": ["one two", "one two"], "text_pair": ["a", "b"]})
    step_of_swap = [AugmentationStep.model_validate({"random_swap": {"rate": 1.0}})]
    augmenter = make_augmenter(step_of_swap, Task.REGRESSION, Path(), has_pairs=True)
    made = augment_rows(rows, augmenter, 1)
    assert made.rows["text"].to_list() == ["two one", "two one"]
    assert len(set(made.keys)) == 2


tagged_tokens = st.lists(
    st.tuples(
        st.sampled_from(["movie", "story", "The", "awful", "clever", ".", "电影", "喜欢", "EU", "begins"]),
        st.sampled_from(["O", "O", "O", "B-X", "I-X", "S-X", "E-X"]),
    ),
    max_size=12,
)


@pytest.mark.parametrize("name", [name for name in STEPS if name != "sentence_reordering"])
@given(sentences=st.lists(tagged_tokens, min_size=1, max_size=4))
@quick
def test_tags_stay_with_their_tokens(name, sentences):
    rows = pl.DataFrame(
        {
            "row_id": [str(number) for number in range(len(sentences))],
            "tokens": pl.Series([[token for token, _ in one] for one in sentences], dtype=STRINGS),
            "tags": pl.Series([[tag for _, tag in one] for one in sentences], dtype=STRINGS),
        }
    )
    made = augment_rows(rows, augmenter_for(Task.TOKEN_CLASSIFICATION, step(name, rate=0.5)), 5).rows
    assert made.schema["tags"] == STRINGS
    assert (made["tokens"].list.len() == made["tags"].list.len()).all()
    for parent, tokens, tags in made.select("parent_id", "tokens", "tags").iter_rows():
        before = sentences[int(parent)]
        kept = [(token, tag) for token, tag in zip(tokens, tags, strict=True) if tag != "O"]
        assert kept == [pair for pair in before if pair[1] != "O"]
        gaps, gaps_before = ("".join("O" if tag == "O" else "|" for tag in of) for of in (tags, [t for _, t in before]))
        squeezed = [[bool(part) for part in of.split("|")] for of in (gaps, gaps_before)]
        assert squeezed[0] == squeezed[1]
        if name in ("synonym_replacement", "random_swap", "typing_noise", "homophone_noise"):
            assert tags == [tag for _, tag in before]


@pytest.mark.parametrize("task", list(Task))
def test_no_rows_give_no_copies(task):
    rows = pl.DataFrame(schema={"row_id": pl.String, **FIELDS[task]})
    made = augment_rows(rows, augmenter_for(task, step("random_swap", copies=2)), 0)
    assert made.rows.schema == pl.Schema({**rows.schema, "parent_id": pl.String})
    assert made.counts == {"random_swap": {"made": 0, "unchanged": 0, "duplicate": 0}}


@pytest.mark.parametrize("name", STEPS)
def test_sliced_and_chunked_rows_and_nulls(name):
    rows = rows_of([*SENTENCES, None])
    augmenter = augmenter_for(Task.TEXT_CLASSIFICATION, step(name))
    whole = augment_rows(rows, augmenter, 0).rows
    chunked = pl.concat([rows[:3], rows[3:]], rechunk=False)
    assert augment_rows(chunked, augmenter, 0).rows.equals(whole)
    inner = rows["row_id"][2:6].to_list()
    assert augment_rows(rows[2:6], augmenter, 0).rows.equals(whole.filter(pl.col("parent_id").is_in(inner)))


def test_rows_are_not_changed():
    rows = rows_of(SENTENCES)
    before = rows.clone()
    augment_rows(rows, augmenter_for(Task.TEXT_CLASSIFICATION, step("random_deletion")), 0)
    assert rows.equals(before)


def test_seeds_differ():
    assert not augment_texts(SENTENCES, step("random_swap"), seed=1).rows.equals(
        augment_texts(SENTENCES, step("random_swap"), seed=2).rows
    )


def test_an_augmenter_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        augmenter_for(Task.TEXT_CLASSIFICATION, step("random_swap")).task = Task.SEQ2SEQ
