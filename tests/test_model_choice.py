"""model="auto" with a time budget: which of the installed models is trained."""

import json
import math
from pathlib import Path

import pytest
from conftest import write_tiny_model
from test_budget import clock  # noqa: F401
from test_classifier import flat, make_texts

import bertsent
from bertsent.classifier import candidates, estimate, fitting, plan, survey
from bertsent.classifier.candidates import CURVES, Curve
from bertsent.classifier.teacher import Lesson
from bertsent.cli import main
from bertsent.errors import CheckpointError, ModelNotFoundError
from bertsent.hub import packaged
from bertsent.model.speed import Rates
from bertsent.objectives import SingleLabelClassification

TEXTS, LABELS = make_texts(60)
TEXTS = [f"{text} {i}" for i, text in enumerate(TEXTS)]
# A token takes a millisecond in training with the small model.
ROWS = [
    {"length": 40.0, "freeze": 0, "gradients": 1000.0, "scoring": 4000.0, "update": 0.0},
    {"length": 40.0, "freeze": 1, "gradients": 2000.0, "scoring": 4000.0, "update": 0.0},
]
# The large model is better from 500 tokens.
CROSSING = {"minilm": Curve(0.3, 0.0, 1.0), "mpnet": Curve(0.1, 0.0001, 1.0)}
WIDTHS = {"minilm": 16, "mpnet": 32}


@pytest.fixture(scope="module")
def directories(tmp_path_factory):
    """The two models: the large one has a hidden size of 32."""
    root = tmp_path_factory.mktemp("models")
    return {
        name: write_tiny_model(root / name, hidden_size=width)
        for name, width in WIDTHS.items()
    }


@pytest.fixture
def installed(monkeypatch, directories):
    """Install both models; the large one takes four times as long, and a clock stands still."""

    def install(*names):
        for name in CURVES:
            monkeypatch.setitem(packaged.NAMED, name, packaged.NAMED[name]._replace(
                find=lambda name=name: directories[name] if name in names else None,
                hub_id=f"bertsent/no-such-{name}",
            ))

    def measure(model, jobs, **options):
        slower = 4 if model._engine["hidden_size"] == WIDTHS["mpnet"] else 1
        return Rates([
            row | {key: row[key] / slower for key in ("gradients", "scoring")} for row in ROWS
        ])

    monkeypatch.setattr(survey, "measure_rates", measure)
    monkeypatch.setattr(plan, "LENGTHS", (30, 10))
    monkeypatch.setattr(candidates, "CURVES", CROSSING)
    install(*CURVES)
    return install


@pytest.fixture
def make(installed, clock):  # noqa: F811
    def factory(**options):
        settings = {
            "model": "auto", "time_budget": 60.0, "batch_size": 5, "learning_rate": 2e-3,
            "random_state": 0, "verbose": 0, "n_threads": 1, "precision": "float32",
        }
        return bertsent.BertClassifier(**(settings | options))

    return factory


def interrupt(clf, step):
    def stop(event):
        if event["event"] == "step" and event["step"] == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        clf.set_params(callbacks=stop).fit(TEXTS, LABELS)


def width(clf):
    return clf.model_._engine["hidden_size"]


@pytest.mark.parametrize(("seconds", "chosen"), [(60, "mpnet"), (1, "minilm")])
def test_the_model_with_the_lowest_expected_loss_is_trained(make, seconds, chosen):
    clf = make(time_budget=seconds).fit(TEXTS, LABELS)
    assert clf.plan_["model"] == chosen
    assert width(clf) == WIDTHS[chosen]
    assert clf.model == "auto"


def test_the_chosen_model_is_trained_as_if_it_were_named(make, directories):
    clf = make().fit(TEXTS, LABELS)
    named = make(model=directories["mpnet"]).fit(TEXTS, LABELS)
    assert "model" not in named.plan_
    assert clf.plan_ == named.plan_ | {"model": "mpnet"}
    assert (flat(clf) == flat(named)).all()


def test_the_plan_names_the_chosen_model(make, capsys):
    make(verbose=1).fit(TEXTS, LABELS)
    assert 'model="mpnet", epochs=' in capsys.readouterr().err.replace("'", '"')


def test_a_single_model_is_not_measured(make, installed, monkeypatch):
    installed("minilm")
    monkeypatch.setattr(candidates, "survey_plan", None)
    assert make().fit(TEXTS, LABELS).plan_["model"] == "minilm"


