"""What the pages show of every task, and that whatever stands in the data stays text."""

import json
import shutil

import pytest
from examples import WORDS, make_conversations, make_pairs, make_texts
from pages import read_page
from small_datasets import change_manifest
from viewing import EVERY_PAGE, HOSTILE, TOKEN, client, get, ids_of, prepare, read_lines

import sftdata
from sftdata.errors import VerificationError
from sftdata.records import IGNORE_INDEX
from sftdata.view import pages
from sftdata.view.site import make_site


@pytest.mark.parametrize("path", [*EVERY_PAGE, "rows?q=window.hit", "rejected?q=window.hit", "duplicates?kind=near"])
def test_whatever_stands_in_the_data_stays_text(hostile, path):
    content = client(hostile).get(f"/{TOKEN}/{path}").text
    page = read_page(content)
    assert not page.all("img") + page.all("style") + page.all("b", onclick="hit")
    assert [script.attributes for script in page.all("script")] == [{"src": "view.js", "defer": ""}]
    assert not [e for e in page.all() if {"style", "onerror", "onload"} & e.attributes.keys()]
    assert not set(content) & set("\x00\x1b\u202e\u2028")
    addresses = [e.attributes[name] for e in page.all() for name in ("href", "src", "action") if name in e.attributes]
    assert not [each for each in addresses if ":" in each.partition("?")[0] and each != "data:,"]
    assert TOKEN not in content


def test_what_is_hostile_can_be_read_and_chosen(hostile):
    rejected = get(hostile, "rejected")
    shown = "".join(pre.text for pre in rejected.all("pre"))
    assert json.dumps(HOSTILE[0]) in shown
    assert "\\u202e\\u2028" in shown
    options = {option.attributes.get("value") for option in get(hostile, "rows").all("option")}
    assert set(HOSTILE[:2]) <= options
    page = client(hostile).get(f"/{TOKEN}/rows", params={"label": HOSTILE[1], "q": "the fox"})
    assert 0 < len(ids_of(read_page(page.text))) == pages.ROWS


def test_links_lead_on_through_all_rows(hostile):
    manifest, seen, path = sftdata.read_manifest(hostile), [], "rows?split=train"
    while path:
        page = get(hostile, path)
        seen += ids_of(page)
        path = next((link.attributes["href"] for link in page.all("a", id="next")), None)
    assert seen == [row["row_id"] for row in sftdata.load_split(hostile)]
    assert len(seen) == manifest.splits["train"].rows > 2 * pages.ROWS
    assert ids_of(get(hostile, "rows?at=31")) == seen[30 : 30 + pages.ROWS]
    assert ids_of(get(hostile, "rows?at=99999")) == []


@pytest.mark.parametrize("name", ["rejected", "duplicates"])
def test_links_lead_on_through_all_lines_and_back(hostile, name, monkeypatch):
    monkeypatch.setattr(pages, "CLUSTER_LINES", 4)
    rows = read_lines(hostile / f"{name}.jsonl")
    seen, path, before = 0, name, []
    while path:
        page = get(hostile, path)
        seen += len(page.all("span", class_="tagline"))
        before = [link.attributes["href"] for link in page.all("a") if link.text == "Previous"]
        path = next((link.attributes["href"] for link in page.all("a", id="next")), None)
    assert seen == sum(len(row.get("reasons", "1")) for row in rows) > 4
    assert len(before) == 1
    assert get(hostile, before[0]).all("a", id="next")


def test_a_search_that_runs_out_of_time_goes_on_where_it_stopped(hostile, monkeypatch):
    whole = ids_of(get(hostile, "rows?q=fox&least=1"))
    monkeypatch.setattr(pages, "SECONDS", 0.0)
    monkeypatch.setattr("sftdata.view.rows.ROWS", 3)
    page, seen, steps = get(hostile, "rows?q=fox&least=1"), [], 0
    while True:
        seen, steps = seen + ids_of(page), steps + 1
        link = next((a.attributes["href"] for a in page.all("a", id="go-on")), None)
        if not link:
            break
        page = get(hostile, link)
    assert (seen, steps > 3) == (whole, True)
    assert page.one(id="next").text == "Next"
    assert f"{pages.ROWS} or more found" in " ".join(page.one(id="progress").text.split())


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("rows?at=x", "at: found 'x', expected a whole number from 1 on"),
        ("rows?at=0", "at: found '0', expected a whole number from 1 on"),
        ("rows?least=-1", "least: found '-1', expected a whole number from 0 on"),
        ("rows?low=abc", "low: found 'abc', expected a number"),
        ("rows?label=none", "label: found 'none', expected one of the 2 labels of the dataset"),
        ("row?at=99999", "at: found 99999, but split 'train' has"),
        ("rejection?at=99999999", "at: found 99999999, but rejected.jsonl has"),
        ("rejected?record=x", "record: found 'x', expected a whole number from 1 on"),
    ],
)
def test_a_wrong_address_is_a_message(hostile, path, said):
    answer = client(hostile).get(f"/{TOKEN}/{path}")
    assert answer.status_code == 400
    assert said in read_page(answer.text).one(class_="text").text


