"""Turn rows into examples: ids, and labels that are proved. One module a task; the others hold what they share."""

from sftdata.stages.tokenization.conversations import weighs_turns
from sftdata.stages.tokenization.pairs import find_pair_template
from sftdata.stages.tokenization.rows import Tokenized, texts_to_prove, tokenize_rows
from sftdata.stages.tokenization.setup import Tokenization, make_renderer, without_template
from sftdata.stages.tokenization.targets import find_target_wrapping

__all__ = [
    "Tokenization",
    "Tokenized",
    "find_pair_template",
    "find_target_wrapping",
    "make_renderer",
    "texts_to_prove",
    "tokenize_rows",
    "weighs_turns",
    "without_template",
]
