"""Which task and which parts are seen in columns, by their names and by what is in them."""

import pytest

from sftdata.proposal.drafting import draft_schema, find_scheme
from sftdata.proposal.lengths import (
    describe_lengths,
    estimate_tokens,
    find_quantiles,
    measure_tokens,
    propose_max_length,
)
from sftdata.proposal.misspelling import find_misspelt
from sftdata.proposal.parts import Columns, find_separator, guess_task
from sftdata.proposal.profiles import profile_columns
from sftdata.proposal.proposing import lacks_header, name_after
from sftdata.records import Task
from sftdata.tokenizers.loading import load_tokenizer

PROSE = "a sentence that is long enough to be read, number"
TURNS = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]


def columns_of(source_format="jsonl", count=30, **makers):
    """Make columns from functions of the row's number."""
    rows = [{name: make(i) for name, make in makers.items()} for i in range(count)]
    return Columns(profile_columns(rows, source_format))


def prose(i):
    return f"{PROSE} {i}"


def few(i):
    return ["red", "green", "blue"][i % 3]


@pytest.mark.parametrize(
    ("makers", "task", "parts"),
    [
        ({"text": prose, "label": few}, Task.TEXT_CLASSIFICATION, {"text": "text", "label": "label"}),
        ({"Review": prose, "Sentiment": few}, Task.TEXT_CLASSIFICATION, {"text": "Review", "label": "Sentiment"}),
        ({"评论": prose, "标签": few}, Task.TEXT_CLASSIFICATION, {"text": "评论", "label": "标签"}),
        ({"text": prose, "label": lambda i: i % 2}, Task.TEXT_CLASSIFICATION, {"text": "text", "label": "label"}),
        (
            {"text": prose, "label": lambda i: i % 3, "label_text": few},
            Task.TEXT_CLASSIFICATION,
            {"text": "text", "label": "label_text"},
        ),
        ({"gloss": prose, "lexname": few}, Task.TEXT_CLASSIFICATION, {"text": "gloss", "label": "lexname"}),
        ({"title": prose, "kind": few, "body": prose}, Task.TEXT_CLASSIFICATION, {"text": "body", "label": "kind"}),
        ({"text": prose, "score": lambda i: i / 7}, Task.REGRESSION, {"text": "text", "score": "score"}),
        (
            {"text": prose, "label": few, "Sample-Weight": lambda i: i / 7},
            Task.TEXT_CLASSIFICATION,
            {"text": "text", "label": "label", "weight": "Sample-Weight"},
        ),
        ({"messages": lambda i: TURNS, "weight": lambda i: i / 7}, Task.CAUSAL_LM, {"messages": "messages"}),
        ({"text": prose, "rating": lambda i: i % 5}, Task.REGRESSION, {"text": "text", "score": "rating"}),
        ({"text": prose, "label": lambda i: i / 7}, Task.REGRESSION, {"text": "text", "score": "label"}),
        ({"said": prose, "grade": lambda i: i / 7}, Task.REGRESSION, {"text": "said", "score": "grade"}),
        ({"said": prose, "x1": lambda i: i / 7}, Task.REGRESSION, {"text": "said", "score": "x1"}),
        ({"text": prose, "labels": lambda i: [few(i)]}, Task.MULTILABEL, {"text": "text", "labels": "labels"}),
        (
            {"text": prose, "tags": lambda i: few(i) if i % 2 else f"{few(i)}|{few(i + 1)}"},
            Task.MULTILABEL,
            {"text": "text", "labels": "tags"},
        ),
        (
            {"instruction": prose, "input": prose, "output": prose},
            Task.CAUSAL_LM,
            {"instruction": "instruction", "input": "input", "response": "output"},
        ),
        (
            {"指令": prose, "输入": prose, "输出": prose, "history": lambda i: [["a", "b"]], "system": prose},
            Task.CAUSAL_LM,
            {"instruction": "指令", "input": "输入", "response": "输出", "system": "system", "history": "history"},
        ),
        ({"prompt": prose, "completion": prose}, Task.CAUSAL_LM, {"prompt": "prompt", "completion": "completion"}),
        ({"question": prose, "answer": few}, Task.CAUSAL_LM, {"prompt": "question", "completion": "answer"}),
        (
            {"prompt": prose, "chosen": prose, "rejected": prose},
            Task.CAUSAL_LM,
            {"prompt": "prompt", "completion": "chosen"},
        ),
        ({"aaa": prose, "bbb": prose}, Task.CAUSAL_LM, {"prompt": "aaa", "completion": "bbb"}),
        ({"messages": lambda i: TURNS}, Task.CAUSAL_LM, {"messages": "messages"}),
        ({"chat_log": lambda i: TURNS, "text": prose}, Task.CAUSAL_LM, {"messages": "chat_log"}),
        (
            {"conversations": lambda i: [{"from": "human", "value": "a"}], "system": prose, "tools": lambda i: "[]"},
            Task.CAUSAL_LM,
            {"messages": "conversations", "system": "system", "tools": "tools"},
        ),
        ({"source": prose, "target": prose}, Task.SEQ2SEQ, {"source": "source", "target": "target"}),
        ({"article": prose, "highlights": prose}, Task.SEQ2SEQ, {"source": "article", "target": "highlights"}),
        ({"zh": prose, "en": prose}, Task.SEQ2SEQ, {"source": "zh", "target": "en"}),
        (
            {"tokens": lambda i: ["New", "York"], "ner_tags": lambda i: ["B-LOC", "I-LOC"]},
            Task.TOKEN_CLASSIFICATION,
            {"tokens": "tokens", "tags": "ner_tags"},
        ),
        ({"a": lambda i: i, "b": lambda i: i / 3}, None, {}),
        ({"text": prose}, None, {}),
        ({"id": lambda i: i, "when": lambda i: "2024-01-01", "where": few}, None, {}),
        ({"source": few, "text": prose, "label": few}, Task.TEXT_CLASSIFICATION, {"text": "text", "label": "label"}),
        ({"text": prose, "target": few}, Task.TEXT_CLASSIFICATION, {"text": "text", "label": "target"}),
        ({"text": prose, "target": prose}, Task.SEQ2SEQ, {"source": "text", "target": "target"}),
        (
            {"idx": lambda i: i, "premise": prose, "hypothesis": prose, "label": few},
            Task.TEXT_CLASSIFICATION,
            {"text": "premise", "text_pair": "hypothesis", "label": "label"},
        ),
        (
            {"Sentence2": prose, "Sentence1": prose, "score": lambda i: i / 3},
            Task.REGRESSION,
            {"text": "Sentence1", "text_pair": "Sentence2", "score": "score"},
        ),
        (
            {"question": prose, "passage": prose, "labels": lambda i: ["a", "b"]},
            Task.MULTILABEL,
            {"text": "question", "text_pair": "passage", "labels": "labels"},
        ),
        ({"premise": prose, "hypothesis": prose}, Task.CAUSAL_LM, {"prompt": "premise", "completion": "hypothesis"}),
        ({"text_a": prose, "label": few}, Task.TEXT_CLASSIFICATION, {"text": "text_a", "label": "label"}),
    ],
)
def test_task_and_parts(makers, task, parts):
    guess = guess_task(columns_of(**makers))
    assert (guess.task, guess.parts) == (task, parts)