def test_only_the_default_model_may_be_downloaded(make, installed, monkeypatch, directories):
    import huggingface_hub

    asked = []

    def download(name, **options):
        asked.append(name)
        return directories["minilm"]

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    installed("minilm")
    make().fit(TEXTS, LABELS)
    assert asked == []
    installed()
    assert make().fit(TEXTS, LABELS).plan_["model"] == "minilm"
    assert set(asked) == {"bertsent/no-such-minilm"}


def test_a_model_in_the_cache_of_the_hub_is_at_hand(installed, monkeypatch, tmp_path):
    import huggingface_hub

    installed()
    cached = {("bertsent/no-such-mpnet", file) for file in ("config.json", "model.safetensors")}
    monkeypatch.setattr(
        huggingface_hub, "try_to_load_from_cache",
        lambda name, file: str(tmp_path / file) if (name, file) in cached else None,
    )
    assert candidates.find_candidates() == ["mpnet"]
    cached.discard(("bertsent/no-such-mpnet", "model.safetensors"))
    assert candidates.find_candidates() == ["minilm"]  # the default


def test_a_model_for_which_there_is_no_memory_is_not_chosen(make, monkeypatch):
    known = survey.limit_training

    def limit(model, *args, **options):
        if model._engine["hidden_size"] == WIDTHS["mpnet"]:
            raise ValueError("memory_limit is too small")
        return known(model, *args, **options)

    monkeypatch.setattr(survey, "limit_training", limit)
    assert make().fit(TEXTS, LABELS).plan_["model"] == "minilm"


def test_the_error_is_that_of_the_smaller_model_if_no_model_fits(make):
    with pytest.raises(ValueError, match=r"time_budget of 0.01 seconds is too short") as error:
        make(time_budget=0.01).fit(TEXTS, LABELS)
    with pytest.raises(ValueError) as alone:
        make(time_budget=0.01, model="minilm").fit(TEXTS, LABELS)
    assert str(error.value) == str(alone.value)


def test_held_out_texts_are_part_of_the_choice(make):
    clf = make(validation_fraction=0.2).fit(TEXTS, LABELS)
    assert clf.plan_["model"] == "mpnet" and clf.plan_["evaluations"]
    clf = make().fit(TEXTS, LABELS, X_val=TEXTS[:9], y_val=LABELS[:9])
    assert clf.plan_["model"] == "mpnet" and clf.plan_["evaluations"]


def test_a_resumed_run_keeps_its_model(make, tmp_path, monkeypatch):
    whole = make().fit(TEXTS, LABELS)
    options = {"checkpoint_dir": tmp_path, "checkpoint_every": 2}
    interrupt(make(**options), 5)
    monkeypatch.setattr(candidates, "choose_model", None)  # it is not chosen again
    monkeypatch.setattr("bertsent.classifier.fitting.choose_model", None)
    resumed = make(**options, resume=True).fit(TEXTS, LABELS)
    assert resumed.plan_["model"] == "mpnet"
    assert (flat(resumed) == flat(whole)).all()


def test_a_checkpoint_cannot_name_another_model():
    assert candidates.chosen_before({"time_plan": {"model": "mpnet"}}) == "mpnet"
    for plan_ in ({"model": "/etc"}, {"model": ["mpnet"]}, {}, None):
        assert candidates.chosen_before({"time_plan": plan_}) is None


def test_the_run_of_a_chosen_model_is_repeated(make, tmp_path):
    log = tmp_path / "run.jsonl"
    make(log_file=log, hash_every=1).fit(TEXTS, LABELS)
    assert bertsent.verify(log, TEXTS, LABELS, verbose=0)


def test_without_a_budget_it_is_the_largest_model(make, installed):
    clf = make(time_budget=None, epochs=1).fit(TEXTS, LABELS)
    assert clf.plan_ is None and width(clf) == WIDTHS["mpnet"]
    clf = make(time_budget=None).partial_fit(TEXTS, LABELS, classes=sorted(set(LABELS)))
    assert width(clf) == WIDTHS["mpnet"]
    installed("minilm")
    assert width(make(time_budget=None, epochs=1).fit(TEXTS, LABELS)) == WIDTHS["minilm"]


def test_a_fitted_classifier_needs_no_budget(make, tmp_path):
    clf = make().fit(TEXTS, LABELS).set_params(time_budget=None)
    expected = clf.predict_proba(TEXTS)
    clf.save_pretrained(tmp_path / "model")
    again = bertsent.BertClassifier.from_pretrained(tmp_path / "model")
    assert (again.predict_proba(TEXTS) == expected).all()


