"""From 4 to 200 classes: they are learned, split, and reported by top-k accuracy."""

import numpy as np
import pytest
from conftest import maker
from sklearn.metrics import top_k_accuracy_score

from bertsent.objectives import SingleLabelClassification
from bertsent.texts import hold_out


def topics(n_classes, each):
    """Texts whose words tell the class, in the words of the tiny vocabulary."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    names = [f"{letters[k % 26]} {letters[k // 26]}" for k in range(n_classes)]
    texts = [f"{names[k]} {number}" for k in range(n_classes) for number in range(each)]
    return texts, np.array([f"topic {k:03d}" for k in range(n_classes) for _ in range(each)])


@pytest.mark.parametrize("n_classes", [4, 6, 25, 200])
def test_classes_are_learned_and_reported(base, n_classes, tmp_path):
    texts, labels = topics(n_classes, 4)
    clf = maker(base, epochs=3, learning_rate=5e-3)().fit(texts, labels)
    result = clf.evaluate(texts, labels, report=tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size > 10_000
    found = result.get("top_k_accuracy")
    if n_classes < 6:
        assert found is None and "among the likeliest" not in str(result)
        return
    probabilities = clf.predict_proba(texts)
    assert found == {
        str(k): pytest.approx(top_k_accuracy_score(labels, probabilities, k=k)) for k in (2, 3, 5)
    }
    assert result.accuracy <= found["2"] <= found["3"] <= found["5"] <= 1.0
    assert "true class among the likeliest" in str(result)
    assert ("most frequent confusions" in str(result)) == (n_classes > 20)
    if n_classes <= 25:  # 200 classes take more than three epochs of a tiny model
        assert found["5"] > 5 / n_classes


def test_a_class_of_two_texts_survives_splits_and_is_named(base):
    texts, labels = topics(5, 20)
    labels = np.append(labels, ["rare", "rare", "<once>"])
    texts += ["z z 1", "z z 2", "y z 1"]
    for seed in range(5):
        held_out, kept = hold_out(texts, labels, 0.2, seed)
        assert "rare" in labels[held_out] and "rare" in labels[kept]
        assert "<once>" in labels[kept]
    make = maker(base, validation_fraction=0.2)
    with pytest.warns(UserWarning, match=r"fewer than 3 texts of '<once>' \(1\), 'rare' \(2\):"):
        clf = make().fit(texts, labels)
    assert "rare" in clf.classes_ and clf.evaluate(texts, labels).classes["rare"]["rows"] == 2


def test_few_texts_and_rare_classes_alone_are_no_news():
    objective, targets = SingleLabelClassification.learn(["a", "a", "a", "b"], 4)
    assert objective.describe_doubts(targets) == []
    many = [str(number) for number in range(20)] + ["x"] * 30
    objective, targets = SingleLabelClassification.learn(many, 50)
    assert not any("fewer than" in line for line in objective.describe_doubts(targets))
    some = [f"rare {number}" for number in range(7)] + [f"c{n}" for n in range(8) for _ in range(5)]
    objective, targets = SingleLabelClassification.learn(some, len(some))
    assert "'rare 4' (1) and 2 more" in objective.describe_doubts(targets)[0]