def test_a_rejected_row_is_found_by_all_that_one_knows_of_it(hostile):
    rows = read_lines(hostile / "rejected.jsonl")
    for field, parameter in (("reason", "reason"), ("stage", "stage"), ("record", "record")):
        value = rows[-1][field]
        expected = sum(row[field] == value for row in rows)
        page = read_page(client(hostile).get(f"/{TOKEN}/rejected", params={parameter: value}).text)
        assert len(page.all("article")) == min(expected, pages.LINES)
    assert get(hostile, "rejected?source=IMG").all("article")
    assert not get(hostile, "rejected?source=none").all("article")
    assert not get(hostile, "rejected?q=record").all("article"), "names that all rows have are not searched"
    assert get(hostile, "rejected?q=العربية").all("article")


def test_clusters_show_who_stays_who_fell_and_in_what_they_differ(hostile):
    page = get(hostile, "duplicates?kind=near")
    assert page.all("article")
    assert page.all("ins")
    row = read_lines(hostile / "duplicates.jsonl")[0]
    cluster = get(hostile, f"duplicates?id={row['kept_row_id']}")
    assert row["kept_row_id"] in cluster.one("article").text
    assert row["row_id"] in cluster.one("article").text
    kept = cluster.one("article").all("a")[0].attributes["href"]
    assert ids_of(get(hostile, kept)) == []
    assert row["kept_row_id"] in get(hostile, kept).one("h2").text


RECIPES = ["text", "chat", "pair", "tag", "translation", "multilabel", "regression"]


@pytest.mark.parametrize("name", RECIPES)
def test_rows_of_every_task_are_shown_and_found(request, name):
    out = prepare(request.getfixturevalue(f"{name}_recipe")())
    split, manifest = sftdata.load_split(out), sftdata.read_manifest(out)
    for path in EVERY_PAGE:
        if path != "rejection":  # no row was rejected
            get(out, path)
    page = get(out, "row?at=2")
    assert split[1]["row_id"] in page.one("h2").text
    assert len(page.all("div", class_="tokens")) == (2 if manifest.task == "seq2seq" else 1)
    marked = [token for mark in page.one(id="results").all("mark") for token in mark.attributes["title"].split()]
    assert list(map(int, marked)) == trained_ids(manifest.task, split[1])
    for label in manifest.label_names or ():
        found = ids_of(get(out, f"rows?label={label}"))
        assert found == [row["row_id"] for row in split if has(manifest, row, label)][: pages.ROWS]
    if manifest.task == "regression":
        assert (
            ids_of(get(out, "rows?low=0&high=1")) == [r["row_id"] for r in split if 0 <= r["labels"] <= 1][: pages.ROWS]
        )


def trained_ids(task, row):
    ids = row["labels"] if task == "seq2seq" else row["input_ids"]
    if task not in ("causal_lm", "token_classification", "seq2seq"):
        return []
    return [token for token, label in zip(ids, row["labels"], strict=True) if label != IGNORE_INDEX]


def has(manifest, row, label):
    number = manifest.label_names.index(label)
    if manifest.task == "multilabel":
        return row["labels"][number] == 1
    return number in row["labels"] if isinstance(row["labels"], list) else row["labels"] == number


def test_the_text_that_was_found_is_marked_in_source_and_target(translation_recipe):
    out = prepare(translation_recipe())
    page = get(out, "rows?q=第12个")
    assert "第12个" in page.one("b", class_="hit").text
    assert get(out, "rows?q=number 12").all("b", class_="hit")


