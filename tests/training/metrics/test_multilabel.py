import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn import metrics as reference
from strategies import quick

from sftdata.training.metrics import choose_labels, score_labels, tune_thresholds

few = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.500001, 0.7, 1.0]).map(np.float32)
any_probability = st.floats(0, 1, width=32)


@st.composite
def labelled(draw, least=1):
    shape = (draw(st.integers(1, 25)), draw(st.integers(least, 4)))
    targets = draw(arrays.arrays(np.float32, shape, elements=st.sampled_from([0.0, 1.0])))
    return targets, draw(arrays.arrays(np.float32, shape, elements=draw(st.sampled_from([few, any_probability]))))


@given(labelled(), st.booleans())
@quick
def test_scores_are_those_of_scikit_learn(rows, tuned):
    targets, found = rows
    thresholds = tune_thresholds(targets, found) if tuned else None
    chosen = choose_labels(found, thresholds)
    names = [str(place) for place in range(targets.shape[1])]
    result = score_labels(targets, found, names, thresholds)
    seen = np.flatnonzero(targets.any(0) | chosen.any(0))
    expected = {
        "subset_accuracy": np.mean([np.array_equal(*row) for row in zip(targets > 0, chosen, strict=True)]),
        "hamming_loss": np.mean((targets > 0) != chosen),
    }
    if targets.shape[1] > 1:  # one column is to scikit-learn a binary task, in which 0 is a class, too
        assert expected["subset_accuracy"] == pytest.approx(reference.accuracy_score(targets, chosen))
        assert expected["hamming_loss"] == pytest.approx(reference.hamming_loss(targets, chosen))
        for average in ("micro", "macro"):
            labels = seen if average == "macro" and len(seen) else None
            ways = reference.precision_recall_fscore_support(
                targets, chosen, labels=labels, average=average, zero_division=0
            )
            expected |= dict(
                zip([f"{average}_{name}" for name in ("precision", "recall", "f1")], ways[:3], strict=True)
            )
        assert result.values.keys() - {"roc_auc"} == expected.keys()
    assert {name: result.values[name] for name in expected} == pytest.approx(expected)


@given(labelled(least=2))
@quick
def test_each_label_is_that_of_scikit_learn_with_its_area_where_it_has_one(rows):
    targets, found = rows
    names = [str(place) for place in range(targets.shape[1])]
    result = score_labels(targets, found, names)
    ways = reference.precision_recall_fscore_support(targets, found >= 0.5, zero_division=0)
    areas = []
    for place, ours in enumerate(result.details["per_class"].values()):
        assert [ours[key] for key in ("precision", "recall", "f1", "rows")] == pytest.approx([w[place] for w in ways])
        if len(set(targets[:, place])) == 2:
            areas.append(reference.roc_auc_score(targets[:, place], found[:, place]))
            assert ours["roc_auc"] == pytest.approx(areas[-1])
        else:
            assert "roc_auc" not in ours
    assert result.values.get("roc_auc") == (pytest.approx(np.mean(areas)) if areas else None)
    assert ("roc_auc" in result.undefined) == (not areas)


@given(labelled())
@quick
def test_a_tuned_threshold_is_as_good_as_the_best_of_all_and_0_5_where_that_is(rows):
    targets, found = rows
    thresholds = tune_thresholds(targets, found)
    assert thresholds.dtype == np.float32
    assert ((thresholds >= 0) & (thresholds <= 1)).all()
    for place, threshold in enumerate(thresholds):
        truth, scores = targets[:, place] > 0, found[:, place]
        f1 = {cut: reference.f1_score(truth, scores >= cut, zero_division=0) for cut in [*scores, np.float32(0.5)]}
        best = max(f1.values())
        assert reference.f1_score(truth, scores >= threshold, zero_division=0) == pytest.approx(best)
        assert threshold == 0.5 or f1[np.float32(0.5)] < best - 1e-12


def test_a_threshold_lies_in_the_middle_of_the_gap_that_it_parts():
    targets, found = np.array([[1], [1], [0], [0]]), np.array([[0.25], [0.125], [0.0625], [0]], dtype=np.float32)
    assert tune_thresholds(targets, found).tolist() == [0.09375]
    assert tune_thresholds(targets > 1, found).tolist() == [0.5]  # no row has the label
    assert tune_thresholds(targets >= 0, found).tolist() == [0.0]  # every row has it
    assert tune_thresholds(targets >= 0, found + np.float32(0.25)).tolist() == [0.125]


def test_of_two_thresholds_as_good_the_one_nearer_to_0_5_is_taken():
    found = np.array([[0.9], [0.8], [0.7], [0.6]], dtype=np.float32)
    targets = np.array([[1], [0], [0], [1]])  # F1 is 2/3 with the first row chosen, and with all
    assert tune_thresholds(targets, found).tolist() == [0.5]
    assert tune_thresholds(targets, (1 - found) / 2)[0] == pytest.approx(0.175)


def test_equal_probabilities_are_not_parted_though_a_part_of_them_would_be_as_good():
    found = np.array([[0.9], [0.8], [0.6], [0.6], [0.6]], dtype=np.float32)
    targets = np.array([[1], [0], [0], [1], [0]])  # the first four have the F1 of the first, nearer to 0.5
    assert tune_thresholds(targets, found) == pytest.approx([0.85])


@pytest.mark.parametrize(("near", "towards"), [(0.25, 0), (0.25, 1)])
def test_neighbours_among_float32_are_parted(near, towards):
    found = np.sort(np.array([near, np.nextafter(np.float32(near), np.float32(towards))], dtype=np.float32))[:, None]
    thresholds = tune_thresholds(np.array([[0], [1]]), found)
    assert choose_labels(found, thresholds).tolist() == [[False], [True]]


def test_a_label_with_a_probability_that_is_no_number_keeps_0_5_and_has_no_area():
    targets, found = np.array([[1], [0]]), np.array([[0.1], [np.nan]], dtype=np.float32)
    assert tune_thresholds(targets, found).tolist() == [0.5]
    assert score_labels(targets, found, ["a"]).undefined == {
        "roc_auc": "no class has an area; of the first, some scores are not numbers"
    }


def test_thresholds_stand_beside_the_scores_of_their_labels():
    targets, found = np.array([[1, 0], [0, 1]]), np.array([[0.25, 0.75], [0.125, 1]], dtype=np.float32)
    told = [
        score_labels(targets, found, ["a", "b"], t).details["per_class"]
        for t in (None, tune_thresholds(targets, found))
    ]
    assert [[one[name]["threshold"] for name in "ab"] for one in told] == [[0.5, 0.5], [0.1875, 0.875]]
    assert told[1]["a"]["f1"] == told[1]["b"]["f1"] == 1 > told[0]["a"]["f1"]
