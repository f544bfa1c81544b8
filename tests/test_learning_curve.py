"""Learning curves: what is trained on, what is fitted, what is said."""

import json

import numpy as np
import pandas as pd
import pytest
from test_classifier import make_texts

import bertsent
from bertsent import BertClassifier, LearningCurve
from bertsent.cli import main
from bertsent.curves import measure
from bertsent.curves.measure import _choose_sizes, nested_order
from bertsent.curves.power_law import EXPONENTS, PowerLaw, fit_power_law

TEXTS, LABELS = make_texts(100)
TEXTS = [f"{text} {number}" for number, text in enumerate(TEXTS)]

# --- the power law --------------------------------------------------------------------------


@pytest.mark.parametrize("law", [(0.1, 2.0, 0.5), (0.0, 0.6, 0.1), (0.2, 30.0, 1.0),
                                 (0.05, 0.8, 0.35)])
def test_exact_values_give_their_law(law):
    sizes = 100 * 2 ** np.arange(6)
    found = fit_power_law(sizes, PowerLaw(*law).error(sizes))
    np.testing.assert_allclose(found, law, rtol=0.03, atol=2e-3)
    np.testing.assert_allclose(found.error(sizes), PowerLaw(*law).error(sizes), atol=1e-5)


def test_it_stays_within_its_bounds():
    sizes = [100, 200, 400, 800]
    for errors in ([0.1, 0.2, 0.3, 0.4], [0.3] * 4, [0.4, 0.1, 0.05, 0.01], [0.0] * 4):
        a, b, c = fit_power_law(sizes, errors)
        assert a >= 0 and b >= 0 and EXPONENTS[0] <= c <= EXPONENTS[1]
        law = PowerLaw(a, b, c)
        assert (np.diff(law.error(sizes)) <= 0).all()
    assert fit_power_law(sizes, [0.1, 0.2, 0.3, 0.4]).error(1000) == pytest.approx(0.25)


def test_exact_sizes_weigh_more():
    sizes, errors = [100, 200, 400, 800, 1600], np.array([0.35, 0.25, 0.2, 0.17, 0.15])
    rough = errors + [0.1, 0, 0, 0, 0]
    plain, weighted = (
        fit_power_law(sizes, rough, deviations) for deviations in (None, [1.0, *[0.01] * 4])
    )
    late = np.array(sizes[1:])
    assert np.abs(weighted.error(late) - errors[1:]).max() < 0.01
    assert np.abs(plain.error(late) - errors[1:]).max() > 0.012


# --- a curve of given scores ----------------------------------------------------------------


def curve_of(law=(0.1, 1.0, 0.5), sizes=(100, 200, 400, 800), seeds=3, noise=0.2, **changes):
    """A curve whose scores follow a law, with noise of `noise` / sqrt(n)."""
    rng = np.random.default_rng(changes.pop("draw", 0))
    rows = [
        (size, seed, 1 - PowerLaw(*law).error(size) + noise * rng.normal() / np.sqrt(size), 1.0)
        for seed in range(seeds) for size in sizes
    ]
    runs = pd.DataFrame(rows, columns=["train_size", "seed", "score", "seconds"])
    runs["score"] = runs["score"].clip(0, 1).astype(float)
    scores = runs["score"].to_numpy()
    common = rng.normal(0, 0.01, (60, 1))
    given = {"scoring": "accuracy", "n_test": 1000, "frozen": False, "train_size": max(sizes)}
    return LearningCurve(runs, resampled=scores + common, **given | changes)


def test_intervals_contain_what_they_should():
    law = PowerLaw(0.1, 1.0, 0.5)
    inside, widths = [], []
    for draw in range(8):
        curve = curve_of(law, seeds=3, draw=draw, noise=0.2)
        found = curve.predict([1600, 6400])
        inside += [
            row.low - 1e-9 <= 1 - law.error(row.train_size) <= row.high + 1e-9
            for row in found.itertuples()
        ]
        widths.append((found["high"] - found["low"]).tolist())
        expected, low, high = curve.gain(800)
        assert low <= high and low >= 0 and expected >= 0
    assert np.mean(inside) >= 0.8
    near, far = np.mean(widths, axis=0)
    assert 0 < near < far < 0.3


