"""Conversations that spell control tokens, encoded so that these stay the characters they are.

Before rendering, each control token that a text spells is replaced by one private character. In the rendered text all
control tokens are then the template's own: it is cut at them, and the pieces between, with the replaced characters put
back, are encoded with control tokens switched off.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np
import polars as pl

from sftdata.stages.tokenization.encoding import spell_control_tokens
from sftdata.stages.tokenization.flat import Flags, count_in_rows
from sftdata.tokenizers.labels import Places, Weights, mark_trained
from sftdata.tokenizers.loading import Tokenizer

FIRST = 0x100000
"""The first of the private characters that stand for control tokens."""


class CannotEscape(Exception):  # noqa: N818
    """This tokenizer does not encode a text piece by piece as it encodes the whole."""


@dataclass(frozen=True)
class Escaping:
    """How a tokenizer's control tokens are replaced and put back. Pickles."""

    tokenizer: Tokenizer

    @cached_property
    def _tokens(self) -> list[str]:
        return sorted(self.tokenizer.special_tokens, key=len, reverse=True)

    @cached_property
    def _stand_ins(self) -> list[str]:
        return [chr(FIRST + place) for place in range(len(self._tokens))]

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token.content: i for i, token in self.tokenizer.reference.get_added_tokens_decoder().items()}

    @cached_property
    def _cuts(self) -> re.Pattern[str]:
        return re.compile("(" + "|".join(map(re.escape, self._tokens)) + ")")

    def find(self, rows: pl.DataFrame) -> Flags:
        """Tell which rows spell a control token in a turn or in their tools."""
        turns = rows["messages"].list.len().fill_null(0).to_numpy()
        said = rows["messages"].list.explode(keep_nulls=False, empty_as_null=False).struct
        fields = [said.field(name) for name in ("role", "content", "details")]
        spelled = np.logical_or.reduce([spell_control_tokens(texts, self.tokenizer) for texts in fields])
        found: Flags = count_in_rows(spelled, turns.astype(np.int64)) > 0
        return found | spell_control_tokens(_unescape_all(rows["tools"]), self.tokenizer)

    def hide(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Replace the control tokens that turns and tools spell."""

        def replace(texts: pl.Expr) -> pl.Expr:
            return texts.str.replace_many(self._tokens, self._stand_ins, leftmost=True)

        turn = pl.element().struct
        hidden = pl.col("messages").list.eval(
            turn.with_fields(replace(turn.field("content")), replace(turn.field("details")))
        )
        tools = _unescape_all(rows["tools"])
        return rows.with_columns(hidden, replace(pl.lit(tools)).alias("tools"))

    def encode(
        self, text: str, starts: Sequence[int], ends: Sequence[int], weights: Sequence[float]
    ) -> tuple[list[int], Weights, bool]:
        """Encode a rendered text whose control tokens were hidden.

        Args:
            text: with private characters in place of control tokens.
            starts: first byte of each span that is trained.
            ends: one past the last byte of each span.
            weights: of each span.

        Returns:
            The ids; the weight of each, 0 where it is not trained; and whether tokens tile every span.

        Raises:
            CannotEscape: when pieces are not encoded as the whole is.
        """
        known = "".join(" " if FIRST <= ord(c) < FIRST + len(self._tokens) else c for c in text)
        if self._encode(known)[0] != self.tokenizer.reference.encode(known, add_special_tokens=False).ids:
            raise CannotEscape
        ids, places, shift = self._encode(text)
        edges = [[shift[len(text.encode()[:at].decode())] for at in side] for side in (starts, ends)]
        offsets = np.array(places, dtype=np.int64).reshape(-1, 2)
        firsts, lasts = (np.array(side, dtype=np.int64) for side in edges)
        of_spans = np.array(weights, dtype=np.float32)
        found, tiled = mark_trained(Places(offsets[:, 0], offsets[:, 1]), firsts, lasts, of_spans)
        return ids, found, bool(tiled.all())

    def _encode(self, text: str) -> tuple[list[int], list[tuple[int, int]], list[int]]:
        """Return ids, their character offsets in the text with everything put back, and where each character went."""
        ids: list[int] = []
        places: list[tuple[int, int]] = []
        shift: list[int] = []
        at = 0
        for number, piece in enumerate(self._cuts.split(text)):
            shown = [self._show(character) for character in piece]
            shift += list(accumulate(map(len, shown[:-1]), initial=at)) if shown else []
            whole = "".join(shown)
            if number % 2:
                ids.append(self._ids[piece])
                places.append((at, at + len(piece)))
            elif piece:
                encoding = self.tokenizer.plain_reference.encode(whole, add_special_tokens=False)
                ids += encoding.ids
                places += [(at + start, at + end) for start, end in encoding.offsets]
            at += len(whole)
        return ids, places, [*shift, at]

    def _show(self, character: str) -> str:
        place = ord(character) - FIRST
        return self._tokens[place] if 0 <= place < len(self._tokens) else character


def _unescape_all(tools: pl.Series) -> pl.Series:
    r"""Return JSON without escapes such as `\u003c`, which may hide a control token."""
    if not tools.str.contains("\\u", literal=True).any():
        return tools
    texts = [json.dumps(json.loads(text), ensure_ascii=False) if text else text for text in tools]
    return pl.Series(tools.name, texts, dtype=pl.String)
