"""Load a model that fits the data, and save it so that plain transformers or peft loads it."""

import logging
import shutil
import warnings
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import transformers
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, StrictDataclassError
from safetensors import SafetensorError

from sftdata.errors import TrainingError
from sftdata.functions import split_function
from sftdata.hub import hub_or_cache
from sftdata.records import Task
from sftdata.tokenizers.loading import TOOL_TEMPLATE
from sftdata.training.adapters import saving_options
from sftdata.training.building import build_model, check_function
from sftdata.training.gguf_models import is_gguf, load_gguf, read_gguf_config
from sftdata.training.own_models import OwnConfig, OwnModel, read_own_config
from sftdata.training.quantization import keep_exact

VOCABULARY_FILES = (
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "sentencepiece.bpe.model",
    "spiece.model",
)
"""Where a tokenizer may be that is not in tokenizer.json."""
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    TOOL_TEMPLATE,
    *VOCABULARY_FILES,
)
"""What `AutoTokenizer` may need."""
GENERATION_FILE = "generation_config.json"

_AUTO_CLASSES: dict[Task, Any] = {
    Task.TEXT_CLASSIFICATION: transformers.AutoModelForSequenceClassification,
    Task.MULTILABEL: transformers.AutoModelForSequenceClassification,
    Task.REGRESSION: transformers.AutoModelForSequenceClassification,
    Task.TOKEN_CLASSIFICATION: transformers.AutoModelForTokenClassification,
    Task.SEQ2SEQ: transformers.AutoModelForSeq2SeqLM,
    Task.CAUSAL_LM: transformers.AutoModelForCausalLM,
}
_LANGUAGE_TASKS = (Task.CAUSAL_LM, Task.SEQ2SEQ)
"""Tasks whose head is a part of the pretrained model; the others get a new one."""
SCORE_NAMES = ("score",)
"""What the one output of a regression is called."""
_CLASSIFIERS = ("ForSequenceClassification", "ForTokenClassification")
_PROBLEM_TYPES = {
    Task.TEXT_CLASSIFICATION: "single_label_classification",
    Task.MULTILABEL: "multi_label_classification",
    Task.REGRESSION: "regression",
}


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep the progress bars and notices of transformers from the user while inside."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # once imported, it tells of kernels that it does without
    notices = transformers.utils.logging
    verbosity, bars = notices.get_verbosity(), notices.is_progress_bar_enabled()
    notices.set_verbosity_error()
    notices.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft 0.21 uses names that transformers 5.23 deprecates
            yield
    finally:
        notices.set_verbosity(verbosity)
        if bars:
            notices.enable_progress_bar()


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
        TrainingError: no such model, or what stands there is none.
    """
    if own := read_own_config(Path(name)):
        return own
    if is_gguf(name):
        return read_gguf_config(Path(name))
    if Path(name).exists():
        _check_directory(Path(name))
    with _hub_for(name) as obstacle:
        try:
            return transformers.AutoConfig.from_pretrained(name)
        except (OSError, ValueError, StrictDataclassError) as cause:
            raise TrainingError(
                f"train.model: found '{name}', expected a directory with config.json or the name of a model on the hub "
                f"that can be reached or is in its cache. ({_tell_cause(cause, obstacle)})"
            ) from None


def _hub_for(name: str) -> AbstractContextManager[str | None]:
    """Return what asks the hub for a model only where it can be reached; one that is here needs no asking."""
    return nullcontext() if Path(name).exists() else hub_or_cache()


def _tell_cause(cause: BaseException, obstacle: str | None) -> str:
    """Say why something was not loaded; where the hub was not asked, a file that the cache lacks is an OSError."""
    if obstacle and isinstance(cause, OSError):
        return f"its cache on this machine lacks files of it, and {obstacle}; HF_ENDPOINT may name a mirror"
    return str(cause).strip().splitlines()[0]


def identify_model(name: str, task: Task) -> str:
    """Return what tells a model from others when a run is resumed: where it is, and of a function its file's digest."""
    if split_function(name):
        file, digest = check_function(name, task)
        return f"{file}:{name.rpartition(':')[2]} {digest}"
    return str(Path(name).resolve()) if Path(name).exists() else name


def _check_directory(path: Path) -> None:
    """Name what people mistake for a model's directory."""
    if (path / "config.json").is_file():
        return
    if path.is_file():
        found = "is a file; weights in one file lack what training needs, unless it is .gguf"
        expected = "Give the directory or the hub's name of the model that it was made from."
    elif (path / "adapter_config.json").is_file():
        found = "holds adapters, no model"
        expected = "Merge them into their model with peft (merge_and_unload, then save_pretrained), and give that."
    else:
        held = ", ".join(sorted(entry.name for entry in path.iterdir())[:5]) or "nothing"
        found = f"has no config.json; it holds {held}"
        expected = "Give a directory that save_pretrained wrote."
    raise TrainingError(f"train.model: '{path}' {found}. {expected}")


