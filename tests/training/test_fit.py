"""A model that does not fit the data is refused before its weights are loaded; what was chosen on purpose is not.

The models here are a configuration and tokenizer files: a check that looked for weights would find none.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import transformers
from examples import make_conversations, make_pairs, make_texts, write_jsonl
from tiny import VOCABULARY, Example, write_dataset

import sftdata
from sftdata.errors import TrainingError, VerificationError
from sftdata.records import Task
from sftdata.training import check_model
from sftdata.training.fit import check_run
from sftdata.training.run import RunRecord

OTHER = "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}<|im_end|>{% endfor %}"


def prepare_rows(folder: Path, rows, **recipe) -> Path:
    write_jsonl(folder / "rows.jsonl", rows)
    recipe = {"sources": [{"path": "rows.jsonl"}], "output": {"dir": "out"}, "max_rejected": 0.5, **recipe}
    (folder / "recipe.yaml").write_text(json.dumps({"split": {"train": 0.9, "test": 0.1, "seed": 7}, **recipe}))
    sftdata.prepare(sftdata.load_recipe(folder / "recipe.yaml"))
    return folder / "out"


def prepare_chats(folder: Path, tokenizer: Path, **tokenize) -> Path:
    tokenize = {"tokenizer": str(tokenizer), "max_length": 512, **tokenize}
    return prepare_rows(folder, make_conversations(30), task="causal_lm", schema="messages", tokenize=tokenize)


@pytest.fixture(scope="module")
def chats(tmp_path_factory, chat_tokenizer) -> Path:
    return prepare_chats(tmp_path_factory.mktemp("chats"), chat_tokenizer)


@pytest.fixture(scope="module")
def texts(tmp_path_factory, text_tokenizer) -> Path:
    tokenize = {"tokenizer": str(text_tokenizer), "max_length": 64}
    folder, schema = tmp_path_factory.mktemp("texts"), "text_label"
    return prepare_rows(folder, make_texts(60), task="text_classification", schema=schema, tokenize=tokenize)


@pytest.fixture
def make_model(tmp_path):
    """Make a model without weights: a configuration, and the tokenizer files of a directory."""

    def make(tokenizer: Path | None, kind=transformers.LlamaConfig, vocab_size: int = 512, **options) -> Path:
        model = tmp_path / "model"
        kind(vocab_size=vocab_size, **options).save_pretrained(model)
        if tokenizer:
            shutil.copytree(tokenizer, model, dirs_exist_ok=True)
        return model

    return make


def edit(path: Path, alter) -> None:
    document = json.loads(path.read_text())
    alter(document)
    path.write_text(json.dumps(document, indent=1))


def refusal(data: Path, model: Path) -> list[str]:
    with pytest.raises(TrainingError) as caught:
        check_model(data, model)
    first, *faults, remedy = str(caught.value).splitlines()
    assert first == f"the model '{model}' does not fit the data in {data}:"
    assert f"`tokenize.tokenizer: {model}`, or train the model that the data belongs to (" in remedy
    return [fault.removeprefix("  ") for fault in faults]


def test_the_model_whose_tokenizer_made_the_data_fits(chats, texts, make_model, chat_tokenizer, text_tokenizer):
    assert check_model(chats, make_model(chat_tokenizer)) == ()
    assert check_model(str(texts), str(make_model(text_tokenizer, transformers.BertConfig))) == ()


def test_a_check_loads_no_tokenizer_of_transformers_and_no_weights(chats, make_model, chat_tokenizer):
    program = (
        "import sys, transformers\n"
        "def refuse(*_, **__): raise AssertionError\n"
        "transformers.PreTrainedTokenizerBase.from_pretrained = refuse\n"
        "transformers.PreTrainedModel.from_pretrained = refuse\n"
        "import sftdata.training; print(sftdata.training.check_model(*sys.argv[1:]))"
    )
    arguments = [str(chats), str(make_model(chat_tokenizer))]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "()\n"), done.stderr


def test_a_digest_may_differ_where_no_id_does(chats, make_model, chat_tokenizer):
    model = make_model(chat_tokenizer)
    edit(model / "tokenizer.json", lambda document: document.update(truncation=None, decoder=None))
    assert (model / "tokenizer.json").read_bytes() != (chat_tokenizer / "tokenizer.json").read_bytes()
    assert check_model(chats, model) == ()


def test_all_that_differs_is_told_at_once_with_what_to_do(chats, make_model, chat_tokenizer):
    model = make_model(chat_tokenizer, vocab_size=64, max_position_embeddings=8)
    edit(model / "tokenizer.json", lambda document: document["model"]["merges"].pop())
    edit(model / "tokenizer.json", lambda document: document.update(normalizer={"type": "Lowercase"}))
    edit(model / "tokenizer_config.json", lambda document: document.update(chat_template=OTHER))
    merges, normalizer, template, size, length = refusal(chats, model)
    assert merges.startswith("tokenizer: merges: ")
    assert normalizer == "tokenizer: normalizer: none in the data's, Lowercase in the model's"
    assert template.startswith("chat template: line 1: ")
    assert "in the data's, " in template
    vocabulary = sftdata.read_manifest(chats).tokenizer.vocab_size
    assert size == (
        f"vocabulary size: the data was tokenised with a vocabulary of {vocabulary}, but the model embeds 64 tokens"
    )
    assert "but the model takes 8; set tokenize.max_length to 8" in length


def test_examples_that_are_too_long_have_a_remedy_of_their_own(chats, make_model, chat_tokenizer):
    with pytest.raises(TrainingError) as caught:
        check_model(chats, make_model(chat_tokenizer, max_position_embeddings=8))
    _, length = str(caught.value).splitlines()
    assert length.endswith("set tokenize.max_length to 8 and prepare again, or choose another model")


def test_a_tokenizer_that_we_cannot_read_is_told(texts, make_model):
    model = make_model(None, transformers.BertConfig)
    (model / "vocab.txt").write_text("[PAD]")
    [note] = check_model(texts, model)
    assert note == "the model's tokenizer is in vocab.txt, not in tokenizer.json, and was not compared"


def test_a_token_that_the_template_writes_is_compared(tmp_path, make_model, chat_tokenizer):
    def alter(document):
        document.update(chat_template=OTHER.replace("<|im_end|>", "{{ eos_token }}"))

    model = make_model(chat_tokenizer)
    edit(model / "tokenizer_config.json", alter)
    data = prepare_chats(tmp_path, model)
    assert check_model(data, model) == ()
    edit(model / "tokenizer_config.json", lambda document: document.update(eos_token="<|endoftext|>"))
    [fault] = refusal(data, model)
    assert fault == (
        "eos_token, which the chat template writes: '<|im_end|>' in the data's, '<|endoftext|>' in the model's"
    )


def test_a_model_in_the_cache_of_the_hub_is_checked_by_its_name(tmp_path, chats, texts, make_model, chat_tokenizer):
    home = tmp_path / "hub" / "models--team--chat"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("0" * 40)
    shutil.copytree(make_model(chat_tokenizer), home / "snapshots" / ("0" * 40))
    program = (
        "import sys; from sftdata.errors import TrainingError; from sftdata.training import check_model\n"
        "for data, model in zip(sys.argv[1::2], sys.argv[2::2]):\n"
        "    try: print(check_model(data, model))\n"
        "    except TrainingError as error: print(str(error).splitlines()[0])"
    )
    arguments = [chats, "team/chat", texts, "team/chat", chats, "team/other"]
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    fits, other, missing = done.stdout.splitlines()
    assert fits == "()"
    assert other == f"the model 'team/chat' does not fit the data in {texts}:"
    assert missing.startswith("train.model: found 'team/other', expected a directory with config.json or the name of")


def test_only_sizes_are_compared_with_new_weights(chats, make_model):
    vocabulary = sftdata.read_manifest(chats).tokenizer.vocab_size
    assert check_model(chats, make_model(None, vocab_size=vocabulary)) == ()
    [fault] = refusal(chats, make_model(None, vocab_size=vocabulary - 1))
    assert fault.startswith("vocabulary size: ")


def test_padded_embeddings_are_fine(chats, make_model, chat_tokenizer):
    assert check_model(chats, make_model(chat_tokenizer, vocab_size=1024)) == ()


def test_another_template_that_nobody_chose_is_refused(chats, make_model, chat_tokenizer):
    model = make_model(chat_tokenizer)
    (model / "chat_template.jinja").write_text(OTHER)
    [fault] = refusal(chats, model)
    assert fault.startswith("chat template: line 1: ")


def test_a_template_that_the_recipe_chose_is_no_fault_but_told(tmp_path, make_model, chat_tokenizer):
    (tmp_path / "mine.jinja").write_text(OTHER)
    data = prepare_chats(tmp_path, chat_tokenizer, chat_template="mine.jinja")
    [note] = check_model(data, make_model(chat_tokenizer))
    assert note == (
        "the data was rendered with the recipe's mine.jinja, not with the model's own; the finished model is saved "
        "with the data's"
    )


@pytest.mark.parametrize("plain", ["chat_template: false", "plain text"])
def test_texts_put_together_as_they_stand_are_no_fault_but_told(tmp_path, make_model, chat_tokenizer, plain):
    if plain == "plain text":
        rows, tokenize = [{"text": row["text"]} for row in make_texts(30)], {"tokenizer": str(chat_tokenizer)}
        data = prepare_rows(tmp_path, rows, task="causal_lm", schema="text", tokenize=tokenize)
    else:
        data = prepare_chats(tmp_path, chat_tokenizer, chat_template=False)
    model = make_model(chat_tokenizer)
    [note] = check_model(data, model)
    assert "rendered with no chat template, though the model has one" in note
    edit(model / "tokenizer_config.json", lambda document: document.pop("chat_template"))
    assert check_model(data, model) == ()
    edit(model / "tokenizer_config.json", lambda document: document.update(eos_token="<|endoftext|>"))
    [fault] = refusal(data, model)
    assert "<|im_end|>" in fault
    assert "<|endoftext|>" in fault


def test_a_model_without_a_template_learns_that_of_the_data(chats, make_model, chat_tokenizer):
    model = make_model(chat_tokenizer)
    edit(model / "tokenizer_config.json", lambda document: document.pop("chat_template"))
    [note] = check_model(chats, model)
    assert "that of its tokenizer, and the model has none" in note


def as_file(model, template):
    (model / "chat_template.jinja").write_text(template)
    edit(model / "tokenizer_config.json", lambda document: document.update(chat_template=OTHER))


def as_list(model, template):
    named = [{"name": "default", "template": template}, {"name": "rag", "template": OTHER}]
    edit(model / "tokenizer_config.json", lambda document: document.update(chat_template=named))


@pytest.mark.parametrize("place", [as_file, as_list])
@pytest.mark.parametrize(
    "same",
    [
        str,
        lambda template: template + "\n",
        lambda template: "{# of today #}" + template.replace("{% endfor %}", "{%  endfor  %}"),
    ],
)
def test_a_template_is_the_same_wherever_it_stands(chats, make_model, chat_tokenizer, place, same):
    model = make_model(chat_tokenizer)
    template = json.loads((chat_tokenizer / "tokenizer_config.json").read_text())["chat_template"]
    place(model, same(template))
    assert check_model(chats, model) == ()
    place(model, same(template) + "\n\n\n")  # one is what a file ends with, one belongs to the last tag
    assert refusal(chats, model)[0].startswith("chat template: ")


def test_the_template_for_tools_is_compared_too(tmp_path, make_model, chat_tokenizer):
    template = json.loads((chat_tokenizer / "tokenizer_config.json").read_text())["chat_template"]
    model = make_model(chat_tokenizer)
    named = [{"name": "default", "template": template}, {"name": "tool_use", "template": template}]
    edit(model / "tokenizer_config.json", lambda document: document.update(chat_template=named))
    data = prepare_chats(tmp_path, model)
    assert check_model(data, model) == ()
    named[1]["template"] = OTHER
    edit(model / "tokenizer_config.json", lambda document: document.update(chat_template=named))
    [fault] = refusal(data, model)
    assert fault.startswith("chat template tool_use: line 1")


def test_what_is_put_around_a_text_matters_for_classes_and_not_for_chats(texts, chats, make_model, request):
    def alter(document):
        document["post_processor"] = None

    model = make_model(request.getfixturevalue("text_tokenizer"), transformers.BertConfig)
    edit(model / "tokenizer.json", alter)
    [fault] = refusal(texts, model)
    assert fault.startswith("tokenizer: post_processor: a text becomes [CLS]:0 a:0 [SEP]:0 in the data's, a:0 in")
    model = make_model(request.getfixturevalue("chat_tokenizer"))
    edit(model / "tokenizer.json", lambda document: document.update(post_processor=dict(POST_PROCESSOR)))
    assert check_model(chats, model) == ()


POST_PROCESSOR = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}},
}


def test_pairs_need_the_same_types(tmp_path, make_model, text_tokenizer, pair_recipe):
    data = tmp_path / "out"
    sftdata.prepare(sftdata.load_recipe(pair_recipe(make_pairs(60))))
    [fault] = refusal(data, make_model(text_tokenizer, transformers.BertConfig))
    assert fault.startswith("tokenizer: post_processor: a pair becomes ")


@pytest.mark.parametrize("file", ["tokenizer.json", "chat_template.jinja", "tokenizer_config.json"])
@pytest.mark.parametrize("harm", ["change", "remove"])
def test_data_whose_own_tokenizer_was_touched_is_refused(chats, tmp_path, make_model, chat_tokenizer, file, harm):
    data = shutil.copytree(chats, tmp_path / "data")
    path = data / "tokenizer" / file
    path.write_text(path.read_text() + " ") if harm == "change" else path.unlink()
    with pytest.raises(VerificationError, match=rf"tokenizer/{file} missing or changed since .* prepare` again"):
        check_model(data, make_model(chat_tokenizer))


def test_a_tokenizer_of_ones_own_has_a_remedy_of_its_own(tmp_path, make_model, chat_tokenizer):
    fitted = {"train_tokenizer": {"kind": "bpe", "vocab_size": 400}, "max_length": 512}
    data = prepare_rows(tmp_path, make_conversations(40), task="causal_lm", schema="messages", tokenize=fitted)
    with pytest.raises(TrainingError, match="or give a model with new weights, saved with no tokenizer or with"):
        check_model(data, make_model(chat_tokenizer))
    shutil.rmtree(tmp_path / "model")
    assert check_model(data, make_model(None)) == ()
    assert check_model(data, make_model(data / "tokenizer")) == ()


def test_a_tokenizer_that_cannot_be_read_is_named(chats, make_model, chat_tokenizer):
    model = make_model(chat_tokenizer)
    (model / "tokenizer.json").write_text("{")
    with pytest.raises(sftdata.errors.TokenizerError, match=f"the tokenizer '{model}' cannot be read"):
        check_model(chats, model)


def make_run(data: Path, run: Path) -> RunRecord:
    """Write what `train` leaves of a tokenizer, and return the record of such a run."""
    shutil.copytree(data / "tokenizer", run, dirs_exist_ok=True)
    manifest = sftdata.read_manifest(data)
    return RunRecord(
        version="0",
        status="finished",
        task=manifest.task,
        label_names=manifest.label_names,
        base_model=str(run),
        settings=sftdata.recipe.TrainSettings(model=str(run), output_dir=str(run)),
        data=str(data),
        data_digest="",
        tokenizer_digest=manifest.tokenizer.digest,
    )


def test_a_run_is_measured_with_data_of_its_own_tokenizer_and_template(tmp_path, chats, make_model, chat_tokenizer):
    run = make_model(None)
    record = make_run(chats, run)
    check_run(chats, "test", run, record, str(run))
    (tmp_path / "mine.jinja").write_text(OTHER)
    other = prepare_chats(tmp_path, chat_tokenizer, chat_template="mine.jinja")
    with pytest.raises(TrainingError, match=r"does not fit the run .*:\n  chat template: line 1: .*\n.*run's recipe"):
        check_run(other, "test", run, record, str(run))
    edit(run / "tokenizer.json", lambda document: document["model"]["merges"].pop())
    with pytest.raises(TrainingError, match="  tokenizer: merges: "):
        check_run(chats, "test", run, record, str(run))


def test_a_run_without_tokenizer_files_is_known_by_its_record(chats, texts, make_model):
    run = make_model(None)
    record = make_run(chats, run)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (run / name).unlink()
    check_run(chats, "test", run, record, str(run))
    with pytest.raises(TrainingError) as caught:
        check_run(texts, "test", run, record, str(run))
    task, names, tokenizer = str(caught.value).splitlines()[1:-1]
    assert task == "  task text_classification, the run was trained with causal_lm"
    assert names.startswith("  label names ('animal', ")
    assert tokenizer.startswith("  tokenizer: the data has sha256:")


def test_a_target_longer_than_the_decoder_takes_is_refused(tmp_path):
    made = [Example([5, 2], [7] * 40 + [2]), Example([5] * 9 + [2], [8, 2])]
    data = write_dataset(tmp_path / "data", Task.SEQ2SEQ, {"train": made})
    config = transformers.BartConfig(vocab_size=VOCABULARY, d_model=16, max_position_embeddings=32)
    config.save_pretrained(tmp_path / "bart")
    with pytest.raises(TrainingError, match=r"the longest target has 41 tokens, .* set tokenize\.max_target_length"):
        check_model(data, tmp_path / "bart")
    config.max_position_embeddings = 41
    config.save_pretrained(tmp_path / "bart")
    assert check_model(data, tmp_path / "bart") is not None
