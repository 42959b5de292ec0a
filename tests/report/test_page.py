"""The report says what the manifest and the shards hold, is the same everywhere, and never takes the place of data."""

import base64
import hashlib
import json
import re
import shutil
from collections import Counter

import independent
import pytest
from examples import make_texts
from pages import read_page

import sftdata
from sftdata.cli import app
from sftdata.errors import UsageError, VerificationError
from sftdata.manifest import digest_file, read_manifest
from sftdata.records import IGNORE_INDEX
from sftdata.report import facts
from sftdata.report.page import REPORT_NAME, render_report, write_report
from sftdata.tokenizers.loading import load_tokenizer

SECTIONS = ["flow", "rejected", "duplicates", "split", "lengths", "packing", "scripts", "rows", "recipe"]
BUSY = {
    "max_rejected": 1.0,
    "clean": {"html": True, "urls": "replace"},
    "deduplicate": {"exact": True, "near": {"threshold": 0.5, "action": "drop"}},
    "augment": [{"random_swap": {"rate": 0.3, "copies": 1}}],
    "balance": {"weights": "balanced"},
}


def prepare(path, **options):
    return sftdata.prepare(sftdata.load_recipe(path), **options)


def page_of(out):
    return read_page((out / REPORT_NAME).read_text(encoding="utf-8"))


def number(text):
    return int(text.replace(",", "").replace("−", "").replace("+", "") or 0)


def busy_rows():
    rows = [
        {"text": f"<p>number {i} of {'many ' * (i % 7)}</p> http://a.b/{i}", "label": "cd"[i % 2]} for i in range(90)
    ]
    return [*rows, *make_texts(40), *make_texts(5), {"text": " ", "label": "c"}, {"text": None, "label": "d"}]


@pytest.fixture
def busy(tmp_path, text_recipe):
    return prepare(text_recipe(busy_rows(), **BUSY)), tmp_path / "out"


def test_the_flow_closes_from_stage_to_stage(busy):
    manifest, out = busy
    flow = page_of(out).one("section", id="flow")
    counts = manifest.rows
    assert min(counts.rejected, counts.duplicates, counts.augmented) > 0
    terms = [number(item.one("b").text) for item in flow.one("ul", class_="sum").all("li") if item.all("b")]
    assert terms == [counts.read, counts.augmented, counts.written, counts.rejected, counts.duplicates]
    _, *steps = flow.all("table")[0].table()
    rows = counts.read
    for _, before, rejected, duplicates, added, after, _ in steps:
        assert number(before) == rows
        rows += number(added) - number(rejected) - number(duplicates)
        assert number(after) == rows
    assert rows == counts.written
    assert [sum(number(step[place]) for step in steps) for place in (2, 3, 4)] == [
        counts.rejected,
        counts.duplicates,
        counts.augmented,
    ]


def test_sections_and_what_they_show_are_those_of_the_data(busy):
    manifest, out = busy
    page = page_of(out)
    found = [section.attributes["id"] for section in page.all("section")]
    assert found == ["flow", "rejected", "cleaning", "duplicates", "split", "labels", *SECTIONS[4:]]
    assert [link.attributes["href"][1:] for link in page.one("nav").all("a")] == found
    reasons = {item.one(class_="what").text: item for item in page.one(id="reasons").all("details")}
    assert set(reasons) == set(manifest.rejected_by_reason)
    for line in map(json.loads, (out / "rejected.jsonl").read_text().splitlines()):
        shown = reasons[line["reason"]].text
        assert line["detail"] in shown
        assert json.dumps(line["original"], ensure_ascii=False, indent=2) in shown
    assert {item.one(class_="what").text for item in page.one(id="steps").all("details")} == set(
        manifest.cleaning["changed"]
    )
    before, after = page.one(id="steps").all("div", class_="pair")[0].all("div", class_="text")
    sample = next(s for s in manifest.cleaning["samples"])
    assert (before.text, after.text) == (sample["before"], sample["after"])
    assert {"<p>", "</p>"} <= {part.text.strip() for part in before.all("del")}
    assert [len(manifest.duplicates["samples"]), manifest.rows.duplicates] == [
        len(page.one(id="clusters").all("details")),
        manifest.duplicates["exact"] + manifest.duplicates["near"],
    ]
    assert manifest.duplicates["exact"] >= 5
    assert "0 near duplicates on two sides" in page.one("section", id="split").text
    assert manifest.tokenizer.digest in page.one("section", id="recipe").text
    assert "max_rejected: 1.0" in page.one("section", id="recipe").one("pre").text


