"""Load a model that fits the data, and save it so that plain transformers or peft loads it."""

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from sftdata.errors import TrainingError
from sftdata.recipe import LoraSettings
from sftdata.records import Task

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "sentencepiece.bpe.model",
    "spiece.model",
)
"""What `AutoTokenizer` may need."""
GENERATION_FILE = "generation_config.json"

_AUTO_CLASSES: dict[Task, Any] = {
    Task.TEXT_CLASSIFICATION: transformers.AutoModelForSequenceClassification,
    Task.CAUSAL_LM: transformers.AutoModelForCausalLM,
}
_PEFT_TASKS = {Task.TEXT_CLASSIFICATION: "SEQ_CLS", Task.CAUSAL_LM: "CAUSAL_LM"}
_POSITIONS_AFTER_PADDING = ("roberta", "xlm-roberta", "camembert", "longformer", "mpnet")
"""Model types that number positions from `pad_token_id + 1`, so that as many of their positions cannot be used."""


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep the progress bars and notices of transformers from the user while inside."""
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft 0.21 uses names that transformers 5.23 deprecates
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def choose_device(asked: str) -> torch.device:
    """Return the device to run on; `auto` takes a GPU when there is one."""
    if asked == "cuda" and not torch.cuda.is_available():
        raise TrainingError("train.device: found 'cuda', but torch sees no GPU here. Use device: auto or cpu.")
    return torch.device("cuda" if asked != "cpu" and torch.cuda.is_available() else "cpu")


def uses_bf16(precision: str, device: torch.device) -> bool:
    """Tell whether to compute in bfloat16; `auto` does on a GPU that has it."""
    able = device.type == "cpu" or torch.cuda.is_bf16_supported()
    if precision == "bf16" and not able:
        raise TrainingError("train.precision: found 'bf16', but this GPU has no bfloat16. Use precision: float32.")
    return precision == "bf16" or (precision == "auto" and able and device.type == "cuda")


def read_config(name: str) -> Any:
    """Read a model's configuration, without its weights.

    Raises:
        TrainingError: no such model.
    """
    try:
        return transformers.AutoConfig.from_pretrained(name)
    except (OSError, ValueError) as cause:
        first = str(cause).strip().splitlines()[0]
        raise TrainingError(
            f"train.model: found '{name}', expected a directory with config.json or the name of a model on the hub "
            f"that can be reached or is in its cache. ({first})"
        ) from None


def check_fit(config: Any, name: str, *, vocab_size: int, longest: int) -> None:
    """Refuse a model that cannot take the data, from its configuration alone.

    Args:
        config: what `read_config` gave.
        name: the model's name, for the message.
        vocab_size: token ids of the data are below this.
        longest: tokens of the longest example.
    """
    text = config.get_text_config()
    if vocab_size > text.vocab_size:
        raise TrainingError(
            f"the data was tokenised with a vocabulary of {vocab_size}, but the model '{name}' embeds "
            f"{text.vocab_size} tokens. Prepare the data with the model's own tokenizer, or choose the model that "
            "belongs to it."
        )
    limit = longest_input(config)
    if limit is not None and longest > limit:
        raise TrainingError(
            f"the longest example has {longest} tokens, but the model '{name}' takes {limit}. "
            f"Set tokenize.max_length to {limit} and prepare again, or choose another model."
        )


def check_vocabulary(name: str, tokenizer: Path) -> None:
    """Refuse a model that brings a tokenizer with other ids than the one that was fitted on the data.

    A larger vocabulary embeds all ids, and means something else by each. A model without a tokenizer has new weights.
    """
    of_model = local_files(name) / "tokenizer.json"
    if of_model.is_file() and _read_vocabulary(of_model) != _read_vocabulary(tokenizer / "tokenizer.json"):
        raise TrainingError(
            f"the data has the ids of a tokenizer that was fitted on it, but the model '{name}' learned those of its "
            "own. Prepare the data with `tokenizer` instead of `train_tokenizer`, or give a model with new weights, "
            "saved with no tokenizer or with this one."
        )


def _read_vocabulary(file: Path) -> dict[str, int]:
    return tokenizers.Tokenizer.from_file(str(file)).get_vocab(with_added_tokens=True)


def longest_input(config: Any) -> int | None:
    """Return how many tokens the model takes; None when its configuration sets no limit."""
    limit: int | None = getattr(config.get_text_config(), "max_position_embeddings", None)
    if limit is not None and config.model_type in _POSITIONS_AFTER_PADDING:
        return limit - int(config.pad_token_id) - 1
    return limit


def load_weights(source: str, config: Any, task: Task) -> torch.nn.Module:
    """Load a model in float32; weights that `source` lacks, such as a new head, are drawn from torch's generator."""
    try:
        model: torch.nn.Module = _AUTO_CLASSES[task].from_pretrained(source, config=config, dtype=torch.float32)
    except (OSError, ValueError) as cause:
        first = str(cause).strip().splitlines()[0]
        raise TrainingError(f"train.model: '{source}' cannot be loaded for {task}: {first}") from None
    return model


