"""`BertRegressor`: one or several numbers for each text."""

import json
import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
import reference
from conftest import fails, whole_and_resumed
from scipy.stats import spearmanr
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.model_selection import GridSearchCV, cross_val_score

import bertsent
from bertsent import BertRegressor
from bertsent.classifier.parameters import DEFAULTS
from bertsent.cli import main
from bertsent.errors import CheckpointError, FreshWeightsWarning
from bertsent.files import Field
from bertsent.objectives import Regression
from bertsent.objectives.regression import rank_correlation

RNG = np.random.default_rng(0)
STARS = RNG.integers(1, 6, 60).astype(float) * 20 + 1900
WORDS = ["worst", "bad", "slow", "good", "best"]
TEXTS = [f"{WORDS[int(star - 1920) // 20]} scene {n}" for n, star in enumerate(STARS)]
LENGTHS = np.array([float(len(text)) for text in TEXTS])
BOTH = np.column_stack([STARS, LENGTHS])


@pytest.fixture
def make(base):
    def factory(**options):
        chosen = {
            "model": base, "max_length": 16, "epochs": 1, "batch_size": 8, "learning_rate": 2e-3,
            "random_state": 0, "verbose": 0, "n_threads": 1,
        }
        return BertRegressor(**(chosen | options))

    return factory


@pytest.fixture(scope="module")
def trained(base):
    """A regressor that has learned the words; tests must not change it."""
    reg = BertRegressor(
        base, max_length=16, epochs=25, batch_size=8, learning_rate=3e-3, random_state=0, verbose=0,
        n_threads=1, precision="float32", inference_precision="float32",
    )
    return reg.fit(TEXTS[:48], STARS[:48], X_val=TEXTS[48:], y_val=STARS[48:])


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    directory = tmp_path_factory.mktemp("saved") / "model"
    trained.save_pretrained(directory)
    return directory


# --- y ------------------------------------------------------------------------------------

FORMS = {
    "list": STARS.tolist(),
    "whole numbers": STARS.astype(int),
    "series": pd.Series(STARS, index=range(7, 67)),
    "column vector": STARS[:, None],
    "strings": [str(star) for star in STARS],
    "frame of one column": pd.DataFrame({"stars": STARS}),
    "array": BOTH,
    "nested": BOTH.tolist(),
    "frame": pd.DataFrame(BOTH, columns=["stars", "length"]),
    "polars": pl.DataFrame({"stars": STARS, "length": LENGTHS}),
}


@pytest.mark.parametrize("form", FORMS)
def test_predictions_have_the_form_of_y(form):
    objective, targets = Regression.learn(FORMS[form], 60)
    assert targets.dtype == np.float32 and len(targets) == 60
    np.testing.assert_allclose(targets.mean(axis=0), 0.0, atol=1e-6)
    np.testing.assert_allclose(targets.std(axis=0), 1.0, atol=1e-6)
    np.testing.assert_array_equal(objective.encode(FORMS[form], 60, "y"), targets)
    predicted = objective.predict(targets)
    if form in ("frame", "polars"):
        assert list(predicted.columns) == ["stars", "length"]
        np.testing.assert_allclose(predicted, BOTH, rtol=1e-6)
    else:
        wanted = BOTH if form in ("array", "nested") else STARS
        assert predicted.dtype == np.float64 and predicted.shape == wanted.shape
        np.testing.assert_allclose(predicted, wanted, rtol=1e-6)


