import pytest

from sftdata.text.inflection import inflect

NOUNS = {
    "dog": "dogs",
    "city": "cities",
    "boy": "boys",
    "box": "boxes",
    "church": "churches",
    "bus": None,
    "class": "classes",
    "building": "buildings",
    "witness": "witnesses",
    "kindness": None,
}
VERBS = {
    "walk": ("walks", "walked", "walking"),
    "try": ("tries", "tried", "trying"),
    "play": ("plays", "played", "playing"),
    "make": ("makes", "maked", "making"),
    "stop": ("stops", "stopped", "stopping"),
    "visit": ("visits", "visited", "visiting"),
    "tie": ("ties", "tied", "tying"),
    "agree": ("agrees", "agreed", "agreeing"),
    "watch": ("watches", "watched", "watching"),
    "look": ("looks", "looked", "looking"),
}


@pytest.mark.parametrize(("lemma", "plural"), NOUNS.items())
def test_regular_plurals(lemma, plural):
    assert inflect(lemma, "n", {}).get("plural") == plural


@pytest.mark.parametrize(("lemma", "forms"), VERBS.items())
def test_regular_verbs(lemma, forms):
    assert inflect(lemma, "v", {}) == dict(zip(("third", "past", "ing"), forms, strict=True))


def test_irregular_forms_come_from_the_lists():
    assert inflect("child", "n", {"child": ["children"]}) == {"plural": "children"}
    assert inflect("cow", "n", {"cow": ["kine", "kye"]}) == {}
    assert inflect("buy", "v", {"buy": ["bought"]})["past"] == "bought"
    assert inflect("plan", "v", {"plan": ["planned", "planning"]}) == {
        "third": "plans",
        "past": "planned",
        "ing": "planning",
    }
    assert inflect("good", "a", {"good": ["best", "better"]}) == {"comparative": "better", "superlative": "best"}
    assert inflect("big", "a", {"big": ["bigger", "biggest"]}) == {"comparative": "bigger", "superlative": "biggest"}


def test_forms_in_doubt_are_left_out():
    assert "past" not in inflect("go", "v", {"go": ["goes", "gone", "went"]})
    assert "past" not in inflect("put", "v", {"put": ["putting"]})
    assert inflect("beautiful", "a", {}) == {}
    assert inflect("quickly", "r", {}) == {}


def test_short_adjectives_have_degrees():
    assert inflect("large", "a", {}) == {"comparative": "larger", "superlative": "largest"}
    assert inflect("hot", "a", {}) == {"comparative": "hotter", "superlative": "hottest"}
