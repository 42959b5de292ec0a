"""What `augment` says in a recipe: a list of steps, each of which makes changed copies of training rows."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, JsonValue, field_validator, model_validator

from sftdata.documents import Settings

Rate = Annotated[float, Field(gt=0, le=1)]
Term = Annotated[str, Field(pattern=r"\S")]


class CopySettings(Settings):
    """What all steps have: how many copies, of which rows, and what stays as it is."""

    copies: int = Field(default=1, ge=1, le=100)
    """Changed copies of each training row."""
    factors: dict[str, Annotated[float, Field(ge=0, le=100)]] = Field(default_factory=dict)
    """Multiply the copies of rows with a label: `{rare: 4, common: 0.5}`. Half a copy means one of every second row,
    chosen at random; 0 none. Of several labels the largest factor counts; a label that is not named has 1."""
    side: Literal["input", "all"] = "input"
    """`input` changes what a model is given: the text, the source text, the tokens, the user's turns. `all` changes the
    target text and the turns of system and assistant too, which teaches a model to write so."""
    protect: tuple[Term, ...] = ()
    """Terms that stay as they are, in any case, such as names of products; `cat` also protects `cats`."""


class SynonymReplacement(CopySettings):
    """Replace words by synonyms (EDA, Wei and Zou 2019)."""

    rate: Rate = 0.1
    """Share of the words of a text that is replaced, at least one; stopwords and unknown words never are."""
    cilin: str | None = None
    """A file of Chinese synonyms in the format of Cilin, beside the small list that is built in; relative to the
    recipe."""


class RandomInsertion(CopySettings):
    """Insert synonyms of words of the text at random places (EDA)."""

    rate: Rate = 0.1
    """Number of inserted words as a share of the words of a text, at least one."""
    cilin: str | None = None
    """A file of Chinese synonyms in the format of Cilin, beside the small list that is built in; relative to the
    recipe."""


class RandomSwap(CopySettings):
    """Let pairs of words change places (EDA); spacing and punctuation stay where they are."""

    rate: Rate = 0.1
    """Number of pairs as a share of the words of a text, at least one."""


class RandomDeletion(CopySettings):
    """Delete words (EDA), but no negation such as `not`, which would turn the meaning round."""

    rate: Rate = 0.1
    """Share of the words of a text that is deleted, at least one."""


class PunctuationInsertion(CopySettings):
    """Insert punctuation behind random words (AEDA, Karimi, Rossi and Prati 2021)."""

    rate: Rate = 0.3
    """Most signs as a share of the words of a text; their number is drawn from one up to that."""


class SentenceReordering(CopySettings):
    """Let pairs of sentences of a paragraph change places; line breaks stay where they are."""

    rate: Rate = 0.3
    """Number of pairs as a share of the sentences of a paragraph, at least one."""


class TypingNoise(CopySettings):
    """Mistype words: a neighbouring key, or two letters in the wrong order."""

    rate: Rate = 0.1
    """Share of the words of a text that is mistyped, at least one; stopwords and short words never are."""


class HomophoneNoise(CopySettings):
    """Replace Chinese characters by others that sound alike."""

    rate: Rate = 0.1
    """Share of the Chinese words of a text in which a character is replaced, at least one; stopwords never are."""


class Nlpaug(CopySettings):
    """Let an augmenter of the package nlpaug change the texts, seeded for each of them."""

    augmenter: str
    """The module of nlpaug and its class, such as `nlpaug.augmenter.word:SpellingAug`."""
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    """Arguments of the class."""

    @field_validator("augmenter")
    @classmethod
    def _check_augmenter(cls, augmenter: str) -> str:
        if not re.fullmatch(r"nlpaug\.augmenter\.(char|word|sentence)(\.[a-z_]+)?:[A-Za-z]+", augmenter):
            raise ValueError(
                f"found {augmenter!r}, expected a module for text inside nlpaug and a class, "
                "such as nlpaug.augmenter.word:SpellingAug"
            )
        return augmenter


class AugmentationStep(Settings):
    """One step: exactly one of these, under its name."""

    synonym_replacement: SynonymReplacement | None = None
    """Replace words by synonyms."""
    random_insertion: RandomInsertion | None = None
    """Insert synonyms at random places."""
    random_swap: RandomSwap | None = None
    """Let words change places."""
    random_deletion: RandomDeletion | None = None
    """Delete words."""
    punctuation_insertion: PunctuationInsertion | None = None
    """Insert punctuation."""
    sentence_reordering: SentenceReordering | None = None
    """Let sentences change places."""
    typing_noise: TypingNoise | None = None
    """Mistype words."""
    homophone_noise: HomophoneNoise | None = None
    """Replace Chinese characters by others that sound alike."""
    nlpaug: Nlpaug | None = None
    """Use an augmenter of nlpaug."""

    @model_validator(mode="before")
    @classmethod
    def _take_name_alone(cls, given: Any) -> Any:
        """Take `random_swap:` for `random_swap: {}`."""
        if isinstance(given, dict):
            return {name: {} if value is None else value for name, value in given.items()}
        return given

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if len(self.model_fields_set) != 1:
            found = " and ".join(sorted(self.model_fields_set)) or "nothing"
            raise ValueError(f"found {found} in one step, expected exactly one of {', '.join(type(self).model_fields)}")
        return self

    @property
    def name(self) -> str:
        """The name of the step."""
        return next(iter(self.model_fields_set))

    @property
    def settings(self) -> Any:
        """What the step is told; a subclass of `CopySettings`."""
        return getattr(self, self.name)