BAD = {
    "NaN": ([1.0, np.nan, 2.0], r"y\[1\] is NaN; drop the rows"),
    "None": ([1.0, None, None], r"y\[1\] is None \(2 of 3 are missing\)"),
    "infinite": ([1.0, 2.0, np.inf], r"y\[2\] is inf, but numbers must be finite"),
    "series": (pd.Series([1.0, -np.inf, 2.0], index=[5, 6, 7]), r"y.iloc\[1\] \(index 6\) is -inf"),
    "a word": ([1.0, 2.0, "good"], r"y\[2\] is 'good' of type str, but a number is expected; Bert"),
    "complex": ([1j, 2, 3], r"y\[0\] is 1j of type complex"),
    "second column": (np.array([[1, 2], [1, np.nan], [2, 2]]), r"y\[1\] is NaN"),
    "column of a frame": (pd.DataFrame({"a": [1, 2, 3], "b": [1, 2, np.inf]}),
                          r"y\['b'\]\[2\] is inf"),
    "too large": ([1e308, -1e308, 1e308], "too large; divide them"),
    "too few": ([1.0, 2.0], "there are 3 texts and 2 values of y"),
    "rows of different lengths": ([[1, 2], [1], [2, 3]], "rows of different lengths"),
    "None for all": (None, "requires y to be passed, but the target y is None"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_number_is_named_with_its_row(kind, make):
    y, message = BAD[kind]
    with pytest.raises(ValueError, match=message):
        make().fit(["good one", "bad two", "slow three"], y)


def test_equal_numbers_are_told(make):
    with pytest.warns(UserWarning, match="all numbers are equal"):
        reg = make().fit(TEXTS, np.full(60, 7.0))
    assert np.abs(reg.predict(TEXTS) - 7.0).max() < 2.0


def test_numbers_of_further_texts():
    objective, targets = Regression.learn(FORMS["frame"], 60)
    swapped = objective.encode(FORMS["frame"][["length", "stars"]], 60, "y")
    np.testing.assert_array_equal(swapped, targets)
    np.testing.assert_array_equal(objective.encode(BOTH, 60, "y"), targets)
    with pytest.raises(ValueError, match="y has no column 'length'; the model predicts 'stars'"):
        objective.encode(pd.DataFrame({"stars": STARS, "other": LENGTHS}), 60, "y")
    with pytest.raises(ValueError, match="y has 1 numbers for each text, but the model predicts 2"):
        objective.encode(STARS, 60, "y")


# --- training -----------------------------------------------------------------------------


def test_it_learns_in_the_unit_of_y(trained):
    predicted = trained.predict(TEXTS)
    assert predicted.shape == (60,) and np.abs(predicted - STARS)[:48].mean() < 6.0
    assert trained.score(TEXTS, STARS) == pytest.approx(r2_score(STARS, predicted))
    weights = np.linspace(0, 1, 60)
    assert trained.score(TEXTS, STARS, weights) == pytest.approx(
        r2_score(STARS, predicted, sample_weight=weights))
    row = trained.history_[-1]
    assert list(row) == [
        "epoch", "loss", "mae", "tokens", "seconds", "validation_loss", "validation_mae",
        "validation_rmse", "validation_r2", "validation_spearman",
    ]
    truth, found = STARS[48:], predicted[48:]
    assert row["validation_mae"] == pytest.approx(mean_absolute_error(truth, found), 1e-4)
    assert row["validation_rmse"] == pytest.approx(root_mean_squared_error(truth, found), 1e-4)
    assert row["validation_r2"] == pytest.approx(r2_score(truth, found), 1e-4)
    assert row["validation_spearman"] == pytest.approx(spearmanr(truth, found)[0], 1e-6)
    standardised = (truth - found) / STARS[:48].std()
    assert row["validation_loss"] == pytest.approx((standardised**2).mean(), 1e-3)
    assert is_regressor(trained) and not is_classifier(trained)
    assert not hasattr(trained, "predict_proba") and not hasattr(trained, "classes_")


LOSSES = ["squared_error", "huber"]


@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_is_that_of_the_twin(make, loss):
    reg = make(loss=loss, track_examples=True, precision="float32").fit(TEXTS, STARS)
    assert reg.history_[0]["loss"] == pytest.approx(reg.example_history_["loss"].mean(), 1e-5)
    objective, targets = Regression.learn(STARS, 60)
    objective = objective.configure(DEFAULTS | {"loss": loss}, targets)
    logits = RNG.normal(0, 2, (60, 1)).astype(np.float32)
    twin = reference.LOSSES[objective.loss](logits, targets)[0]
    assert objective.pointwise_loss(logits, targets).mean() == pytest.approx(twin, 1e-5)


def test_the_losses_differ(make):
    found = [make(loss=loss).fit(TEXTS, STARS).predict(TEXTS) for loss in LOSSES]
    assert not np.array_equal(*found)


RUNS = {
    "plain": {},
    "windows": {"max_length": 5, "long_text": "windows", "stride": 1, "loss": "huber"},
    "frozen": {"freeze_layers": 1, "freeze_dropout": True, "frozen_cache": "float32"},
    "members": {"members": [{}, {"freeze_layers": 1}]},
    "early stopping": {"validation_fraction": 0.2, "early_stopping": "r2", "eval_every": 3},
}


@pytest.mark.parametrize("kind", RUNS)
def test_a_run_is_resumed_to_the_same_bits_on_two_threads(make, tmp_path, kind):
    whole, resumed = whole_and_resumed(make, TEXTS, BOTH, tmp_path / "run", **RUNS[kind])
    assert np.array_equal(whole.predict(TEXTS), resumed.predict(TEXTS))


def test_early_stopping_keeps_the_best_weights(make):
    reg = make(epochs=12, validation_fraction=0.2, early_stopping="spearman", patience=2)
    reg.fit(TEXTS, STARS)
    values = {row["step"]: row["validation_spearman"] for row in reg.evaluations_}
    assert values[reg.best_step_] == max(values.values())
    with pytest.raises(ValueError, match='use "loss", "mae", "rmse", "r2", "spearman" or'):
        make(early_stopping="accuracy", validation_fraction=0.2).fit(TEXTS, STARS)


def test_an_interrupted_model_predicts_in_the_unit_of_y(make):
    def stop(event):
        if event["event"] == "step" and event["step"] == 3:
            raise KeyboardInterrupt

    reg = make(callbacks=stop)
    with pytest.raises(KeyboardInterrupt):
        reg.fit(TEXTS, STARS)
    assert np.abs(reg.predict(TEXTS) - STARS.mean()).max() < 200


def test_a_run_is_verified(make, tmp_path):
    log = tmp_path / "log.jsonl"
    make(log_file=log, hash_every=3).fit(TEXTS, STARS)
    assert bertsent.verify(log, TEXTS, STARS, verbose=0)


def test_a_warm_start_continues(make):
    reg = make(epochs=20, learning_rate=3e-3, warm_start=True, precision="float32")
    before = reg.fit(TEXTS, STARS).score(TEXTS, STARS)
    reg.set_params(epochs=1, learning_rate=1e-9).fit(TEXTS, STARS / 10 - 100)
    # Another unit for the same model, whose output is the same.
    assert reg.score(TEXTS, STARS) == pytest.approx(before, abs=1e-3)
    with pytest.raises(ValueError, match="continues with the outputs"):
        reg.fit(TEXTS, BOTH)


def test_tools_of_scikit_learn(make):
    reg = make()
    assert clone(reg).get_params() == reg.get_params()
    for scoring in (None, "neg_mean_absolute_error"):
        assert np.isfinite(cross_val_score(reg, TEXTS, STARS, cv=2, scoring=scoring)).all()
    search = GridSearchCV(reg, {"loss": ["squared_error", "huber"]}, cv=2).fit(TEXTS, STARS)
    assert search.predict(TEXTS).shape == (60,)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"loss": "hinge"}, "loss='hinge'.*squared_error.*huber"),
     ({"early_stopping": True}, "needs held-out texts"), ({"epochs": 0}, "epochs=0")],
)
def test_invalid_parameters(make, options, message):
    with pytest.raises(ValueError, match=message):
        make(**options).fit(TEXTS, STARS)


