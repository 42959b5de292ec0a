"""Hypothesis strategies and settings that several tests share."""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

quick = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
"""Any text that UTF-8 can hold, line breaks, quotes and NUL among it."""

blanks = st.sampled_from(["", " ", "\t\n", "　", "\u00a0\u2003", "\u200b", "\x1f", "a", " a ", "中"])

roles = st.sampled_from(["system", "user", "assistant", "tool", "", "user assistant", "Assistant", None])

turns = st.fixed_dictionaries({"role": roles, "content": st.none() | blanks | texts})


@st.composite
def _well_formed(draw: st.DrawFn) -> list[dict[str, Any]]:
    names = ["system"] * draw(st.booleans()) + ["user", "assistant"] * draw(st.integers(0, 3))
    return [{"role": name, "content": draw(blanks | texts)} for name in names]


conversations = st.lists(turns, max_size=5) | _well_formed()

numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)

json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)

detailed_turns = st.fixed_dictionaries(
    {
        "role": roles,
        "content": st.none() | blanks | texts,
        "weight": st.none() | st.sampled_from([0.0, 1.0, 0.5]),
        "details": st.none() | st.sampled_from(['{"name":"a"}', '{"tool_calls":[]}', '{"tool_calls":null,"x":1}']),
    }
)

tagged = st.lists(
    st.sampled_from(["O", "B-PER", "I-PER", "E-PER", "S-PER", "M-PER", "L-PER", "U-PER", "I-LOC"]), max_size=5
)

values_of_dtype: dict[str, st.SearchStrategy[Any]] = {
    "str": blanks | texts | st.sampled_from(["a", "b", "xa", "2024-01-01"]),
    "int": st.integers(-1, 7) | st.sampled_from([-(2**63), 2**63 - 1]),
    "float": st.sampled_from([-0.5, 0.0, -0.0, 0.5, 1.0, float("nan"), float("inf"), float("-inf")]),
    "bool": st.booleans(),
    "messages": st.lists(detailed_turns, max_size=4) | _well_formed(),
    "list[str]": st.lists(st.none() | blanks | texts, max_size=4) | tagged,
    "pairs": st.lists(st.none() | st.lists(st.none() | blanks, max_size=3), max_size=3),
    "json": st.sampled_from(["null", "[]", '{"a":1}', '" "', "1"]),
}
"""What may stand in a column of each dtype of a schema, apart from null; every list may be empty."""
