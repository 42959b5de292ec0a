"""Dependencies point one way, stages are pure, heavy packages stay where they belong, and public names are frozen."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sftdata
from sftdata.sources import native

PACKAGE = Path(sftdata.__file__).parent
FILES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}

LAYERS = [
    {"arrays", "errors", "hub", "keys", "records", "shipped"},
    {"checks", "faults", "row_checks", "documents", "functions", "manifest", "statistics"},
    {"rules", "expressions", "pandera_schemas"},
    {"column", "settings", "recipe", "schema", "ledger", "engine", "plan"},
    {"tokenizers", "shards", "sources", "text"},
    {"stages"},
    {"rejections", "unique_hashes", "uniqueness", "duplicates"},
    {"screening", "validation", "spilling", "augmentation", "evaluation_texts"},
    {"selection", "examples", "fitting"},
    {"pipeline", "trial", "forecast", "report", "training", "interchange", "proposal", "conversion", "editor_schemas"},
    {"view"},
    {"cli", ""},
    {"__main__"},
]
"""Each layer imports from itself and from those before it. `sources` sit with `shards`: neither knows the other."""


def imports_of(path: Path, *, at_load: bool = False) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if at_load else ast.walk(tree)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room(module: str) -> str:
    return module.removeprefix("sftdata").removeprefix(".").partition(".")[0]


def layer(name: str) -> int:
    return next(number for number, rooms in enumerate(LAYERS) if name in rooms)


def inner_imports(path: Path) -> set[str]:
    names = imports_of(path)
    return {name for name in names if name in FILES or name.rpartition(".")[0] in FILES.keys() - {"sftdata"}}


@pytest.mark.parametrize("module", [name for name in FILES if name != "sftdata"])
def test_imports_never_point_back(module):
    for name in inner_imports(FILES[module]):
        if room(name):
            assert layer(room(name)) <= layer(room(module)), f"{module} imports {name}"


def test_the_import_test_sees_every_module_and_would_fail():
    assert {room(module) for module in FILES} <= set().union(*LAYERS)
    assert "sftdata.records" in inner_imports(FILES["sftdata.pipeline"])
    assert layer("cli") > layer("records")


def test_sources_shards_and_tokenizers_do_not_know_each_other_wrongly():
    for module, path in FILES.items():
        rooms = {room(name) for name in inner_imports(path)}
        if room(module) == "sources":
            assert not rooms & {"shards", "tokenizers", "stages"}, module
        if room(module) == "shards":
            assert not rooms & {"sources", "tokenizers", "stages"}, module
        if room(module) == "tokenizers":
            assert not rooms & {"sources", "shards", "stages"}, module


@pytest.mark.parametrize("module", FILES)
def test_only_training_imports_torch_and_transformers(module):
    heavy = {name.partition(".")[0] for name in imports_of(FILES[module])} & {
        "torch",
        "transformers",
        "peft",
        "accelerate",
    }
    assert not heavy or room(module) == "training"


@pytest.mark.parametrize("module", [name for name in FILES if room(name) == "stages"])
def test_stages_touch_no_disk_clock_environment_or_global_randomness(module):
    forbidden = {
        "os",
        "pathlib",
        "time",
        "datetime",
        "random",
        "secrets",
        "uuid",
        "tempfile",
        "shutil",
        "io",
        "socket",
        "subprocess",
    }
    assert not {name.partition(".")[0] for name in imports_of(FILES[module])} & forbidden
    tree = ast.parse(FILES[module].read_text(encoding="utf-8"))
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert not {call for call in calls if call == "open" or call.startswith(("np.random", "numpy.random"))}


def test_importing_sftdata_loads_nothing_heavy():
    heavy = {"polars", "pyarrow", "torch", "transformers", "pandera", "numpy"}
    program = f"import sys, sftdata; sys.exit(' '.join({heavy} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("recipe", ["text_recipe", "chat_recipe", "pair_recipe", "tag_recipe", "translation_recipe"])
def test_preparing_loads_neither_torch_nor_transformers_nor_datasets_nor_pandas(request, recipe):
    path = request.getfixturevalue(recipe)()
    program = (
        "import sys, sftdata; sftdata.prepare(sftdata.load_recipe(sys.argv[1]))\n"
        "heavy = 'torch transformers datasets pandas nltk jieba opencc ftfy py3langid nlpaug'.split()\n"
        "sys.exit(' '.join(set(heavy) & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_validating_a_table_loads_nothing_that_only_others_need(tmp_path):
    (tmp_path / "data.csv").write_text("text,label\na,b\n")
    program = (
        "import sys; from sftdata.__main__ import main; sys.argv[0] = 'sftdata'\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    arguments = ["validate", str(tmp_path / "data.csv"), "--schema", "text_label", "--json"]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
    loaded = set(done.stderr.split())
    assert {"polars", "sftdata.schema", "sftdata.sources.csv"} <= loaded
    of_recipes = {"sftdata.recipe", "sftdata.settings.cleaning", "sftdata.stages.cleaning", "sftdata.manifest"}
    of_terminals = {"sftdata.report.bars", "sftdata.report.terminal", "rich.console", "rich.progress"}
    of_workers = {"multiprocessing", "concurrent.futures.process"}
    of_other_files = {"sftdata.sources.jsonl", "sftdata.sources.json_array", "sftdata.sources.parquet"}
    of_other_files |= {"pyarrow", "numpy"} if native.scan else set()  # which do what compiled code does otherwise
    elsewhere = {"pandera", "pandas", "tokenizers", "torch", "transformers", "datasets", "jinja2"}
    assert not loaded & (of_recipes | of_terminals | of_workers | of_other_files | elsewhere)


def test_public_names_are_frozen_sorted_and_there():
    assert sftdata.__all__ == sorted(sftdata.__all__)
    assert set(sftdata.__all__) == set(sftdata._HOMES)
    for name in sftdata.__all__:
        assert getattr(sftdata, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        sftdata.nonsense  # noqa: B018


def test_every_public_function_and_module_has_a_docstring():
    missing = []
    for module, path in FILES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        missing += [] if ast.get_docstring(tree) else [module]
    assert missing == []