def test_what_is_for_classes_is_no_parameter():
    names = BertRegressor._get_param_names()
    assert "loss" in names and not {"class_weight", "label_smoothing", "label_threshold"} & {*names}


# --- the report ---------------------------------------------------------------------------


def test_the_report(trained, make):
    result = trained.evaluate(TEXTS, STARS)
    predicted = trained.predict(TEXTS)
    assert result.mae == pytest.approx(mean_absolute_error(STARS, predicted), 1e-4)
    assert result.r2 == pytest.approx(r2_score(STARS, predicted), 1e-4)
    assert result.rows_seen_in_training == 48 and "mae_unseen" in result
    json.dumps(result)
    assert "RMSE" in str(result) and "rank correlation" in str(result)
    both = make().fit(TEXTS, FORMS["frame"]).evaluate(TEXTS, FORMS["frame"])
    assert set(both.outputs) == {"stars", "length"} and "stars" in str(both)


def test_rank_correlation_is_that_of_scipy():
    first, second = RNG.integers(0, 5, 30).astype(float), RNG.normal(size=30)
    assert rank_correlation(first, second) == pytest.approx(spearmanr(first, second)[0])
    assert rank_correlation(first, np.ones(30)) == 0.0


# --- saved models -------------------------------------------------------------------------


def test_it_is_saved_and_opened(trained, saved):
    config = json.loads((saved / "config.json").read_text())
    assert config["problem_type"] == "regression" and config["id2label"] == {"0": "LABEL_0"}
    again = BertRegressor.from_pretrained(saved)
    assert np.array_equal(again.predict(TEXTS), trained.predict(TEXTS))
    again.inference_precision = "int8"
    assert np.abs(again.predict(TEXTS) - trained.predict(TEXTS)).max() < 30
    with pytest.raises(CheckpointError, match="problem type 'regression', not 'single_label"):
        bertsent.BertClassifier.from_pretrained(saved)
    with pytest.raises(CheckpointError, match="problem_type 'regression' is not supported"):
        bertsent.BertForSequenceClassification.from_pretrained(saved)


