"""Train a model from a prepared dataset, evaluate it, and use it. The only package that imports torch.

The functions load torch when they are called, so that this package can be imported without it.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sftdata.engine import Watch
from sftdata.errors import TrainingError
from sftdata.recipe import AnyRecipe
from sftdata.settings.training import TrainSettings
from sftdata.shards.reader import Split
from sftdata.training.given import find_data, find_run, find_training
from sftdata.training.run import TrainResult
from sftdata.training.watching import Callback, Watching, find_callback

__all__ = ["TrainResult", "check_model", "evaluate", "open_loader", "predict", "to_torch", "train"]

if TYPE_CHECKING:
    from sftdata.training.loader import Loader
    from sftdata.training.torch_split import TorchSplit

_NEEDED = ("torch", "transformers", "peft", "safetensors", "tensorboard", "sacrebleu")


def train(
    data: AnyRecipe,
    settings: TrainSettings | Mapping[str, Any] | None = None,
    *,
    resume: bool = False,
    progress: bool | None = None,
    callback: Callback | None = None,
    profile: int | None = None,
) -> TrainResult:
    """Train a model from the `train` split of a prepared dataset and save it in `settings.output_dir`.

    Args:
        data: a recipe, its file, or a mapping with its keys, which has been prepared; or the directory that `prepare`
            wrote.
        settings: instead of the recipe's `train`: settings, or a mapping with their keys. Paths in it are taken as
            they are.
        resume: go on from the newest checkpoint in `settings.output_dir`, if there is one.
        progress: show a progress bar (True), nothing (False), or a bar on a terminal and lines elsewhere (None).
        callback: called with (part, step, values): `start` with the settings, `train` and `validation` with what is
            logged, `end` with the fields of the result; instead of what `settings.callback` names.
        profile: trace so many steps, once the run has warmed up, into `profile` in `settings.output_dir`.

    Raises:
        TrainingError: the task, the model, the settings or the run directory do not fit; torch is not installed.
        DataError: the dataset is unfinished, or trains nothing.
        OutputError: `settings.output_dir` holds something else.
        UsageError: nothing says how to train, or a recipe or settings are faulty.
    """
    directory, chosen = find_training(data, settings)
    if profile:
        os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # read when torch is imported: else it talks of each profile
    _require_torch()
    from sftdata.training.cross_validation import train as run

    watching = Watching(progress=progress, callback=callback or find_callback(chosen), profile=profile)
    return run(directory, chosen, resume=resume, watching=watching)


def check_model(data: str | Path, model: str | Path) -> tuple[str, ...]:
    """Refuse a model that cannot learn from the ids of a prepared dataset, or learned to read others.

    No weights are loaded. Compared are the tokenizers and chat templates, as far as they decide on ids, the size of the
    vocabulary, and the longest example of the parts `train` and `validation` with the positions that the model has.

    Args:
        data: the directory that `prepare` wrote.
        model: a local directory or a name on the hub.

    Returns:
        What is no fault but worth knowing, a line each: a chat template that was chosen and is not the model's own.

    Raises:
        TrainingError: with all that does not fit, at once; there is no such model; torch is not installed.
        VerificationError: the dataset is unfinished, or its tokenizer has been changed.
    """
    _require_torch()
    from sftdata.training.fit import check_model as check

    return check(data, model)


def open_loader(
    data: str | Path,
    settings: TrainSettings,
    *,
    start: int = 0,
    packed: bool = False,
    fixed: bool = False,
    rank: int = 0,
    ranks: int = 1,
) -> "Loader":
    """Return the batches of a run, step by step, for a training loop of your own.

    Each step (`loader.LoadedStep`) has its batches and `targets`: what the sum of its losses, over all batches and
    ranks, is divided by. The state of the loader is the number of the next step: give it as `start` to go on there.

    Args:
        data: the directory that `prepare` wrote.
        settings: the model, the size of a step, packs, epochs, seed and mix; paths in it are taken as they are.
        start: steps taken before.
        packed: examples of a pack stand in one row, told apart by `position_ids` and `cu_seqlens`; needs
            `settings.pack`. Without it they are padded, each in a row of its own.
        fixed: all packed batches have one shape, so that a compiled model is compiled once.
        rank: which of `ranks` this process is, from 0.
        ranks: how many share each step.

    Raises:
        TrainingError: the model does not fit the data, or the settings do not; torch is not installed.
        VerificationError: the dataset is unfinished; while iterating: a shard is not the one that was written.
    """
    _require_torch()
    from sftdata.training.opening import open_loader as run

    return run(data, settings, start=start, packed=packed, fixed=fixed, rank=rank, ranks=ranks)


def to_torch(split: Split, pad_id: int | None = None) -> "TorchSplit":
    """Return a split as a dataset of torch, for a DataLoader or transformers' Trainer; its `collate` pads batches.

    Args:
        split: what `load_split` returned.
        pad_id: the token id that fills short rows; by default the padding token of the dataset's tokenizer, or 0.

    Raises:
        TrainingError: the examples have weights, which a loss of transformers would leave out; torch is not installed.
    """
    _require_torch()
    from sftdata.training.torch_split import TorchSplit

    return TorchSplit(split, pad_id)


def evaluate(
    run: AnyRecipe,
    data: str | Path | None = None,
    split: str = "test",
    *,
    batch_size: int = 32,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    watch: Watch = lambda stage, done, total: None,
) -> dict[str, Any]:
    """Score a finished run on one split of a prepared dataset; the result can be written as JSON.

    `run` is the directory that `train` wrote, or the recipe that it trained from; `data` the directory that `prepare`
    wrote: by default the one that was trained from. `watch` is told about progress.

    Always `rows` and `loss` (nats a target: an example, a tag or a trained token; of scores the squared error), and the
    metrics that `sftdata.training.metrics` lists for the task. What has no value here is in `undefined`, with the
    reason. Beside them: `per_class` (for tags `per_entity` too), `confusion_matrix`, `words` or `trained_tokens`.
    `baseline` has the `answer` that fits the training split best, and the scores of giving it to every example: the
    most frequent class, the labels that at least half of the rows have, the mean score, `O`. A multilabel run gives a
    label above the threshold that was tuned on its validation split; a seq2seq run writes, greedily, as many tokens
    as the longest target of the split has at most.

    Raises:
        TrainingError: the run is unfinished or does not fit the dataset; torch is not installed.
        DataError: the dataset is unfinished, has no such split, or the split has no rows.
    """
    _require_torch()
    directory, measured = find_run(run), data or find_data(run)
    from sftdata.training.evaluation import evaluate as run_evaluation

    return run_evaluation(directory, measured, split, batch_size=batch_size, device=device, watch=watch)


def predict(
    run: AnyRecipe,
    texts: str | Iterable[str | Sequence[str]],
    text_pairs: str | Iterable[str] | None = None,
    *,
    batch_size: int = 32,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    max_new_tokens: int | None = None,
    watch: Watch = lambda stage, done, total: None,
) -> list[dict[str, Any]]:
    """Use a finished run on texts; one result a text, in order.

    `run` is the directory that `train` wrote, or the recipe that it trained from; `texts` a list, a column of a frame,
    or a single text. A run on pairs of texts needs the second ones, `text_pairs`, as many as `texts`. `watch` is told
    about progress.

    For tags a text may be given as the list of its words; else it is cut at white space, and each Chinese character is
    a word.

    Each result has its `text` (and `text_pair`), and by task: `label` and `probability`; `labels` above their
    thresholds and all `probabilities`; `score`; `tokens`, `tags` and, where tags spell some, `entities` (`kind`,
    `start`, `end` behind the last, `tokens`); `target`; `response` to one user turn. The last two are written greedily,
    at most `max_new_tokens` tokens: by default 64, for seq2seq as many as the longest target had in training.

    Raises:
        TrainingError: the run is unfinished or has no chat template; torch is not installed.
        UsageError: the run wants pairs and gets single texts, or the other way round; words where there are no tags.
        DataError: a text is longer than the model takes, or has no tokens; a word has none.
    """
    _require_torch()
    directory = find_run(run)
    from sftdata.training.prediction import predict as run_prediction

    asked = [texts] if isinstance(texts, str) else list(texts)
    pairs = [text_pairs] if isinstance(text_pairs, str) else None if text_pairs is None else list(text_pairs)
    return run_prediction(
        directory, asked, pairs, batch_size=batch_size, device=device, max_new_tokens=max_new_tokens, watch=watch
    )


def _require_torch() -> None:
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise TrainingError(f"training needs {', '.join(missing)}, not installed here: pip install 'sftdata[train]'")
    # Read when torch is first imported: threads that spin while they wait cost a factor of 5 to 10 on busy cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
