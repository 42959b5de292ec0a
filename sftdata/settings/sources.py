"""Where rows come from. Apart from the recipe, so that checking a file does not load what all the stages are told."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from sftdata.documents import Settings, Text
from sftdata.errors import UsageError


class SourceSettings(Settings):
    """Where rows come from."""

    dataset: Text | None = None
    """Instead of `path`: a dataset on the hub by its name, read through `datasets`."""
    uri: Text | None = None
    """Instead of `path`: a database, such as `sqlite:///reviews.db`; relative to the recipe file. Needs `query`."""
    query: Text | None = None
    """The SELECT whose rows are read from `uri`; give it an ORDER BY, so that record numbers stay."""
    path: Text | Annotated[tuple[Text, ...], Field(min_length=1)] | None = Field(default=None, validate_default=True)
    """A file, a glob, a directory, or a list of these; relative to the recipe file."""
    subset: str | None = None
    """The configuration of `dataset`."""
    split: str | None = None
    """The split of `dataset`, or of a directory that holds several; all of them when it is not given."""
    revision: str | None = None
    """The commit, tag or branch of `dataset`."""
    format: Literal["csv", "tsv", "jsonl", "json", "parquet", "arrow", "dataset", "conll", "rejected"] | None = None
    """The format; found from the name and the content when it is not given. `csv` and `tsv`: tables of text; `jsonl`: a
    JSON object a line; `json`: one array of them; `parquet`; `arrow`: an IPC file or stream; `dataset`: a directory
    that `save_to_disk` wrote; `conll`: `token TAG` lines; `rejected`: a rejected.jsonl of ours."""
    encoding: str | None = None
    """The encoding of a text file, such as `utf-8`, `gb18030`, `big5`, `cp1252`; detected when it is not given."""
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """csv, tsv, conll: what stands between two fields; found when it is not given."""
    quoting: bool | None = None
    """csv, tsv: whether a field may stand in double quotes; found when it is not given."""
    header: Annotated[int, Field(ge=1)] | Annotated[tuple[Text, ...], Field(min_length=1)] | None = None
    """csv, tsv: the line of the header, counted from 1, or the names of the columns of a file that has none;
    conll: the names of the columns. Found when it is not given."""
    comment: Text | None = None
    """csv, tsv, conll: lines that begin so are no records; found before the header when it is not given."""

    @field_validator("path")
    @classmethod
    def _check_place(cls, path: Any, info: ValidationInfo) -> Any:
        given = [name for name in ("dataset", "uri") if info.data.get(name) is not None] + ["path"] * (path is not None)
        if len(given) != 1:
            raise ValueError(f"found {' and '.join(given) or 'none'}, expected one of path, dataset, uri")
        if (info.data.get("uri") is None) != (info.data.get("query") is None):
            raise ValueError("uri and query go together: a database, and what to select from it")
        return path


def make_source_settings(file: str, given: Mapping[str, Any]) -> SourceSettings:
    """Return the settings of what a command line calls a file: a path, `hub:NAME`, or a database and a query.

    Raises:
        UsageError: naming each option that does not fit.
    """
    if any("\udc80" <= sign <= "\udcff" for sign in file):
        raise UsageError(f"{file!a}: the name is not UTF-8; rename the file")
    options = {name: value for name, value in given.items() if value is not None}
    header = options.get("header")
    if header is not None:
        options["header"] = int(header) if header.isdigit() else tuple(header.split(","))
    if options.get("delimiter") in {"\\t", "tab"}:
        options["delimiter"] = "\t"
    place = "uri" if "query" in options else "dataset" if file.startswith("hub:") else "path"
    try:
        return SourceSettings(**{place: file.removeprefix("hub:") if place == "dataset" else file}, **options)
    except ValidationError as cause:
        faults = [f"--{fault['loc'][0]}: {fault['msg'].removeprefix('Value error, ')}" for fault in cause.errors()]
        raise UsageError("; ".join(dict.fromkeys(faults))) from None