def load_weights(source: str, config: Any, task: Task, *, quantization: Any = None) -> torch.nn.Module:
    """Load a model in float32; a head that `source` lacks, or has for other labels, is drawn from torch's generator.

    Args:
        source: a directory, a name on the hub, a GGUF file, or a function, whose model has no weights to load.
        config: of the model.
        task: decides the head.
        quantization: how transformers keeps the weights of linear layers in fewer bits.

    Raises:
        TrainingError: the weights cannot be read, are not those of the task, or are not all there.
    """
    if isinstance(config, OwnConfig):
        return _load_own(Path(source), config, task)
    given = {"config": config, "dtype": torch.float32, "ignore_mismatched_sizes": True, "output_loading_info": True}
    if quantization is not None:
        quantization.llm_int8_skip_modules = _name_new_parts(config, task)
        given["quantization_config"] = quantization
    with _hub_for(source) as obstacle:
        try:
            make = _AUTO_CLASSES[task].from_pretrained
            loaded = load_gguf(make, Path(source), given) if is_gguf(source) else make(source, **given)
        except (OSError, ValueError, RuntimeError, SafetensorError, UnpicklingError) as cause:
            raise TrainingError(
                f"train.model: the weights of '{source}' cannot be loaded for {task} "
                f"({_tell_cause(cause, obstacle).rstrip('.')}). Fetch or save the model again if a file is damaged, or "
                "choose a model for this task."
            ) from None
    model: torch.nn.Module = loaded[0]
    keep_exact(model)
    heads = {} if task in _LANGUAGE_TASKS else _find_heads(model)
    has_other = bool(heads) and has_other_labels(read_config(source), tuple(config.id2label.values()))
    _check_complete(source, loaded[1], drawn=heads.keys(), reshaped=heads.keys() if has_other else ())
    if has_other:
        for module in (module for head in heads.values() for module in head.modules()):
            getattr(module, "reset_parameters", lambda: None)()
    return model


def _load_own(directory: Path, config: OwnConfig, task: Task) -> OwnModel:
    model = build_model(config, task)
    if directory.is_dir():
        model.load(directory)
    return model


def _find_heads(model: Any) -> dict[str, torch.nn.Module]:
    return {name: child for name, child in model.named_children() if child is not model.base_model}


def _name_new_parts(config: Any, task: Task) -> list[str] | None:
    """Return what may have to be drawn anew, so that it is not quantised; of a language model that is nothing."""
    if task in _LANGUAGE_TASKS:
        return None
    with torch.device("meta"):
        model = _AUTO_CLASSES[task].from_config(config)
    heads = _find_heads(model)
    return [name for name, _ in model.named_modules() if name.split(".")[0] in heads or ".pooler." in name]


def has_other_labels(config: Any, label_names: tuple[str, ...]) -> bool:
    """Tell whether a fine-tuned classifier has a head for other labels; those without names are only counted."""
    if not any(name.endswith(_CLASSIFIERS) for name in config.architectures or ()):
        return False
    own = tuple(config.id2label.values())
    is_named = own != tuple(f"LABEL_{index}" for index in range(len(own)))
    return len(own) != len(label_names) or (is_named and own != label_names)


def _check_complete(source: str, found: Any, drawn: Collection[str], reshaped: Collection[str]) -> None:
    """Refuse weights of which some are missing or have other shapes: transformers would draw them at random.

    Args:
        source: where they come from, for the message.
        found: what transformers tells about loading.
        drawn: parts of the model that may be missing; a pooler may be too, as masked language models have none.
        reshaped: parts that may have other shapes.
    """
    missing = [key for key in found["missing_keys"] if key.split(".")[0] not in drawn]
    if drawn:
        missing = [key for key in missing if ".pooler." not in key]
    shaped = [key for key, *_ in found["mismatched_keys"] if key.split(".")[0] not in reshaped]
    for what, keys in (("lack", missing), ("have other shapes than config.json says for", shaped)):
        if keys:
            raise TrainingError(
                f"train.model: the weights of '{source}' {what} {len(keys)} of the model's tensors, such as "
                f"{min(keys)}. Fetch or save the model again, or choose one that has all."
            )


def fit_config(config: Any, task: Task, label_names: tuple[str, ...] | None) -> Any:
    """Set labels and padding in a model's configuration; return it."""
    if task in _LANGUAGE_TASKS or isinstance(config, OwnConfig):
        return config
    config.id2label = dict(enumerate(label_names or SCORE_NAMES))  # sets num_labels too
    config.label2id = {name: index for index, name in config.id2label.items()}
    if task in _PROBLEM_TYPES:
        config.problem_type = _PROBLEM_TYPES[task]
        if config.pad_token_id is None:  # a decoder finds the last token of a row by it
            config.pad_token_id = config.eos_token_id if isinstance(config.eos_token_id, int) else 0
    return config


def checkpoint_layers(model: Any, name: str) -> None:
    """Have the layers computed again in the backward pass (Chen et al. 2016); gradients stay the same.

    Raises:
        TrainingError: the model cannot do that.
    """
    if not model.supports_gradient_checkpointing:
        raise TrainingError(f"train.gradient_checkpointing: the model '{name}' has no layers that can do that.")
    model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})


def restore_weights(model: torch.nn.Module, directory: Path, task: Task) -> None:
    """Put the weights that `save_pretrained` wrote to `directory` back into the model, bit by bit."""
    if isinstance(model, OwnModel):
        model.load(directory)
    elif hasattr(model, "peft_config"):
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
    model.save_pretrained(directory, **saving_options(model))
    files = tokenizer if isinstance(model, OwnModel) else local_files(base)
    _copy(TOKENIZER_FILES, tokenizer if tokenizer.is_dir() else files, directory)
    _copy((GENERATION_FILE,), files, directory)


def _copy(names: tuple[str, ...], source: Path, directory: Path) -> None:
    for name in names:
        if (source / name).is_file():
            (directory / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(source / name, directory / name)


def local_files(source: str) -> Path:
    """Return the directory with a model's tokenizer files, fetched into the hub's cache if it is not local."""
    if is_gguf(source):
        return Path(source).parent
    if Path(source).is_dir():
        return Path(source)
    with hub_or_cache() as obstacle:
        try:
            return Path(snapshot_download(source, allow_patterns=[*TOKENIZER_FILES, GENERATION_FILE]))
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as cause:
            why = _tell_cause(cause, obstacle)
            raise TrainingError(f"the tokenizer of '{source}' cannot be fetched: {why}") from None
