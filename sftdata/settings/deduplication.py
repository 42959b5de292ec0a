"""What the recipe says about duplicates, and about texts that belong to an evaluation."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from sftdata.documents import Settings, Text


class NearSettings(Settings):
    """Which rows are near-duplicates of each other, and what becomes of them."""

    threshold: float = Field(default=0.8, ge=0.3, le=1)
    """Least share of shingles, of those that either of two texts has, that both have (Jaccard similarity); 0.3 to 1."""
    action: Literal["drop", "group"] = "group"
    """`drop` keeps one row of a cluster; `group` keeps all, on one side of every split."""
    words: int = Field(default=3, ge=1, le=50)
    """Words in a shingle; 1 to 50."""
    characters: int = Field(default=3, ge=1, le=50)
    """Characters in a shingle of a text that is written without spaces, such as Chinese; 1 to 50."""


class DeduplicateSettings(Settings):
    """Which rows say the same. By default nothing is dropped, but near-duplicates stay on one side of every split."""

    exact: bool = False
    """Drop rows that equal an earlier row, letter case, width of characters and blanks apart."""
    near: NearSettings | Literal[False] = NearSettings()
    """Look for near-duplicates; `false` does not look, and lets them stand on two sides of a split."""
    fields: Annotated[tuple[Text, ...], Field(min_length=1)] | None = None
    """The fields that are compared; all that hold text when it is not given."""
    conflicts: Literal["reject", "majority", "keep"] = "keep"
    """The same text with different labels: `reject` all its rows, keep those of the `majority`, or `keep` all."""

    @field_validator("near", mode="before")
    @classmethod
    def _check_near(cls, near: Any) -> Any:
        if near is False or isinstance(near, dict | NearSettings):
            return near
        raise ValueError(f"found {near!r}, expected false, or a mapping such as {{threshold: 0.8, action: drop}}")

    @field_validator("fields")
    @classmethod
    def _check_fields(cls, fields: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if fields and len(set(fields)) < len(fields):
            raise ValueError(f"found {', '.join(fields)}, expected each field once")
        return fields

    @property
    def drops(self) -> bool:
        """Whether a row may be dropped at all."""
        return self.exact or self.drops_near

    @property
    def drops_near(self) -> bool:
        """Whether near-duplicates are dropped."""
        return self.near is not False and self.near.action == "drop"


class DecontaminateSettings(Settings):
    """Which texts belong to an evaluation, so that no row may repeat them."""

    files: Annotated[tuple[Text, ...], Field(min_length=1)]
    """Files with evaluation texts, or globs; relative to the recipe file."""
    fields: Annotated[tuple[Text, ...], Field(min_length=1)] | None = None
    """The columns of `files` that hold the texts; all that hold text when it is not given."""
    ngram: int = Field(default=13, ge=2, le=100)
    """Words in a row, or characters of Chinese, that a row may not share with an evaluation text; 2 to 100."""