@pytest.mark.parametrize(
    ("makers", "said"),
    [
        ({"gloss": prose, "lexname": few}, "told by what is in the columns"),
        ({"text": prose, "rating": lambda i: i % 5}, "5 values"),
        ({"source": prose, "target": prose}, "could also be learnt as a conversation"),
        ({"premise": prose, "hypothesis": prose, "note": prose, "label": few}, "note holds text too"),
        ({"prompt": prose, "chosen": prose, "rejected": prose}, "preference data"),
        ({"messages": lambda i: TURNS, "other": lambda i: TURNS}, "other holds conversations too"),
        ({"question": lambda i: [TURNS]}, "lists inside a list"),
        ({"tokens": lambda i: ["a"], "pos": lambda i: ["X"], "ner": lambda i: ["O"]}, "as long as the tokens too: pos"),
    ],
)
def test_what_is_unsure_is_said(makers, said):
    assert any(said in doubt.text for doubt in guess_task(columns_of(**makers)).doubts)


def test_nothing_is_unsure_about_a_plain_case():
    assert guess_task(columns_of(text=prose, label=few)).doubts == ()


@pytest.mark.parametrize(
    ("source_format", "value", "dtype"),
    [
        ("jsonl", "a", "str"),
        ("jsonl", 1, "int"),
        ("jsonl", 1.5, "float"),
        ("jsonl", True, "bool"),
        ("jsonl", 2**70, "str"),
        ("jsonl", ["a"], "list[str]"),
        ("jsonl", [], "list[str]"),
        ("jsonl", [["a", "b"]], "pairs"),
        ("jsonl", TURNS, "messages"),
        ("jsonl", [{"speaker": "a", "text": "b"}], "messages"),
        ("jsonl", {"a": 1}, "json"),
        ("jsonl", [1], "json"),
        ("jsonl", '["a"]', "str"),
        ("csv", "a", "str"),
        ("csv", "1", "int"),
        ("csv", "-1.50", "float"),
        ("csv", "007", "str"),
        ("csv", "true", "bool"),
        ("csv", '["a"]', "list[str]"),
        ("csv", '[{"from": "a", "value": "b"}]', "messages"),
        ("csv", "[not JSON", "str"),
        ("parquet", '{"a": 1}', "json"),
    ],
)
def test_dtype_of_a_column(source_format, value, dtype):
    assert columns_of(source_format, column=lambda i: value)["column"].dtype == dtype


