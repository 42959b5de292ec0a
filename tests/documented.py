"""Run what a page of the documentation shows, and compare what it says comes of it with what really does.

The blocks of a page run in its order, in a folder of their own that has a copy of `samples/`:

- `console` and `bash`: lines that begin with `$ ` are commands, the lines below one are what it prints, on stdout and
  stderr. Below a command without any nothing is compared. A command fails if, and only if, the page shows its `error:`.
- `python`: runs, with the names that the blocks before it have made.
- `yaml`: is a recipe, a schema, or a part of one, and loads.

`...` on a line of its own stands for any lines, and within a line for anything. More is said in a comment before the
block, `<!-- test: MARK; MARK -->`, which no reader sees:

- `file NAME`: the block is what the reader writes into that file, whatever its language is.
- `here NEW for OLD`: as such a file, but for the tests shorter: `here max_steps: 2 for epochs: 3`.
- `numbers vary`: the output is compared with any number for a number (seconds, scores of a shortened run).
- `not run, REASON`: neither run nor compared; tests/test_docs.py lists all of them.
- `real models`, anywhere in a page: it needs the models that tests/real/fetch.py brings.
"""

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from difflib import unified_diff
from pathlib import Path
from textwrap import dedent
from typing import Any

import yaml

from sftdata.cli import main
from sftdata.errors import UsageError
from sftdata.recipe import Recipe, load_recipe
from sftdata.records import Task
from sftdata.schema import Schema, load_schema

ROOT = Path(__file__).parent.parent

MODELS = {
    "sentence-transformers/all-MiniLM-L6-v2": "minilm",
    "HuggingFaceTB/SmolLM2-135M-Instruct": "smollm2",
    "Qwen/Qwen3-0.6B": "qwen3",  # its tokenizer
    "samples/models/minilm": "minilm",
    "samples/models/smollm2": "smollm2",
}
"""What stands in a test for the hub and for `make models`: a local directory goes before a name on the hub."""

BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
MARKS = re.compile(r"<!-- test: ([^\n]*?) -->\s*\Z")
NUMBER = re.compile(r"\d[\d,.]*(e[+-]\d+)?")


@dataclass(frozen=True)
class Block:
    """A fenced block: where its text begins, what it is written in, and the marks before it."""

    page: Path
    line: int
    start: int
    language: str
    text: str
    marks: tuple[str, ...]

    def marked(self, name: str) -> str | None:
        """Return what stands behind a mark, or None if it is not there."""
        return next(self.all_marked(name), None)

    def all_marked(self, name: str) -> Iterator[str]:
        """Yield what stands behind each mark of that name."""
        return (mark.removeprefix(name).strip(" ,") for mark in self.marks if mark.startswith(name))

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"


def read_blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page that say what they are written in."""
    text, blocks = page.read_text(encoding="utf-8"), []
    for match in BLOCK.finditer(text):
        marks = MARKS.search(text[: match.start()])
        line = text.count("\n", 0, match.start(3)) + 1
        said = tuple(mark.strip() for mark in marks[1].split(";")) if marks else ()
        blocks.append(Block(page, line, match.start(3), match[2], dedent(match[3]), said))
    return blocks


def needs_models(page: Path) -> bool:
    return "<!-- test: real models -->" in page.read_text(encoding="utf-8")


def read_commands(block: Block) -> Iterator[tuple[str, str]]:
    """Yield each command of a block, its lines joined, and what stands below it."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command = re.match(r"(?:.*\\\n)*.*\n", part)[0]
        yield command, part[len(command) :]


def agrees(shown: str, found: str, *, numbers_vary: bool) -> bool:
    """Tell whether a page shows what was printed, where `...` stands for anything."""
    if numbers_vary:
        shown, found = (re.sub(r"[ \t]+", " ", NUMBER.sub("0", text)) for text in (shown, found))
    lines = [".*\n" if line.strip() == "..." else _pattern(line) for line in _lines(shown)]
    pattern = "".join("(?:.*\n)*" if line == ".*\n" else line for line in lines)
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in _lines(found))) is not None


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip("\n").splitlines()]


def _pattern(line: str) -> str:
    return ".*".join(map(re.escape, line.split("..."))) + "\n"