def test_one_seed_and_few_sizes_are_said():
    single = curve_of(seeds=1)
    assert "one seed, the spread over seeds is a guess" in str(single)
    assert single.predict(1600)["low"].item() < single.predict(1600)["high"].item()
    few = curve_of(sizes=(100, 200))
    assert few.law is None and few.laws == [] and "no extrapolation" in str(few)
    for call in (lambda: few.predict([100]), lambda: few.gain(5)):
        with pytest.raises(ValueError, match="2 sizes were measured; a curve needs at least 3"):
            call()
    assert few.to_dict()["law"] is None
    assert "no time to train on all 3,200 texts" in str(curve_of(train_size=3200))
    with pytest.raises(ValueError, match="sizes: expected numbers"):
        single.predict([0])


@pytest.mark.parametrize("frozen", [True, False])
def test_the_report_fits_80_columns(frozen):
    curve = curve_of(sizes=(100, 200, 400, 12800, 1000000), scoring="macro_f1", frozen=frozen)
    text = str(curve)
    assert max(map(len, text.splitlines())) <= 80
    assert text.startswith("macro f1 of ")
    assert ("Fine-tuning gives other values" in text) == frozen
    assert "With 1,000,000 more labels, expect" in text and "Fitted: error = " in text
    html = curve._repr_html_()
    assert html.count("<table") == 2 and "1,000,000" in html
    json.dumps(curve.to_dict())
    row = curve.to_dict()["expected"][1]
    assert row["train_size"] == 2000000 and row["gain_low"] <= row["gain"] + 1e-9


def test_plot():
    pytest.importorskip("matplotlib").use("Agg")
    import matplotlib.pyplot as plt

    axes = curve_of().plot()
    x, y = axes.lines[0].get_data()
    assert len(x) == 12 and y.max() > 80 and axes.get_xscale() == "log"
    assert "fitted" in [text.get_text() for text in axes.get_legend().get_texts()]
    assert curve_of(sizes=(100, 200)).plot(axes) is axes
    plt.close("all")


# --- which texts are trained on -------------------------------------------------------------


def test_beginnings_are_stratified_and_have_all_classes():
    classes = np.repeat([0, 1, 2], [600, 90, 10])
    order = nested_order(classes, 0)
    assert sorted(order) == list(range(700))
    assert set(classes[order[:3]]) == {0, 1, 2}
    for n in (35, 70, 140, 350):
        counts = np.bincount(classes[order[:n]], minlength=3)
        assert np.abs(counts - n * np.array([600, 90, 10]) / 700).max() <= 2
    assert order.tolist() != nested_order(classes, 1).tolist()


@pytest.mark.parametrize(("n", "classes", "sizes"), [
    (1372, 2, [100, 200, 400, 800, 1372]), (400, 2, [100, 200, 400]),
    (1000, 2, [100, 200, 400, 1000]), (5000, 400, [400, 800, 1600, 3200, 5000]),
    (80, 2, [10, 17, 28, 48, 80]), (3, 3, [3]), (20000, 2, [
        100, 200, 400, 800, 1600, 3200, 6400, 12800, 20000]),
])
def test_sizes_by_default(n, classes, sizes):
    assert _choose_sizes(None, np.arange(n) % classes) == sizes


@pytest.mark.parametrize(("given", "message"), [
    ([101], "101 is more than the 100 texts that are not held out"),
    ([1], "1 texts are too few for 2 classes"),
    ([1.5], "expected whole numbers of texts or fractions up to 1, got 1.5"),
    ([0], "expected numbers above 0, got 0"), ([True], "got True"), (["x"], "got 'x'"),
    ([], "expected at least one"), ([float("nan")], "above 0, got nan"),
])
def test_sizes_that_are_refused(given, message):
    with pytest.raises(ValueError, match=f"train_sizes: .*{message}"):
        _choose_sizes(given, np.arange(100) % 2)


def test_sizes_as_numbers_and_fractions():
    assert _choose_sizes([1.0, 50, 0.1, 10], np.arange(100) % 2) == [10, 50, 100]


# --- measuring ------------------------------------------------------------------------------