def test_a_few_faulty_values_do_not_change_a_dtype():
    numbers = columns_of(count=200, column=lambda i: "n/a" if i == 7 else i)["column"]
    assert (numbers.dtype, columns_of(count=50, column=lambda i: "n/a" if i == 7 else i)["column"].dtype) == (
        "int",
        "str",
    )


def test_numbers_among_texts_are_taken_for_text():
    profile = columns_of(column=lambda i: i if i % 2 else "x")["column"]
    assert (profile.dtype, profile.coerce, profile.counts["1"]) == ("str", True, 1)
    assert not columns_of("csv", column=lambda i: str(i) if i % 2 else "x")["column"].coerce


def test_what_is_missing_is_counted():
    assert columns_of("csv", column=lambda i: "" if i < 3 else "x")["column"].missing == 3
    assert columns_of("jsonl", column=lambda i: "" if i < 3 else None)["column"].missing == 27
    assert columns_of("parquet", column=lambda i: "nan" if i < 3 else 0.5)["column"].missing == 3


@pytest.mark.parametrize("separator", [";", "|", ",", "、", "；", "，"])
def test_a_separator_between_labels(separator):
    profile = columns_of(count=60, column=lambda i: [few(i), separator.join([few(i), few(i + 1)])][i % 2])["column"]
    assert find_separator(profile) == separator


@pytest.mark.parametrize(
    "make",
    [few, prose, lambda i: f"a;{i}", lambda i: "a;b", lambda i: f"noun.{few(i)}", lambda i: ["a;", "b", "a;b"][i % 3]],
)
def test_no_separator_between_labels(make):
    assert find_separator(columns_of(count=60, column=make)["column"]) is None


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        (["B-X", "I-X", "O"], "BIO"),
        (["B-X", "O"], "BIO"),
        (["B-X", "I-X", "E-X", "S-X", "O"], "BIOES"),
        (["B-X", "M-X", "E-X", "S-X", "O"], "BMES"),
        (["B-X", "I-X", "L-X", "U-X", "O"], "BILOU"),
        (["NN", "VB"], None),
        (["B", "I", "O"], None),
        (["O"], None),
        (["Z-X", "O"], None),
    ],
)
def test_scheme_of_tags(tags, scheme):
    assert find_scheme(dict.fromkeys(tags, 1)) == scheme