@dataclass
class Visit:
    """One reading of a page, from its first block to its last.

    Attributes:
        folder: the working directory of all commands.
        faults: what the page says that is not so.
        corrections: what the page shows of a command, and what it should show.
    """

    folder: Path
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "example"})
    faults: list[str] = field(default_factory=list)
    corrections: list[tuple[str, str]] = field(default_factory=list)

    def read(self, page: Path) -> None:
        """Do what all blocks of a page show."""
        for block in read_blocks(page):
            if block.marked("not run") is None:
                self._do(block)

    def _do(self, block: Block) -> None:
        if file := block.marked("file"):
            self._write(block, Path(file))
        elif block.language in ("console", "bash"):
            for command, shown in read_commands(block):
                self._compare(block, command, shown, *self.run(command))
        elif block.language == "python":
            exec(compile("\n" * (block.line - 1) + block.text, str(block.page), "exec"), self.names)  # noqa: S102
        elif block.language == "yaml":
            self.faults += [f"{block.where}: {fault}" for fault in find_faults(block.text, self.folder)]

    def _write(self, block: Block, file: Path) -> None:
        text = block.text
        for change in block.all_marked("here"):
            new, _, old = change.partition(" for ")
            assert text.count(old) == 1, f"{block.where}: {old!r} stands there {text.count(old)} times, expected once"
            text = text.replace(old, new)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def run(self, command: str) -> tuple[str, bool]:
        """Run a command; return what it printed, and whether it succeeded.

        One of sftdata's runs in this process, which has imported what it needs; anything else goes to bash.
        """
        if re.search(r"[|<>&;$`*]", command) or not command.startswith("sftdata "):
            path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
            env = {**os.environ, "PATH": path, "PYTHONWARNINGS": "ignore"}
            done = subprocess.run(["bash", "-c", command], stdout=-1, stderr=-2, text=True, env=env, timeout=240)
            return done.stdout, done.returncode == 0
        printed, arguments = io.StringIO(), sys.argv
        sys.argv = shlex.split(command)
        try:
            with redirect_stdout(printed), redirect_stderr(printed):
                main()
        except SystemExit as end:
            return printed.getvalue(), not end.code
        except Exception:  # a traceback is never what a page shows; the rest of the page is tried all the same
            return printed.getvalue() + traceback.format_exc(), False
        finally:
            sys.argv = arguments
        return printed.getvalue(), True

    def _compare(self, block: Block, command: str, shown: str, printed: str, succeeded: bool) -> None:
        agreed = agrees(shown, printed, numbers_vary=block.marked("numbers vary") is not None)
        if succeeded == ("error: " in shown):
            self.faults.append(f"{block.where}: $ {command}{'succeeds' if succeeded else 'fails'}:\n{printed}")
        elif shown.strip() and not agreed:
            diff = unified_diff(_lines(shown), _lines(printed), "the page", "the program", lineterm="")
            self.faults.append(f"{block.where}: $ {command}" + "\n".join(diff))
        else:
            return
        if "Traceback" in printed:
            return  # a bug, and no output to show
        below = shown[len(shown.rstrip("\n")) :]
        self.corrections.append((command + shown, command + "\n".join(_lines(printed)) + below))


def find_faults(text: str, folder: Path) -> list[str]:
    """Return what is wrong with a recipe, a schema, or a part of one."""
    document = yaml.safe_load(text)
    file = folder / "shown.yaml"
    if document.keys() <= _keys(Schema):
        return _load(load_schema, file, {"name": "shown", **document})
    if not document.keys() <= _keys(Recipe):
        return [f"{', '.join(document.keys() - _keys(Recipe))}: no key of a recipe or a schema"]
    tasks = [document["task"]] if "task" in document else list(Task)
    found = [_load(load_recipe, file, _complete(document, str(task))) for task in tasks]
    return min(found, key=len)  # a part of a recipe is one of some task


def _keys(model: Any) -> set[str]:
    return {known.alias or name for name, known in model.model_fields.items()}


def _complete(part: dict[str, Any], task: str) -> dict[str, Any]:
    whole = {"task": task, "schema": "text_label", "sources": [{"path": "data.csv"}], "output": {"dir": "out"}, **part}
    own = part.get("tokenize", {})
    whole["tokenize"] = own if "train_tokenizer" in own else {"tokenizer": "some/where", **own}
    if "train" in part:
        whole["train"] = {"model": "some/where", "output_dir": "run", **part["train"]}
    return whole


def _load(load: Any, file: Path, document: dict[str, Any]) -> list[str]:
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    try:
        load(file)
    except UsageError as cause:
        return [str(cause)]
    finally:
        file.unlink()
    return []


def set_up(folder: Path, assets: Path | None) -> None:
    """Put the samples into a folder, and where there are assets, the models, by the names that the pages call them.

    The recipes of the samples train two steps there, and not an epoch.
    """
    ignored = shutil.ignore_patterns("models", "out", "__pycache__", "make_samples.py")
    shutil.copytree(ROOT / "samples", folder / "samples", ignore=ignored)
    for recipe in (folder / "samples").glob("*.yaml"):
        text = re.sub(
            r"^  (epochs|max_steps): \d+", "  max_steps: 2", recipe.read_text(encoding="utf-8"), flags=re.MULTILINE
        )
        recipe.write_text(text, encoding="utf-8")
    for name, asset in MODELS.items() if assets else ():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to((assets / asset).resolve())