@pytest.mark.parametrize("frozen", [False, True])
def test_each_run_is_a_training(make, frozen, monkeypatch):
    trained = []
    plain = BertClassifier.fit

    def fit(self, X, y, **more):
        trained.append((len(X), self.random_state, sorted(X)))
        return plain(self, X, y, **more)

    monkeypatch.setattr(BertClassifier, "fit", fit)
    estimator = make(checkpoint_dir="nowhere", log_file="nowhere/log", random_state=7)
    how = {"train_sizes": [10, 20, 80], "n_seeds": 2, "frozen": frozen, "verbose": 0}
    curve = bertsent.learning_curve(estimator, TEXTS, LABELS, **how)
    assert curve.runs[["train_size", "seed"]].to_numpy().tolist() == [
        [size, seed] for seed in (0, 1) for size in (10, 20, 80)
    ]
    assert curve.n_test == 20 and curve.train_size == 80 and curve.frozen == frozen
    assert curve.runs["score"].between(0, 1).all() and curve.law is not None
    assert curve.resampled.shape[1] == 6
    np.testing.assert_allclose(curve.resampled.mean(axis=0), curve.runs["score"], atol=0.05)
    assert estimator.random_state == 7 and estimator.checkpoint_dir == "nowhere"
    if frozen:
        assert not trained
    else:
        assert [run[:2] for run in trained] == list(
            map(tuple, curve.runs[["train_size", "seed"]].to_numpy())
        )
        assert set(trained[0][2]) < set(trained[1][2]) < set(trained[2][2])
        assert trained[2][2] == trained[5][2] and trained[0][2] != trained[3][2]
    again = bertsent.learning_curve(estimator, TEXTS, LABELS, **how)
    assert again.runs["score"].tolist() == curve.runs["score"].tolist()


def test_fine_tuning_learns_more_from_more(make, capsys):
    curve = bertsent.learning_curve(
        make(epochs=15), TEXTS, np.where(LABELS == "positive", 7, 3), train_sizes=[4, 80],
        n_seeds=1, scoring="macro_f1", test_size=0.2,
    )
    few, many = curve.runs["score"]
    assert many > few and many > 0.9
    assert "80 texts, seed 0: macro f1 " in capsys.readouterr().err


@pytest.mark.parametrize("options", [
    [{"decision_threshold": 0.0}, {"decision_threshold": 1.0}],
    [{"cost_matrix": [[0, 0], [1, 0]]}, {"cost_matrix": [[0, 1], [0, 0]]}],
])
def test_thresholds_and_costs_decide_what_is_counted(make, options):
    # A quarter of the labels are the second class, which is predicted for all texts or for none.
    y = np.where(np.arange(100) % 4 == 0, "b", "a")
    scores = [
        bertsent.learning_curve(
            make(**each), TEXTS, y, train_sizes=[10], n_seeds=1, verbose=0
        ).runs["score"].item()
        for each in options
    ]
    assert scores == [0.25, 0.75]


def test_class_weights_are_named_by_labels(make):
    bertsent.learning_curve(
        make(class_weight={"positive": 2.0}), TEXTS, LABELS, train_sizes=[10], n_seeds=1, verbose=0
    )


ORDER = ["bad", "dull", "fine", "good"]
LEVELS = np.array(ORDER)[np.random.default_rng(2).permutation(np.arange(100) % 4)]
ORDERED = {
    "strings": (LEVELS, [*ORDER, "superb"]),  # no text is superb
    "categories": (pd.Series(pd.Categorical(LEVELS, ORDER, ordered=True)), None),
    "numbers": (np.searchsorted(ORDER, LEVELS) - 1.0, None),
    "numbers in reverse": (np.searchsorted(ORDER, LEVELS) * 2, [6, 4, 2, 0]),
    "truth values": (LEVELS > "dull", ["True", "False"]),
}


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("kind", ORDERED)
def test_ordered_classes_are_scored_by_their_medians(make, kind, frozen):
    y, order = ORDERED[kind]
    texts = [f"{level} {number}" for number, level in enumerate(LEVELS)]
    found = {
        scoring: bertsent.learning_curve(
            make(ordinal=True, class_order=order, epochs=8, learning_rate=3e-3), texts, y,
            train_sizes=[80], n_seeds=1, scoring=scoring, frozen=frozen, verbose=0,
        ).runs["score"].item()
        for scoring in ("accuracy", "quadratic_kappa")
    }
    assert found["quadratic_kappa"] > 0.6
    assert found["accuracy"] > 0.4


def test_a_class_of_the_order_with_one_text_is_named(make):
    y = ["bad", "good"] * 49 + ["bad", "superb"]
    with pytest.raises(ValueError, match="class 'superb' has 1 text"):
        bertsent.learning_curve(
            make(ordinal=True, class_order=["bad", "?", "good", "superb"]), TEXTS, y, verbose=0
        )