def test_labels_are_counted_as_they_stand_in_the_shards(busy):
    manifest, out = busy
    head, *rows = page_of(out).one("section", id="labels").one("table").table()
    shares = [text for name in manifest.splits for text in (name, f"Share in {name}")]
    assert head == ["Label", *shares, "Weight"]
    for place, name in enumerate(manifest.splits):
        counts = Counter(manifest.label_names[row["labels"]] for row in sftdata.load_split(out, name))
        assert {row[0]: number(row[1 + 2 * place].split()[0]) for row in rows} == dict.fromkeys(
            manifest.label_names, 0
        ) | counts
    assert {row[0]: float(row[-1]) for row in rows} == pytest.approx(manifest.balance["weights"], rel=1e-2)


@pytest.mark.parametrize("kind", ["chat", "text", "multilabel", "regression", "tag", "translation", "pair"])
def test_rows_are_shown_token_by_token_with_what_is_trained(tmp_path, request, kind):
    manifest = prepare(request.getfixturevalue(f"{kind}_recipe")())
    out = tmp_path / "out"
    special = load_tokenizer(str(out / "tokenizer")).reference.get_added_tokens_decoder()
    articles = page_of(out).one("section", id="rows").all("article")
    assert len(articles) == sum(min(split.rows, 8 if name == "train" else 4) for name, split in manifest.splits.items())
    for article in articles:
        split = sftdata.load_split(out, article.all(class_="where")[0].text.split()[0])
        row = split.find(article.one("h3").text)
        sequences = article.all(class_="tokens")
        expected = [row["input_ids"], row["labels"]] if kind == "translation" else [row["input_ids"]]
        for place, (sequence, ids) in enumerate(zip(sequences, expected, strict=True)):
            pieces = [child for child in sequence.children if not isinstance(child, str)]
            assert [int(i) for piece in pieces for i in piece.attributes["title"].split()] == ids
            for piece in pieces:
                (token, *more) = map(int, piece.attributes["title"].split())
                is_special = token in special and special[token].special
                assert (piece.attributes.get("class") == "s") == is_special
                assert not is_special or (piece.children[0], more) == (special[token].content, [])
            trained = [piece.name == "mark" for piece in pieces for _ in piece.attributes["title"].split()]
            if kind in ("chat", "tag"):
                assert trained == [label != IGNORE_INDEX for label in row["labels"]]
            else:
                assert trained == [place == 1] * len(ids)
        if kind == "tag":
            names = [manifest.label_names[label] for label in row["labels"] if label != IGNORE_INDEX]
            assert [tag.text for tag in article.all("sup")] == [name for name in names if name != "O"]


def test_the_middle_of_a_long_row_is_left_out_and_counted(tmp_path, chat_recipe, monkeypatch):
    monkeypatch.setattr(facts, "HEAD", 30)
    monkeypatch.setattr(facts, "TAIL", 20)
    monkeypatch.setattr(facts, "HALF_CHARACTERS", 60)
    prepare(chat_recipe())
    cut = 0
    for article in page_of(tmp_path / "out").one("section", id="rows").all("article"):
        (sequence,) = article.all(class_="tokens")
        tokens = number(article.all("p", class_="where")[0].text.split()[0])
        shown = [piece for piece in sequence.children if not isinstance(piece, str) and "title" in piece.attributes]
        gap = [number(re.search(r"[\d,]+", gap.text)[0]) for gap in sequence.all(class_="gap")]
        assert sum(len(piece.attributes["title"].split()) for piece in shown) + sum(gap) == tokens
        assert len(sequence.text) < 200
        cut += len(gap)
    assert cut > 3