def drafted(**makers):
    columns = columns_of(**makers)
    draft = draft_schema("own", columns, guess_task(columns), whole=True)
    return {column.name: column for column in draft.columns}, [doubt.text for doubt in draft.doubts]


def test_roles_are_mapped_and_strange_ones_named():
    said = [{"from": "Human", "value": "a"}, {"from": "gpt", "value": "b"}, {"from": "wizard", "value": "c"}]
    columns, doubts = drafted(conversations=lambda i: said)
    assert columns["conversations"].settings["roles"] == {"Human": "user", "gpt": "assistant"}
    assert columns["conversations"].settings["keys"] == {"role": "from", "content": "value"}
    assert any("who is 'wizard'?" in doubt for doubt in doubts)


def test_labels_that_may_be_one_are_named():
    columns, doubts = drafted(
        count=200, text=prose, label=lambda i: "Positve" if i == 9 else ["positive", "Positive"][i % 2]
    )
    assert columns["label"].settings["checks"] == {"isin": ["Positive", "positive"]}
    assert doubts == [
        "is 'Positive' (99) the same as 'positive'?",
        "'Positve' (1 row) may be 'Positive' misspelt: left out, so rejected; if it is right, take away its #",
    ]


@pytest.mark.parametrize(
    ("counts", "misspelt"),
    [
        ({"noun.group": 20, "noun.grup": 2}, {"noun.grup": "noun.group"}),
        ({"noun.group": 19, "noun.grup": 1}, {}),
        ({"noun.group": 20, "noun.grup": 3}, {}),
        (
            {"noun.group": 20, "NOUN.GROUP": 2, " noun.group": 1},
            dict.fromkeys(["NOUN.GROUP", " noun.group"], "noun.group"),
        ),
        ({"neg": 1000, "Neg": 10}, {"Neg": "neg"}),
        ({"neg": 1000, "Neg": 11}, {}),
        ({"level 10": 300, "level 11": 1}, {}),
        ({"I-corporation": 90, "B-corporation": 2}, {}),
        ({"B-corporation": 90, "B-corporaton": 2}, {"B-corporaton": "B-corporation"}),
        ({"animal": 90, "mineral": 1}, {}),
        ({}, {}),
    ],
)
def test_what_is_probably_misspelt_is_much_alike_and_has_next_to_no_rows(counts, misspelt):
    assert find_misspelt(counts) == misspelt


def test_what_is_misspelt_is_left_out_of_lists_and_tags():
    def tags(i):
        return ["B-corporaton" if i == 9 else "B-corporation", "O"]

    columns, _ = drafted(count=200, tokens=lambda i: [f"a{i}", "b"], tags=tags)
    assert columns["tags"].settings["checks"] == {
        "as_long_as": "tokens",
        "legal_tags": "BIO",
        "entries_isin": ["B-corporation", "O"],
    }
    several = ["politics;sports", "sports", "politics", "arts;sports", "arts"]
    columns, doubts = drafted(count=200, text=prose, labels=lambda i: "Politics;sports" if i == 9 else several[i % 5])
    assert columns["labels"].settings["checks"] == {"entries_isin": ["arts", "politics", "sports"]}
    assert doubts[-1].startswith("'Politics' (1 row) may be 'politics' misspelt")


def test_columns_without_a_part_are_not_checked_but_shown():
    columns, _ = drafted(text=prose, label=few, stars=lambda i: i % 5, note=lambda i: None)
    assert [column.used for column in columns.values()] == [True, True, False, False]
    assert columns["stars"].settings == {"dtype": "int"}
    assert columns["note"].settings == {"dtype": "str", "nullable": True}


