"""Turn rows into examples: ids, and labels that are proved. One module a task; the others hold what they share."""

from sftdata.stages.tokenization.rows import Tokenized, texts_to_prove, tokenize_rows
from sftdata.stages.tokenization.setup import Tokenization, make_renderer

__all__ = ["Tokenization", "Tokenized", "make_renderer", "texts_to_prove", "tokenize_rows"]