@pytest.mark.parametrize("problem_type", ["regression", None])
def test_a_directory_of_another_program(trained, saved, tmp_path, problem_type):
    BertRegressor.from_pretrained(saved).save_pretrained(tmp_path / "foreign")
    for name in ("bertsent.json", "training_texts.npy"):
        (tmp_path / "foreign" / name).unlink()
    config = json.loads((tmp_path / "foreign" / "config.json").read_text())
    config["problem_type"] = problem_type
    (tmp_path / "foreign" / "config.json").write_text(json.dumps(config))
    foreign = BertRegressor.from_pretrained(tmp_path / "foreign")
    foreign.set_params(inference_precision="float32", inference_long_text="windows")
    np.testing.assert_allclose(foreign.predict(TEXTS), trained.predict(TEXTS), atol=1e-2)
    with pytest.raises(CheckpointError, match="regression' is not supp|BertRegressor opens"):
        bertsent.BertClassifier.from_pretrained(tmp_path / "foreign")


def test_a_saved_model_is_trained_further_or_for_classes(saved, make, trained):
    reg = make(model=saved, learning_rate=1e-9, precision="float32").fit(TEXTS, STARS)
    np.testing.assert_allclose(reg.predict(TEXTS), trained.predict(TEXTS), rtol=1e-2)
    with pytest.warns(FreshWeightsWarning, match="thrown away"):
        bertsent.BertClassifier(saved, max_length=16, epochs=1, verbose=1).fit(TEXTS, WORDS * 12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"scale": [0.0]}, "labels.scale"), ({"mean": []}, "labels.mean"), ({"count": 2}, "count"),
     ({"loss": "hinge"}, "labels.loss"), ({"names": ["a", "b"]}, "labels.names"),
     ({"form": "heap"}, "labels.form")],
)
def test_a_damaged_entry_is_refused(changes, message):
    objective, _ = Regression.learn(STARS, 60)
    with pytest.raises(CheckpointError, match=message):
        Regression.from_json(Field(objective.to_json() | changes, "bertsent.json", "labels"))


