"""What is published: the right files, their licences, whole metadata, and the same bytes from tree and archive."""

import ast
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import BytesParser
from pathlib import Path

import pytest
from packaging.metadata import Metadata

import sftdata

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
KINDS = {
    ".arrow",
    ".c",
    ".css",
    ".h",
    ".html",
    ".jinja",
    ".js",
    ".json",
    ".py",
    ".pyi",
    ".so",
    ".txt",
    ".typed",
    ".yaml",
}
"""Endings of the files that may be published; another one is most likely there by accident."""


def build(folder, out):
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(out)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(out.glob("*.tar.gz")), next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def archived(built):
    with tarfile.open(built[0]) as archive:
        return {member.name.partition("/")[2]: archive.extractfile(member).read() for member in archive}


@pytest.fixture(scope="module")
def packed(built):
    with zipfile.ZipFile(built[1]) as wheel:
        return {name: wheel.read(name) for name in wheel.namelist()}


def ours(folder):
    files = (path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT / folder).as_posix() for path in files}


COMPILED = "sources/native/_scan.abi3.so"


def about(name):
    return f"sftdata-{sftdata.__version__}.dist-info/{name}"


def test_the_wheel_holds_the_package_with_its_tables_templates_and_schemas_and_nothing_else(packed):
    package = {f"sftdata/{name}" for name in ours("sftdata") if Path(name).suffix not in (".c", ".h")}
    package |= {f"sftdata/schemas/{name}" for name in ours("schemas")}
    assert {name for name in packed if name.startswith("sftdata/")} == package
    assert {Path(name).suffix for name in package} <= KINDS
    needed = {
        COMPILED,
        "py.typed",
        "schemas/alpaca.yaml",
        "data/english_synonyms.arrow",
        "report/templates/report.html.jinja",
    }
    assert {f"sftdata/{name}" for name in needed} <= package
    assert {name.split("/")[0] for name in packed} == {"sftdata", about("").rstrip("/")}


def test_the_archive_holds_what_the_wheel_is_built_from_and_nothing_else(archived):
    alone = {"CHANGELOG.md", "LICENSE", "README.md", "hatch_build.py", "pyproject.toml", "PKG-INFO", ".gitignore"}
    inside = {f"{folder}/{name}" for folder in ("sftdata", "schemas") for name in ours(folder) if name != COMPILED}
    assert set(archived) == alone | inside


def test_every_licence_is_declared_and_every_table_says_where_it_is_from(packed):
    licences = {name for name in packed if name.startswith("sftdata/") and ("LICENSE" in name or "NOTICE" in name)}
    declared = {name.removeprefix(about("licenses/")) for name in packed if name.startswith(about("licenses/"))}
    assert declared == licences | {"LICENSE"}
    assert b"WordNet" in packed["sftdata/data/WORDNET_LICENSE.txt"]
    written_here = {"chinese_synonyms.txt", "homophones.txt"}
    for name in written_here:
        assert "Written by hand for sftdata" in packed[f"sftdata/data/{name}"].decode().replace("\n# ", " ")[:600]
    assert ours("sftdata/data") == written_here | {"WORDNET_LICENSE.txt", "english_synonyms.arrow"}


def test_tree_and_archive_give_the_same_bytes(built, tmp_path):
    with tarfile.open(built[0]) as archive:
        archive.extractall(tmp_path, filter="data")
    again = build(next(tmp_path.iterdir()), tmp_path / "dist")
    for first, second in zip(built, again, strict=True):
        assert first.read_bytes() == second.read_bytes(), first.name


def test_one_wheel_serves_every_python_of_a_platform(built):
    assert built[1].stem.split("-")[2:4] == ["cp311", "abi3"]


def test_without_a_compiler_the_package_is_built_and_works(built, tmp_path, monkeypatch):
    with tarfile.open(built[0]) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.setenv("CC", "/no/compiler")
    _, wheel = build(next(tmp_path.iterdir()), tmp_path / "dist")
    assert wheel.stem.endswith("py3-none-any")
    with zipfile.ZipFile(wheel) as packed:
        assert f"sftdata/{COMPILED}" not in packed.namelist()
    shutil.unpack_archive(wheel, tmp_path / "site", "zip")
    program = "from sftdata.sources.native import scan; import sftdata; print(scan, sftdata.__file__)"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path / "site", capture_output=True, text=True)
    assert done.stdout.split() == ["None", str(tmp_path / "site" / "sftdata" / "__init__.py")], done.stderr


def test_the_metadata_are_whole_and_the_version_has_one_source(packed):
    raw = packed[about("METADATA")]
    found = Metadata.from_email(raw, validate=True)
    assert str(found.version) == sftdata.__version__
    assert "version" in PROJECT["dynamic"]
    assert found.license_expression == "Apache-2.0 AND LicenseRef-WordNet-3.0"
    assert set(found.provides_extra) == set(PROJECT["optional-dependencies"])
    assert found.description_content_type == "text/markdown"
    assert found.description == (ROOT / "README.md").read_text(encoding="utf-8")
    versions = [name.rpartition(" ")[2] for name in found.classifiers if "Python :: 3." in name]
    assert versions == ["3.11", "3.12", "3.13"]
    assert BytesParser().parsebytes(raw)["Requires-Python"] == ">=3.11"
    assert packed[about("entry_points.txt")].decode().split() == [
        "[console_scripts]",
        "sftdata",
        "=",
        "sftdata.__main__:main",
    ]


def test_the_typed_program_uses_every_public_name():
    tree = ast.parse((Path(__file__).parent / "user_program.py").read_text(encoding="utf-8"))
    used = {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "sftdata"
    }
    assert used == set(sftdata.__all__)