def test_weights_are_told_where_they_are_not_one(tmp_path, chat_recipe):
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0.25}]
    plain = [{"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}]
    rows = [{"messages": [*turns, *plain]}, {"messages": plain}]
    prepare(chat_recipe(rows, split={"train": 1, "validation": 0, "test": 0}))
    told = [each.text for each in page_of(tmp_path / "out").one("section", id="rows").all(class_="kept")]
    assert [text.partition(", ")[2] for text in told] == ["weight 0.25, 1", ""]


def test_folds_and_data_without_duplicates_rejections_or_cleaning(tmp_path, text_recipe):
    prepare(text_recipe(split={"folds": 4, "test": 0.1, "seed": 1}))
    page = page_of(tmp_path / "out")
    assert "No row was rejected" in page.one("section", id="rejected").text
    assert "No duplicate was dropped" in page.one("section", id="duplicates").text
    assert not page.all("section", id="cleaning")
    assert "fold 3" in page.one("section", id="split").text


def test_the_page_is_the_same_wherever_and_by_however_many_it_is_made(tmp_path, text_recipe, text_tokenizer):
    shutil.copytree(text_tokenizer, tmp_path / "words")
    recipe = text_recipe(busy_rows(), **BUSY, tokenize={"tokenizer": "words", "max_length": 64})
    first = prepare(recipe)
    second = prepare(recipe, out=tmp_path / "else" / "where", workers=2)
    content = (tmp_path / "out" / REPORT_NAME).read_bytes()
    assert content == (tmp_path / "else" / "where" / REPORT_NAME).read_bytes()
    assert first.files[REPORT_NAME] == second.files[REPORT_NAME] == independent.digest(content)
    assert str(tmp_path).encode() not in content
    shutil.move(tmp_path / "else" / "where", tmp_path / "moved")
    assert write_report(tmp_path / "moved", tmp_path / "again.html").read_bytes() == content
    (tmp_path / "moved" / REPORT_NAME).unlink()
    with pytest.raises(VerificationError, match=r"report\.html: missing"):
        sftdata.verify(tmp_path / "moved")
    assert write_report(tmp_path / "moved") == tmp_path / "moved" / REPORT_NAME
    sftdata.verify(tmp_path / "moved")


def test_a_report_never_takes_the_place_of_data(tmp_path, text_recipe):
    prepare(text_recipe())
    out = tmp_path / "out"
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for name in ("manifest.json", "train/data-00000-of-00001.arrow", "tokenizer/tokenizer.json", "index/train.arrow"):
        with pytest.raises(UsageError, match="is a file of the dataset"):
            write_report(out, out / name)
    with pytest.raises(UsageError, match="is a directory"):
        write_report(out, tmp_path)
    (out / "link.html").symlink_to("manifest.json")
    with pytest.raises(UsageError, match="is a file of the dataset"):
        write_report(out, out / "link.html")
    (out / "link.html").unlink()
    write_report(out, out / "mine.html")
    (out / "mine.html").unlink()
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_dataset_with_another_report_or_none_keeps_it(tmp_path, text_recipe):
    prepare(text_recipe())
    out, told = tmp_path / "out", tmp_path / "out" / "manifest.json"
    manifest = json.loads(told.read_text())
    manifest["version"] = "0.0.7"
    told.write_text(json.dumps(manifest))
    before = (out / REPORT_NAME).read_bytes()
    with pytest.raises(UsageError, match=r"made by 0\.0\.7, has another report than this .* -o FILE\.html"):
        write_report(out)
    assert (out / REPORT_NAME).read_bytes() == before
    del manifest["files"][REPORT_NAME]
    told.write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match="has no report, and a dataset is not changed"):
        write_report(out)


def test_a_dataset_of_another_program_has_a_report_too(tmp_path, text_tokenizer):
    content = (text_tokenizer / "tokenizer.json").read_bytes()
    rows = [{"row_id": f"s:{i}", "input_ids": [2, 5 + i, 3], "labels": i % 2} for i in range(1, 8)]
    independent.write(tmp_path, "text_classification", {"train": rows, "test": []}, ["no", "<yes>"], content, 200)
    page = read_page(write_report(tmp_path, tmp_path / "x.html").read_text(encoding="utf-8"))
    assert not {"labels", "cleaning", "scripts"} & {section.attributes["id"] for section in page.all("section")}
    assert len(page.one("section", id="rows").all("article")) == 7
    assert "This split has no rows." in page.one("section", id="rows").text
    sftdata.verify(tmp_path)


def test_damage_is_one_plain_message(tmp_path, text_recipe):
    prepare(text_recipe())
    out = tmp_path / "out"
    with pytest.raises(VerificationError, match="is not a prepared dataset"):
        write_report(tmp_path)
    (out / "index" / "train.arrow").write_bytes(b"ARROW")
    with pytest.raises(VerificationError, match=r"train\.arrow its content has changed"):
        write_report(out)
    (out / "tokenizer" / "tokenizer.json").write_text("{}")
    with pytest.raises(VerificationError, match=r"tokenizer\.json has changed: its digest"):
        write_report(out)
    shutil.rmtree(out / "tokenizer")
    with pytest.raises(VerificationError, match=r"tokenizer\.json is missing"):
        write_report(out)


def test_a_page_that_cannot_be_made_costs_no_dataset(tmp_path, text_recipe, monkeypatch):
    prepare(text_recipe())
    with monkeypatch.context() as patch:
        patch.setattr("sftdata.report.page.gather_facts", lambda *given: 1 / 0)
        with pytest.warns(RuntimeWarning, match=r"report\.html could not be made, a defect of sftdata: ZeroDivision"):
            manifest = prepare(text_recipe(make_texts(50)))
    assert REPORT_NAME not in manifest.files
    assert not (tmp_path / "out" / REPORT_NAME).exists()
    assert sftdata.verify(tmp_path / "out").rows.written == 50


@pytest.mark.parametrize(
    "odd",
    [{"split": {"got": 7}}, {"duplicates": {}}, {"statistics": {"splits": 3}}, {"cleaning": {"changed": {"a": "b"}}}],
)
def test_a_manifest_with_odd_parts_for_people_is_one_plain_message(tmp_path, text_recipe, odd):
    prepare(text_recipe())
    told = tmp_path / "out" / "manifest.json"
    told.write_text(json.dumps(json.loads(told.read_text()) | odd))
    try:
        write_report(tmp_path / "out", tmp_path / "x.html")
    except VerificationError as error:
        assert "says something that the report cannot show" in str(error)
    else:
        read_page((tmp_path / "x.html").read_text())


def test_the_command_says_where_the_report_is(tmp_path, text_recipe, capsys):
    prepare(text_recipe())
    app(["report", str(tmp_path / "out"), "-o", str(tmp_path / "r.html")], standalone_mode=False)
    assert capsys.readouterr().out == f"The report is in {tmp_path / 'r.html'}. Open it in a browser.\n"
    assert digest_file(tmp_path / "r.html") == read_manifest(tmp_path / "out").files[REPORT_NAME]


def test_the_policy_allows_our_script_and_style_and_nothing_else(busy):
    page = page_of(busy[1])
    policy = page.one("meta", http_equiv="Content-Security-Policy").attributes["content"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules.pop("default-src") == rules.pop("base-uri") == rules.pop("form-action") == "'none'"
    for kind, element in (("script-src", page.one("script")), ("style-src", page.one("style"))):
        digest = base64.b64encode(hashlib.sha256(element.text.encode()).digest()).decode()
        assert rules.pop(kind) == f"'sha256-{digest}'"
    assert not rules
    for element in page.all():
        assert not [name for name in element.attributes if name in ("style", "src") or name.startswith("on")]
        assert element.attributes.get("href", "#").startswith("#")
    assert "//" not in page.one("style").text.replace("/*", "")
    assert page.one("html").attributes["lang"] == "en"


def test_the_page_can_be_used_without_a_mouse_or_eyes(busy):
    page = page_of(busy[1])
    assert len(page.all("h1")) == len(page.all("main")) == len(page.all("nav")) == 1
    ids = Counter(element.attributes["id"] for element in page.all() if "id" in element.attributes)
    assert max(ids.values()) == 1
    for section in page.all("section"):
        assert section.one("h2").attributes["id"] == section.attributes["aria-labelledby"]
    named = [*page.all("input"), *page.all("select")]
    labels = "".join(label.attributes.get("for", "") for label in page.all("label"))
    for control in named:
        is_wrapped = any(control in label.all() for label in page.all("label"))
        assert "aria-label" in control.attributes or is_wrapped or control.attributes["id"] in labels
    for region in page.all(class_="scroll"):
        assert (region.attributes["tabindex"], region.attributes["role"]) == ("0", "region")
        assert region.attributes["aria-label"]
    for figure in page.all("svg"):
        assert figure.attributes.get("aria-hidden") == "true" or figure.attributes["aria-label"]
    for table in page.all("table"):
        assert all(cell.attributes["scope"] in ("col", "row") for cell in table.all("th"))


def test_a_page_of_any_data_stays_below_five_megabytes(tmp_path, text_recipe):
    """As much of everything as a page takes, each character as long as one can be in HTML."""
    wide = "\U000e0001"  # does not print, and is spelled out in ten characters
    rows = [{"text": f"{i}" + " <&>\"'b" * 90, "label": f"{i % 150}{wide * 300}"} for i in range(600)]
    tokenize = {**json.loads(text_recipe().read_text())["tokenize"], "max_length": 2048}
    manifest = prepare(text_recipe(rows, tokenize=tokenize, max_rejected=1.0))
    out = tmp_path / "out"
    names = [f"{i}{wide * 300}" for i in range(500)]
    told = {name: 5 - i % 3 for i, name in enumerate(names)}
    line = {"source": wide * 1500, "record": 1, "stage": "x", "reasons": names[:9], "detail": wide * 1500}
    with (out / "rejected.jsonl").open("w") as file:
        for name in names[:60]:
            file.writelines(
                json.dumps(line | {"reason": name, "original": {"a": wide * 1500}}) + "\n" for _ in range(7)
            )
    sample = {"step": "html", "row_id": "a:1", "field": "text", "before": wide * 200, "after": wide * 200}
    cluster = {"row_id": "a:1", "text": wide * 300, "dropped": 9}
    member = {"row_id": "a:2", "kind": "near", "similarity": 0.9, "text": wide * 300}
    shard = manifest.splits["train"].shards[0]
    splits = {
        name: split.model_copy(update={"shards": (*split.shards, *[shard.model_copy(update={"rows": 0})] * 3000)})
        for name, split in manifest.splits.items()
    }
    full = manifest.model_copy(
        update={
            "rejected_by_reason": told,
            "cleaning": {"changed": {"html": 3}, "samples": [sample] * 60},
            "duplicates": {
                "exact": 1,
                "near": 1,
                "clusters": 1,
                "largest": 9,
                "samples": [cluster | {"members": [member] * 3}] * 12,
            },
            "inputs": tuple(manifest.inputs[0].model_copy(update={"path": wide * 400}) for _ in range(500)),
            "recipe": {"a": wide * 90_000},
            "splits": splits,
        }
    )
    content = render_report(out, full, load_tokenizer(str(out / "tokenizer")).reference)
    read_page(content)
    assert 1_000_000 < len(content.encode()) < 5_000_000