def test_it_agrees_with_transformers_both_ways(trained, saved, tmp_path):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(saved).eval()
    assert theirs.config.problem_type == "regression"
    tokenizer = transformers.AutoTokenizer.from_pretrained(saved)
    encoded = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        found = theirs(**encoded, labels=torch.tensor(STARS.astype(np.float32)))
    predicted = trained.predict(TEXTS)
    np.testing.assert_allclose(found.logits.numpy()[:, 0], predicted, rtol=1e-5)
    assert found.loss.item() == pytest.approx(((predicted - STARS) ** 2).mean(), rel=1e-3)
    theirs.save_pretrained(tmp_path / "theirs")
    tokenizer.save_pretrained(tmp_path / "theirs")
    back = BertRegressor.from_pretrained(tmp_path / "theirs")
    back.set_params(inference_precision="float32")
    np.testing.assert_allclose(back.predict(TEXTS), predicted, rtol=1e-5)


# --- files and the command line -------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "data.csv"
    table = pd.DataFrame({"text": TEXTS, "stars": STARS, "length": LENGTHS, "hole": STARS})
    table.loc[3, "hole"] = np.inf
    table.to_csv(path, index=False)
    return path


@pytest.fixture
def flags(base):
    return [
        "--task", "regression", "--model", str(base), "--max-length", "16", "--epochs", "2",
        "--batch-size", "8", "--text-column", "text", "--verbose", "0",
    ]


def test_files_and_batches_get_its_columns(trained, data, tmp_path, make):
    (batch,) = trained.predict_batches([pd.DataFrame({"text": TEXTS})], "text")
    assert np.array_equal(batch["prediction"], trained.predict(TEXTS))
    trained.predict_file(data, tmp_path / "out.csv", text_column="text", chunk_rows=17)
    written = pd.read_csv(tmp_path / "out.csv")
    np.testing.assert_allclose(written["prediction"], trained.predict(TEXTS), rtol=1e-6)
    several = make().fit(TEXTS, FORMS["frame"])
    assert list(next(several.predict_batches([TEXTS]))) == ["prediction_stars", "prediction_length"]


def test_the_command_line(data, flags, tmp_path, capsys):
    model = str(tmp_path / "model")
    main(["train", str(data), *flags, "--label-column", "stars", "--output", model,
          "--validation-fraction", "0.2", "--early-stopping", "r2", "--loss", "huber",
          "--log-file", str(tmp_path / "log"), "--hash-every", "3"])
    out = capsys.readouterr().out
    assert "1920 to 2000, mean" in out and "RMSE" in out and "--loss huber" in out
    history = pd.read_csv(tmp_path / "model" / "history.csv")
    assert {"mae", "validation_r2", "validation_spearman"} <= set(history.columns)
    main(["verify", str(tmp_path / "log")])
    assert "all bits agree" in capsys.readouterr().out
    main(["evaluate", model, str(data), "--text-column", "text", "--label-column", "stars",
          "--json"])
    found = json.loads(capsys.readouterr().out)
    reg = BertRegressor.from_pretrained(model)
    assert reg.loss == "huber" and found["r2"] == reg.evaluate(TEXTS, STARS).r2
    main(["predict", model, "--text", "good film"])
    assert 1800 < float(capsys.readouterr().out) < 2100
    main(["inspect", model])
    assert "regression" in capsys.readouterr().out


def test_several_columns_of_numbers(data, flags, tmp_path, capsys):
    model = str(tmp_path / "model")
    main(["train", str(data), *flags, "--label-columns", "stars,length", "--output", model])
    assert "length" in capsys.readouterr().out
    main(["predict", model, str(data), "--text-column", "text"])
    assert "prediction_stars,prediction_length" in capsys.readouterr().out


REFUSED = {
    "infinite": (["--label-column", "hole"], r"column 'hole', row 3 is inf, but numbers must be"),
    "a word": (["--label-column", "text", "--text-column", "hole"], "row 0 is .* a number is expe"),
    "weights": (["--label-column", "stars", "--class-weight", "balanced"], "class-weight"),
    "smoothing": (["--label-column", "stars", "--label-smoothing", "0.1"], "label-smoothing"),
    "separator": (["--label-column", "stars", "--label-separator", ";"], "label-separator"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_the_command_refuses(kind, data, flags, tmp_path, capsys):
    labels, message = REFUSED[kind]
    fails(["train", str(data), *flags, *labels, "--output", str(tmp_path / "m")])
    assert re.search(message, " ".join(capsys.readouterr().err.split()))