@pytest.mark.parametrize(
    ("header", "first", "lacks"),
    [
        (["1", "2.5", "The film is one that nobody forgets."], {"a": 1, "b": 2.5, "c": 3}, True),
        (["id", "2.5", "The film is one that nobody forgets."], {}, False),
        (["gloss", "lexname", "synset"], {}, False),
    ],
)
def test_a_header_that_is_a_record(header, first, lacks):
    makers = dict(zip(header, [lambda i: str(i), lambda i: f"{i}.5", prose], strict=True))
    assert lacks_header(header, columns_of("tsv", **makers)) == lacks


def test_quantiles_are_numbers_that_stand_there():
    assert find_quantiles(range(1, 101)) == (1, 50, 99, 100)
    assert find_quantiles([7]) == (7, 7, 7, 7)
    assert find_quantiles([]) == (0, 0, 0, 0)
    assert describe_lengths(["ab", "cd"]) == "2 characters"
    assert describe_lengths(["a", "bcd"]) == "1 to 3 characters, median 1, 99% up to 3"


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("abcd", 1), ("abcde", 2), ("你好", 2), ("你好 ab", 3)])
def test_tokens_are_estimated_by_the_rule(text, tokens):
    assert estimate_tokens(text) == tokens


def test_tokens_are_counted_with_a_tokenizer(text_tokenizer):
    tokenizer = load_tokenizer(str(text_tokenizer))
    rows = [{"text": "the quick brown fox", "label": "x"}] * 3
    lengths = measure_tokens(rows, Task.TEXT_CLASSIFICATION, {"text": "text", "label": "label"}, tokenizer)
    assert lengths.tokens.greatest == len(tokenizer.reference.encode("the quick brown fox").ids)
    assert lengths.how.startswith("counted with ")


def test_every_turn_of_a_conversation_counts():
    rows = [{"messages": TURNS * count} for count in (1, 5)]
    lengths = measure_tokens(rows, Task.CAUSAL_LM, {"messages": "messages"}, None)
    assert lengths.tokens.greatest == 5 * lengths.tokens.least > 0


@pytest.mark.parametrize(
    ("length", "proposed"), [(1, 32), (32, 32), (33, 64), (1000, 1024), (1024, 1024), (1025, 2048)]
)
def test_max_length_covers_99_percent_and_is_a_power_of_two(length, proposed):
    lengths = measure_tokens(
        [{"text": "x" * 4 * (length - 2), "label": "a"}],
        Task.TEXT_CLASSIFICATION,
        {"text": "text", "label": "label"},
        None,
    )
    assert (max(lengths.tokens.most, 2), propose_max_length(lengths)) == (max(length, 2), proposed)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("data/Reviews 2024.csv.gz", "reviews_2024"),
        ("data/*.jsonl", "data"),
        ("评论.csv", "评论"),
        ("...csv", "csv"),
    ],
)
def test_a_schema_is_named_after_the_data(file, name):
    assert name_after(file) == name


def test_a_column_of_weights_is_no_score_and_one_that_may_be_is_asked_about():
    found = columns_of(text=prose, label=few, loss_weight=lambda i: None if i == 3 else 1 + i / 4)
    draft = draft_schema("mine", found, guess_task(found), whole=True)
    (column,) = [column for column in draft.columns if column.name == "loss_weight"]
    assert column.settings == {"dtype": "float", "nullable": True}
    assert column.note == "what the loss of a row is multiplied by: 1 to 8.25, median 4.75"
    asked = guess_task(columns_of(text=prose, label=few, weight=lambda i: i + 0.5))
    assert "weight" not in asked.parts
    assert [doubt.about for doubt in asked.doubts] == ["weight"]
    assert guess_task(columns_of(sample_weight=lambda i: i / 4)).task is None