def test_of_a_long_row_the_part_is_shown_that_was_looked_for(chat_recipe):
    said = " ".join(WORDS * 30)
    turns = [{"role": "user", "content": f"{said} needle {said}"}, {"role": "assistant", "content": "found"}]
    recipe = chat_recipe([{"messages": turns}], split={"train": 1.0, "validation": 0, "test": 0})
    recipe.write_text(recipe.read_text().replace('"max_length": 512', '"max_length": 9999'))
    page = get(prepare(recipe), "rows?q=needle")
    assert "needle" in page.one("b", class_="hit").text


def test_a_form_that_was_left_empty_asks_for_nothing(hostile):
    page = get(hostile, "rows?split=validation&q=&label=&least=&most=&id=&source=")
    assert "From row" in page.text
    assert "found" not in page.one(id="progress").text


def test_copies_lead_to_their_parents_and_parents_to_their_copies(text_recipe):
    rows = [{"text": f"the quick brown fox jumps over the lazy dog number {n}", "label": "a"} for n in range(40)]
    out = prepare(
        text_recipe(rows, augment=[{"typing_noise": {"rate": 0.2}}], split={"train": 1.0, "validation": 0, "test": 0})
    )
    copies = ids_of(get(out, "rows?kind=copies"))
    assert copies
    assert all("+1" in each for each in copies)
    assert not set(copies) & set(ids_of(get(out, "rows?kind=rows")))
    assert ids_of(get(out, "rows?kind=parts")) == []
    place = next(n for n, row in enumerate(sftdata.load_split(out)) if row["parent_id"])
    row = sftdata.load_split(out)[place]
    links = {link.text: link.attributes["href"] for link in get(out, f"row?at={place + 1}").all("a", class_="button")}
    assert row["parent_id"] in get(out, links[f"Parent {row['parent_id']}"]).one(id="place").text
    assert {row["parent_id"], row["row_id"]} <= set(ids_of(get(out, links["All of this record"])))


def test_folds_and_sources_can_be_chosen(text_recipe):
    out = prepare(text_recipe(make_texts(60), split={"folds": 3, "test": 0.1}))
    split = sftdata.load_split(out)
    assert ids_of(get(out, "rows?fold=1")) == [row["row_id"] for row in split if row["fold"] == 1][: pages.ROWS]
    assert len(ids_of(get(out, "rows?source=DATA"))) == pages.ROWS
    assert ids_of(get(out, "rows?source=nothing")) == []
    record = split[3]["row_id"].partition(":")[2]
    assert ids_of(get(out, f"rows?id={record}&source=data")) == [split[3]["row_id"]]


def test_a_long_row_is_shown_in_pieces_that_fit_together(chat_recipe, monkeypatch):
    monkeypatch.setattr("sftdata.view.showing.WHOLE", 7)
    out = prepare(chat_recipe(make_conversations(12)))
    ids, path = [], "row?at=1"
    while path:
        page = get(out, path)
        ids += [
            token for e in page.one("div", class_="tokens").all() for token in e.attributes.get("title", "").split()
        ]
        path = next((a.attributes["href"] for a in page.all("a") if a.text == "Further tokens"), None)
    assert list(map(int, ids)) == sftdata.load_split(out)[0]["input_ids"]


def test_a_dataset_that_was_prepared_again_is_shown_anew(text_recipe):
    out = prepare(text_recipe(make_texts(100)))
    page = client(out)
    assert "100" in read_page(page.get(f"/{TOKEN}/").text).one(class_="sum").text
    prepare(text_recipe(make_texts(50)))
    assert "50" in read_page(page.get(f"/{TOKEN}/").text).one(class_="sum").text
    shutil.rmtree(out)
    answer = page.get(f"/{TOKEN}/rows")
    assert (answer.status_code, "is not a directory" in answer.text) == (404, True)


def test_damage_is_a_message_and_no_traceback(pair_recipe):
    out = prepare(pair_recipe(make_pairs(60)))
    page = client(out)
    shard = next((out / "train").glob("*.arrow"))
    shard.write_bytes(shard.read_bytes()[:-100])
    answer = page.get(f"/{TOKEN}/rows")
    assert (answer.status_code, "expected" in answer.text) == (404, True)
    change_manifest(out, lambda document: document.update(duplicates={"samples": 3}))
    answer = page.get(f"/{TOKEN}/duplicates")
    assert (answer.status_code, "cannot show" in answer.text) == (500, True)
    (out / "tokenizer" / "tokenizer.json").unlink()
    with pytest.raises(VerificationError, match=r"tokenizer\.json is missing"):
        make_site(out, TOKEN)
