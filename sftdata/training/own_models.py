"""A model of one's own: any module, with the few methods of a model of transformers that the trainer calls."""

import inspect
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers.modeling_outputs import TokenClassifierOutput

from sftdata.errors import SftdataError, TrainingError
from sftdata.manifest import write_aside

RECORD_NAME = "own_model.json"
WEIGHTS_NAME = "model.safetensors"


class OwnConfig(BaseModel):
    """`own_model.json`: what makes the model again, and what others ask the configuration of a model for.

    Attributes:
        function: `module:name`.
        folder: where the module is looked for, if it is not installed.
        file: where it was found.
        digest: of that file.
        vocab_size: ids of the data.
        pad_token_id: what fills up rows.
        eos_token_id: what ends a written text, if anything does.
        label_names: of classes, labels or tags; one for a score; none for tasks that write.
        arguments: `train.model_arguments`.
    """

    model_config = ConfigDict(frozen=True)
    model_type: ClassVar[str] = "own"
    is_encoder_decoder: ClassVar[bool] = False

    function: str
    folder: str
    file: str
    digest: str
    vocab_size: int
    pad_token_id: int
    eos_token_id: int | None
    label_names: tuple[str, ...]
    arguments: dict[str, Any]

    def get_text_config(self) -> Self:
        """Return what is said about text: all of it."""
        return self


class OwnModel(torch.nn.Module):
    """A module with the few methods of a model of transformers that the trainer calls."""

    def __init__(self, module: torch.nn.Module, config: OwnConfig) -> None:
        super().__init__()
        self.module, self.config, self.generation_config = module, config, config
        parameters = inspect.signature(module.forward).parameters
        self._takes_all = any(one.kind == one.VAR_KEYWORD for one in parameters.values())
        self._names = frozenset(parameters)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def get_base_model(self) -> torch.nn.Module:
        """Return the module itself, whose `forward` says what it takes."""
        return self.module

    def forward(self, **inputs: Any) -> TokenClassifierOutput:
        """Call the module with what it takes.

        Raises:
            TrainingError: it failed; naming the line.
        """
        taken = inputs if self._takes_all else {name: inputs[name] for name in inputs.keys() & self._names}
        try:
            found = self.module(**taken)
            return TokenClassifierOutput(logits=found if isinstance(found, torch.Tensor) else found.logits)
        except (SftdataError, torch.OutOfMemoryError):
            raise
        except Exception as cause:  # whatever a person's module does
            raise tell_failure(f"the model of {self.config.function} failed", cause) from cause

    def generate(
        self, *, input_ids: torch.Tensor, attention_mask: torch.Tensor, max_new_tokens: int, **_: Any
    ) -> torch.Tensor:
        """Write greedily, reading all tokens again for each new one.

        Args:
            input_ids: padded on the left, shape `[lines, width]`, int64.
            attention_mask: 1 where there is a token, of the same shape.
            max_new_tokens: most ids of a line.

        Returns:
            The lines with new ids behind them, shape `[lines, width + new]`; anything may stand behind an end.
        """
        lengths, order = attention_mask.sum(dim=1), attention_mask.argsort(dim=1, descending=True, stable=True)
        lines, room = torch.arange(len(input_ids), device=self.device), max_new_tokens
        tokens = torch.nn.functional.pad(input_ids.gather(1, order), (0, room), value=self.config.pad_token_id)
        ended, longest, new = torch.zeros_like(lengths, dtype=torch.bool), int(lengths.max()), []
        for width in range(longest, longest + room):
            mask = (torch.arange(width, device=self.device) < lengths[:, None]).long()
            logits = self(input_ids=tokens[:, :width], attention_mask=mask).logits[lines, lengths - 1]
            new.append(logits[:, : self.config.vocab_size].argmax(dim=-1))
            tokens[lines, lengths] = new[-1]
            lengths = lengths + 1
            ended |= new[-1] == self.config.eos_token_id
            if bool(ended.all()):
                break
        return torch.cat([input_ids, torch.stack(new, dim=1)], dim=1)

    def save_pretrained(self, directory: str | Path, state_dict: Mapping[str, torch.Tensor] | None = None) -> None:
        """Write the weights, by the names that the module has for them, and `own_model.json` beside them."""
        Path(directory).mkdir(parents=True, exist_ok=True)
        found = self.state_dict() if state_dict is None else state_dict
        # Copies, for the format knows no weights that share memory.
        weights = {name.removeprefix("module."): weight.detach().cpu().clone() for name, weight in found.items()}
        save_file({name: weight.contiguous() for name, weight in weights.items()}, Path(directory) / WEIGHTS_NAME)
        write_aside(Path(directory) / RECORD_NAME, self.config.model_dump_json(indent=2) + "\n")

    def load(self, directory: Path) -> None:
        """Read the weights that `save_pretrained` wrote.

        Raises:
            TrainingError: they are damaged, or of another model.
        """
        try:
            self.module.load_state_dict(load_file(directory / WEIGHTS_NAME))
        except (OSError, RuntimeError, SafetensorError) as cause:
            raise TrainingError(
                f"{directory / WEIGHTS_NAME} cannot be loaded into the model of {self.config.function} "
                f"({' '.join(str(cause).split())[:300]}). Put the file back, or train again."
            ) from None


def read_own_config(directory: Path) -> OwnConfig | None:
    """Read what makes the model that was saved in a directory; None where it is none of one's own.

    Raises:
        TrainingError: it is damaged.
    """
    path = directory / RECORD_NAME
    try:
        return OwnConfig.model_validate_json(path.read_bytes()) if path.is_file() else None
    except (OSError, ValidationError) as cause:
        raise TrainingError(f"{path} cannot be read ({str(cause).splitlines()[0]}). Train again.") from None


def tell_failure(what: str, cause: Exception) -> TrainingError:
    """Return what to raise when a person's code fails: what it raised, and in which line."""
    place = traceback.extract_tb(cause.__traceback__)[-1]
    text = " ".join(str(cause).split())
    return TrainingError(f"train.model: {what} with {type(cause).__name__}: {text} ({place.filename}:{place.lineno})")