def fit_config(config: Any, task: Task, label_names: tuple[str, ...] | None) -> Any:
    """Set labels and padding in a model's configuration; return it."""
    if task == Task.TEXT_CLASSIFICATION:
        config.id2label = dict(enumerate(label_names or ()))  # sets num_labels too
        config.label2id = {name: index for index, name in config.id2label.items()}
        config.problem_type = "single_label_classification"
        if config.pad_token_id is None:  # a decoder finds the last token of a row by it
            config.pad_token_id = config.eos_token_id if isinstance(config.eos_token_id, int) else 0
    return config


def add_adapters(model: torch.nn.Module, settings: LoraSettings, task: Task) -> torch.nn.Module:
    """Freeze the model and put low-rank adapters into it; a new classification head stays trainable."""
    import peft

    targets = settings.target_modules if isinstance(settings.target_modules, str) else list(settings.target_modules)
    shape = peft.LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets,
        task_type=_PEFT_TASKS[task],
    )
    try:
        adapted: torch.nn.Module = peft.get_peft_model(model, shape)
    except ValueError as cause:
        raise TrainingError(f"train.lora.target_modules: {str(cause).splitlines()[0]}") from None
    return adapted


def restore_weights(model: torch.nn.Module, directory: Path, task: Task) -> None:
    """Put the weights that `save_pretrained` wrote to `directory` back into the model, bit by bit."""
    if hasattr(model, "peft_config"):
        import peft

        peft.set_peft_model_state_dict(model, peft.utils.load_peft_weights(str(directory), device="cpu"))
    else:
        model.load_state_dict(load_weights(str(directory), model.config, task).state_dict())


def save_final(model: Any, directory: Path, *, base: str, tokenizer: Path) -> None:
    """Save the float32 weights, and the files that plain transformers needs beside them.

    Args:
        model: to save.
        directory: of the run.
        base: the model that the run began with.
        tokenizer: the directory of the tokenizer that made the data; if it is not there, the base model's is taken.
    """
    model.save_pretrained(directory)
    files = local_files(base)
    _copy(TOKENIZER_FILES, tokenizer if tokenizer.is_dir() else files, directory)
    _copy((GENERATION_FILE,), files, directory)


def _copy(names: tuple[str, ...], source: Path, directory: Path) -> None:
    for name in names:
        if (source / name).is_file():
            shutil.copyfile(source / name, directory / name)


def local_files(source: str) -> Path:
    """Return the directory with a model's tokenizer files, fetched into the hub's cache if it is not local."""
    if Path(source).is_dir():
        return Path(source)
    try:
        return Path(snapshot_download(source, allow_patterns=[*TOKENIZER_FILES, GENERATION_FILE]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as cause:
        raise TrainingError(f"the tokenizer of '{source}' cannot be fetched: {str(cause).splitlines()[0]}") from None
