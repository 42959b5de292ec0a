"""Load a tokenizer and its chat template from a local directory or the hub, without transformers."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers

from sftdata.errors import TokenizerError
from sftdata.hub import hub_or_cache

TOOL_TEMPLATE = "additional_chat_templates/tool_use.jinja"
"""Where transformers keeps the template for conversations with tools, beside `chat_template.jinja`."""

FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    TOOL_TEMPLATE,
)
"""What a tokenizer is made of; all but the first may be absent."""


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer as it stands on disk.

    Attributes:
        name: how the recipe calls it.
        text: the content of tokenizer.json.
        config: the content of tokenizer_config.json, with special_tokens_map.json beneath it.
        template: the Jinja source of the chat template, or None.
        files: the files by name, as they stand.
        tool_template: the Jinja source for conversations with tools, where there is a separate one.
    """

    name: str
    text: str
    config: dict[str, Any]
    template: str | None
    files: dict[str, bytes] = field(repr=False)
    tool_template: str | None = None

    @cached_property
    def reference(self) -> tokenizers.Tokenizer:
        """Hugging Face's own implementation, with truncation and padding off: what every backend must equal."""
        reference = tokenizers.Tokenizer.from_str(self.text)
        reference.no_truncation()
        reference.no_padding()
        reference.encode_special_tokens = False
        return reference

    @cached_property
    def plain_reference(self) -> tokenizers.Tokenizer:
        """The reference for texts that no control token may come from: those they spell stay plain characters."""
        plain = tokenizers.Tokenizer.from_str(self.reference.to_str())
        plain.encode_special_tokens = True
        return plain

    @property
    def digest(self) -> str:
        """SHA-256 of tokenizer.json."""
        return "sha256:" + hashlib.sha256(self.text.encode()).hexdigest()

    @cached_property
    def vocab_size(self) -> int:
        """One more than the highest id."""
        return max(self.reference.get_vocab(with_added_tokens=True).values()) + 1

    @property
    def unknown_id(self) -> int | None:
        """The id that stands for what the vocabulary has not; None where its model spells everything."""
        model = self.reference.model
        if isinstance(model, tokenizers.models.Unigram):  # the one kind that does not tell; the others need no parsing
            unigram: int | None = json.loads(self.text)["model"]["unk_id"]
            return unigram
        named: str | None = model.unk_token
        return None if named is None else self.reference.token_to_id(named)

    @cached_property
    def special_tokens(self) -> tuple[str, ...]:
        """The control tokens' texts, by id."""
        added = self.reference.get_added_tokens_decoder()
        return tuple(token.content for _, token in sorted(added.items()) if token.special)

    @cached_property
    def added_tokens(self) -> tuple[str, ...]:
        """All tokens beside the model's own vocabulary, special or not, by id."""
        return tuple(token.content for _, token in sorted(self.reference.get_added_tokens_decoder().items()))

    def as_files(self) -> dict[str, bytes]:
        """Return the files to save, by name, with the chat templates that are in force."""
        templates = {"chat_template.jinja": self.template, TOOL_TEMPLATE: self.tool_template}
        kept = {name: content for name, content in self.files.items() if name not in templates}
        return kept | {name: text.encode() for name, text in templates.items() if text is not None}

    def named_tokens(self) -> dict[str, str]:
        """Return `bos_token`, `eos_token` and the like, as a chat template knows them."""
        named = {key: value for key, value in self.config.items() if key.endswith("_token")}
        texts = {key: value["content"] if isinstance(value, dict) else value for key, value in named.items()}
        return {key: value for key, value in texts.items() if isinstance(value, str)}


def load_tokenizer(name: str, base: Path = Path(), template_file: Path | None = None) -> Tokenizer:
    """Load the tokenizer in a local directory, or of that name on the hub.

    Args:
        name: a directory as seen from `base`, or a name such as `Qwen/Qwen3-0.6B`.
        base: where a relative directory starts from.
        template_file: a Jinja file to use instead of the tokenizer's own template.

    Raises:
        TokenizerError: when it is not there, is not a fast tokenizer, or cannot be read.
    """
    directory = base / name
    files = _read_directory(directory) if directory.is_dir() else _download(name, directory)
    try:
        text = files["tokenizer.json"].decode()
        config = json.loads(files.get("special_tokens_map.json", b"{}")) | json.loads(
            files.get("tokenizer_config.json", b"{}")
        )
        templates = find_templates(files)
        if template_file:
            templates = {"default": template_file.read_text(encoding="utf-8")}
        tokenizer = Tokenizer(name, text, config, templates.get("default"), files, templates.get("tool_use"))
        tokenizer.reference.get_vocab_size()
    except Exception as cause:  # tokenizers raises plain Exception for a file that it cannot read
        raise TokenizerError(f"the tokenizer '{name}' cannot be read: {cause}") from None
    return tokenizer


def find_templates(files: Mapping[str, bytes]) -> dict[str, str]:
    """Return the chat templates of a tokenizer by name: `default`, and `tool_use` for conversations with tools.

    Args:
        files: its files by name; only those that hold templates are looked at.

    Raises:
        ValueError: tokenizer_config.json is no JSON, or a file is not UTF-8.
    """
    if "chat_template.jinja" in files:
        tools = {"tool_use": files[TOOL_TEMPLATE].decode()} if TOOL_TEMPLATE in files else {}
        return {"default": files["chat_template.jinja"].decode(), **tools}
    template = json.loads(files.get("tokenizer_config.json", b"{}")).get("chat_template")
    if isinstance(template, list):
        return {entry["name"]: entry["template"] for entry in template}
    return {"default": template} if isinstance(template, str) else {}


def _read_directory(directory: Path) -> dict[str, bytes]:
    if not (directory / "tokenizer.json").is_file():
        raise TokenizerError(
            f"{directory} has no tokenizer.json. Save one there with transformers: "
            "AutoTokenizer.from_pretrained(...).save_pretrained(...)."
        )
    return {name: (directory / name).read_bytes() for name in FILES if (directory / name).is_file()}


def _download(name: str, directory: Path) -> dict[str, bytes]:
    with hub_or_cache() as obstacle:
        contents = {file: _fetch(name, file, directory, obstacle) for file in FILES}
    return {file: content for file, content in contents.items() if content is not None}


def _fetch(name: str, file: str, directory: Path, obstacle: str | None) -> bytes | None:
    """Return a file of a tokenizer on the hub, or None where it has no such file."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(name, file)).read_bytes()
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as cause:
        unknown = isinstance(cause, LocalEntryNotFoundError)  # the cache cannot tell whether there is such a file
        absent = isinstance(cause, EntryNotFoundError) and (not unknown or bool(obstacle))
        if absent and file != "tokenizer.json":
            return None
        where = f"no tokenizer '{name}': {directory} is not a directory, and "
        if unknown and obstacle:
            raise TokenizerError(
                f"{where}the hub's cache on this machine has no {file} of that name, while {obstacle}. "
                "Give a local directory with tokenizer.json, or run it again where the hub or a mirror (HF_ENDPOINT) "
                "can be reached."
            ) from None
        said = cause.__cause__ or cause  # the hub's own advice hides what went wrong
        why = str(said).strip().splitlines()[0] if str(said).strip() else type(said).__name__
        raise TokenizerError(
            f"{where}the hub did not give {file} ({why}). Give a local directory with tokenizer.json, or a name on "
            "the hub."
        ) from None
