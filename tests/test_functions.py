import sys
import uuid

import own_checks
import pytest

from sftdata.functions import find_named


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module of a name that no other has, and forget it afterwards."""
    name = f"checks_{uuid.uuid4().hex}"
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(content, folder=tmp_path):
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text(content)
        return name

    yield write
    sys.modules.pop(name, None)


def test_an_object_is_found_by_its_module_and_name():
    assert find_named("own_checks:short") is own_checks.short
    assert find_named("own_checks:Ticket.Config") is own_checks.Ticket.Config
    assert find_named("os.path:join") is __import__("os").path.join


def test_a_module_is_found_beside_the_file_that_names_it_and_from_then_on(tmp_path, module):
    name = module("def good(data): return 5")
    with pytest.raises(ValueError, match=rf"^{name}:good: there is no module '{name}'"):
        find_named(f"{name}:good")
    assert find_named(f"{name}:good", tmp_path)(None) == 5
    assert sys.path[-1] == str(tmp_path)
    before = list(sys.path)
    assert find_named(f"{name}:good")(None) == 5
    assert find_named(f"{name}:good", tmp_path)(None) == 5
    assert sys.path == before


def test_an_installed_module_is_not_hidden_by_one_beside_the_schema(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "json.py").write_text("raise SystemExit('run')")
    with pytest.raises(ValueError, match=r"json\.py is hidden by .*json/__init__\.py; call it by another name"):
        find_named("json:dumps", tmp_path)


def test_of_two_modules_of_one_name_the_wrong_one_is_not_taken_in_silence(tmp_path, module):
    name = module("def good(data): return 1", tmp_path / "a")
    module("def good(data): return 2", tmp_path / "b")
    assert find_named(f"{name}:good", tmp_path / "a")(None) == 1
    with pytest.raises(ValueError, match=rf"b/{name}\.py is hidden by .*a/{name}\.py; call it by another name"):
        find_named(f"{name}:good", tmp_path / "b")
    assert find_named(f"{name}:good", tmp_path / "a")(None) == 1
    assert find_named(f"{name}:good")(None) == 1


@pytest.mark.parametrize("name", ["", ":", "a", "a:", ":a", "own_checks"])
def test_a_name_has_two_parts(name):
    with pytest.raises(ValueError, match="expected module:name"):
        find_named(name)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("raise RuntimeError('boom')", "failed with RuntimeError: boom"),
        ("1 / 0", "failed with ZeroDivisionError: division by zero"),
        ("def", "failed with SyntaxError"),
        ("import sys; sys.exit(3)", "failed with SystemExit: 3"),
        ("object.nope", "failed with AttributeError"),
        ("import no_such_module_x", "there is no module 'no_such_module_x'"),
        ("from own_checks import nope", "failed with ImportError"),
        ("other = 1", "has no 'good'"),
        ("good = None", None),
    ],
)
def test_a_module_that_cannot_be_imported_is_told_in_plain_words(module, tmp_path, content, words):
    name = module(content)
    if words is None:
        assert find_named(f"{name}:good", tmp_path) is None
        return
    with pytest.raises(ValueError, match=rf"^{name}:good: ") as caught:
        find_named(f"{name}:good", tmp_path)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["..a:b", "no_such_package.inner:b", "os.nope:b", "own_checks:a.b"])
def test_what_is_not_there_is_told(name):
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        find_named(name)