def test_what_does_not_fit_into_the_time_is_left_out(make, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(measure.time, "monotonic", lambda: now[0])

    def fine_tuned(estimator, data):
        def train(rows, seed):
            now[0] += len(rows)  # a second for each text
            return np.zeros(len(data.test_texts), int)

        return train

    monkeypatch.setattr(measure, "_fine_tuned", fine_tuned)

    def sizes(budget):
        now[0] = 0.0
        curve = bertsent.learning_curve(
            make(), TEXTS, LABELS, train_sizes=[10, 20, 40, 80], n_seeds=2, time_budget=budget,
            verbose=0,
        )
        return curve.runs[["seed", "train_size"]].to_numpy().tolist()

    assert sizes(1) == [[0, 10]]
    assert sizes(75) == [[0, 10], [0, 20], [0, 40]]
    assert sizes(105) == [[0, 10], [0, 20], [0, 40], [1, 10], [1, 20]]
    assert len(sizes("1h")) == 8


@pytest.mark.parametrize(("changes", "error", "message"), [
    ({"estimator": "minilm"}, TypeError, "estimator is of type str, but a BertClassifier"),
    ({"n_seeds": 0}, ValueError, "n_seeds=0: expected a whole number of at least 1"),
    ({"random_state": None}, ValueError, "random_state=None: expected a whole number"),
    ({"test_size": 1.0}, ValueError, "test_size=1.0: expected a number between 0 and 1"),
    ({"scoring": "f1"}, ValueError, "scoring='f1': expected 'accuracy' or 'macro_f1' or 'quad"),
    ({"scoring": "quadratic_kappa"}, ValueError,
     "compares the ranks of ordered classes, but ordinal=False; use ordinal=True"),
    ({"time_budget": "soon"}, ValueError, "soon"),
    ({"y": ["a"] * 100}, ValueError, "class"),
    ({"y": ["a"] * 99 + ["b"]}, ValueError, "class 'b' has 1 text; a learning curve needs"),
    ({"X": [*TEXTS[:4], np.nan, *TEXTS[5:]]}, TypeError, r"X\[4\] is NaN"),
    ({"y": [["a"], ["a", "b"]] * 50}, ValueError, "one label for each text"),
    ({"y": LABELS[:9]}, ValueError, "9"),
    ({"train_sizes": [81]}, ValueError, "81 is more than the 80 texts"),
    ({"X": [], "y": []}, ValueError, "y contains no class"),
], ids=lambda value: "-".join(value) if isinstance(value, dict) else "")
def test_bad_input(make, changes, error, message):
    given = {"estimator": make(), "X": TEXTS, "y": LABELS, "verbose": 0} | changes
    with pytest.raises(error, match=message):
        bertsent.learning_curve(**given)


# --- the command ----------------------------------------------------------------------------


def run(workshop, *flags):
    return main([
        "learning-curve", str(workshop / "train.csv"), "--model", str(workshop / "tiny"),
        "--max-length", "16", "--train-sizes", "12,24,1.0", *flags,
    ])


def test_the_command_prints_the_report_and_writes_files(workshop, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    table, picture = tmp_path / "curve.csv", tmp_path / "curve.png"
    files = ["--output", str(table), "--plot", str(picture)]
    assert run(workshop, "--frozen", "--seeds", "2", *files) == 0
    out = capsys.readouterr().out
    assert "120 texts" in out and "accuracy of a linear classifier of frozen vectors on 24" in out
    assert max(map(len, out.partition("\n\n")[2].splitlines())) <= 80
    assert pd.read_csv(table)["train_size"].tolist() == [12, 24, 96] * 2
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert run(workshop, "--frozen", *files) == 1
    assert "already exists" in capsys.readouterr().err


def test_the_command_prints_json(workshop, capsys):
    assert run(workshop, "--epochs", "1", "--seeds", "1", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [run["train_size"] for run in found["runs"]] == [12, 24, 96]
    assert not found["frozen"] and len(found["expected"]) == 4


@pytest.mark.parametrize(("flags", "code", "message"), [
    (["--train-sizes", "1,x"], 2, "expected numbers with commas between them, got '1,x'"),
    (["--train-sizes", "500"], 1, "--train-sizes: 500 is more than the 96 texts"),
    (["--scoring", "f1"], 2, 'expected "accuracy", "macro_f1" or "quadratic_kappa"'),
    (["--scoring", "quadratic_kappa"], 1, "but no --ordinal; use --ordinal, or another"),
    (["--plot", "curve.txt"], 1, "expected a name that ends with .png"),
    (["--plot", "no/curve.png"], 1, "no such folder"),
    (["--sample"], 2, "pass either DATA or --sample"),
    (["--label-column", "stars"], 1, "no column 'stars'"),
])
def test_errors_of_the_command(workshop, capsys, flags, code, message):
    assert run(workshop, *flags) == code
    assert message in capsys.readouterr().err
