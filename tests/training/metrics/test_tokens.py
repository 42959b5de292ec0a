import json
import math

import numpy as np
import pytest

from sftdata.training.metrics import Scores, score_loss, score_tokens, token_scores


def test_loss_and_accuracy_are_per_trained_token():
    expected = {"loss": 2.0, "perplexity": pytest.approx(np.exp(2.0)), "token_accuracy": 0.4}
    assert token_scores(loss_sum=20.0, correct=4, tokens=10) == expected
    assert score_tokens(loss_sum=20.0, correct=4, tokens=10) == Scores(expected)


def test_a_perplexity_beyond_float64_is_the_greatest_that_is_told():
    assert score_tokens(1e6, 0, 1).values["perplexity"] == math.exp(700)
    assert math.isfinite(math.exp(700))


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_left_out(loss):
    result = score_tokens(loss, 3, 4)
    assert result.values == {"token_accuracy": 0.75}
    assert result.undefined == {"loss": f"it is {loss}", "perplexity": f"it is {loss}"}
    assert score_loss(loss, 4).undefined == {"loss": f"it is {loss}"}
    assert math.isnan(result.value("loss"))
    assert json.loads(json.dumps(result.to_json(), allow_nan=False))["undefined"] == result.undefined


def test_two_scores_join_into_one():
    joined = score_loss(6.0, 4) | Scores({"accuracy": 0.5}, {"per_class": {}}, {"roc_auc": "why"})
    assert joined == Scores({"loss": 1.5, "accuracy": 0.5}, {"per_class": {}}, {"roc_auc": "why"})
    assert joined.to_json() == {"loss": 1.5, "accuracy": 0.5, "per_class": {}, "undefined": {"roc_auc": "why"}}
    assert "undefined" not in score_loss(6.0, 4).to_json()