def test_learning_curve_of_a_chosen_model(make):
    texts, labels = make_texts(80)
    for frozen in (False, True):
        curve = bertsent.learning_curve(
            make(epochs=1), texts, labels, train_sizes=[10, 20], n_seeds=1, frozen=frozen,
            random_state=0, verbose=0,
        )
        assert curve.runs["train_size"].tolist() == [10, 20]


def test_a_setting_that_only_one_model_can_take(make, monkeypatch):
    known = candidates.make_options

    def options(parameters, config, *rest, **more):
        if config["hidden_size"] == WIDTHS["minilm"]:
            raise ValueError("freeze_layers=8 is more than the 6 layers of the model")
        return known(parameters, config, *rest, **more)

    monkeypatch.setattr(candidates, "make_options", options)
    assert make(time_budget=1).fit(TEXTS, LABELS).plan_["model"] == "mpnet"


def test_nothing_read_is_worth_nothing():
    assert CURVES["minilm"].loss(0.0) == math.inf
    for tokens in (1e4, 1e5, 1e6):  # with the same texts, the larger model is better
        assert CURVES["mpnet"].loss(tokens) < CURVES["minilm"].loss(tokens)


def test_no_model_is_called_auto():
    with pytest.raises(ModelNotFoundError, match="no model is called 'auto'"):
        bertsent.Tokenizer.from_pretrained("auto")


def test_a_directory_may_be_called_auto(directories, tmp_path, monkeypatch):
    directories["minilm"].rename(tmp_path / "auto")
    monkeypatch.chdir(tmp_path)
    try:
        assert bertsent.Tokenizer.from_pretrained("auto").vocab_size
    finally:
        (tmp_path / "auto").rename(directories["minilm"])


def test_curves_are_those_that_were_fitted():
    path = Path(__file__).parent.parent / "benchmarks" / "results" / "recipes_curve.json"
    fitted = json.loads(path.read_text())
    for name, curve in CURVES.items():
        found = fitted[name]["values"]
        for key, value in zip(("floor", "scale", "power"), curve, strict=True):
            assert math.isclose(value, found[key], abs_tol=0.006), (name, key)


def test_command_line(installed, clock, tmp_path, capsys):  # noqa: F811
    import pandas as pd

    path = tmp_path / "reviews.csv"
    pd.DataFrame({"review": TEXTS, "sentiment": LABELS}).to_csv(path, index=False)
    command = ["train", str(path), "--model", "auto", "--time-budget", "60", "--batch-size", "5",
               "--threads", "1", "--output", str(tmp_path / "out"), "--seed", "0"]
    assert main([*command, "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "plan for 1:00 min: --model mpnet, --epochs" in told
    assert main(command) == 0
    assert json.loads((tmp_path / "out" / "run.json").read_text())["plan"]["model"] == "mpnet"


def test_resuming_with_another_model_is_refused(make, tmp_path, directories):
    options = {"checkpoint_dir": tmp_path, "checkpoint_every": 2}
    interrupt(make(**options), 5)
    with pytest.raises(CheckpointError):
        make(**options, model=directories["minilm"], resume=True).fit(TEXTS, LABELS)


@pytest.mark.parametrize("what", ["teacher", "words"])
def test_time_before_training_counts_for_the_choice(make, clock, monkeypatch, directories, what):  # noqa: F811
    """A minute suffices for the large model, but not if most of it is for something else."""
    options = {"words": True}
    if what == "teacher":
        teacher = make(model=directories["minilm"], time_budget=None, epochs=1).fit(TEXTS, LABELS)
        options = {"teacher": teacher}
        monkeypatch.setattr(Lesson, "estimate", lambda *args: 57.0)
    learned = fitting._learn_words

    def learn_words(*args):
        clock.time += 57.0
        return learned(*args)

    monkeypatch.setattr(fitting, "_learn_words", learn_words)
    monkeypatch.setattr(estimate, "limited_seconds", lambda *args: 57.0)
    assert make().fit(TEXTS, LABELS).plan_["model"] == "mpnet"
    clf = make(**options)
    planned = estimate.estimate_fit(
        clf.get_params(deep=False), SingleLabelClassification, TEXTS, LABELS, TEXTS[:2], "out"
    )["plan"]
    assert clf.fit(TEXTS, LABELS).plan_["model"] == planned["model"] == "minilm"
    assert clf.plan_["used"] == planned["used"] == 57.0
    for name in ("epochs", "max_length", "freeze_layers", "texts"):
        assert clf.plan_[name] == planned[name]
