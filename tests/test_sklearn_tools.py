"""The tools of scikit-learn with all tasks: workers, routing, searches."""

import os
import pickle
import re
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
from joblib import Parallel, delayed
from sklearn import config_context
from sklearn.base import clone, is_regressor
from sklearn.ensemble import StackingRegressor, VotingClassifier, VotingRegressor
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingRandomSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from test_classifier import make_texts

from bertsent import BertEncoder, BertRegressor
from bertsent.model.mapped import map_or_copy
from bertsent.system import resolve_n_threads

TEXTS, LABELS = make_texts(24)
NUMBERS = np.array([len(text) for text in TEXTS], dtype=float)
SETS = np.array([[number % 2, number % 3 == 0] for number in range(24)], dtype=int)


@pytest.fixture
def reg(base):
    return BertRegressor(
        base, max_length=16, epochs=1, batch_size=8, random_state=0, verbose=0, n_threads=1
    )


# --- regression and several labels in tools ------------------------------------------------


def test_a_regressor_in_pipelines_searches_and_ensembles(reg):
    assert is_regressor(reg)
    lower = FunctionTransformer(lambda X: [text.lower() for text in X])
    pipeline = make_pipeline(lower, reg)
    search = GridSearchCV(pipeline, {"bertregressor__loss": ["squared_error", "huber"]}, cv=2)
    assert np.isfinite(search.fit(TEXTS, NUMBERS).cv_results_["mean_test_score"]).all()
    scores = cross_val_score(reg, TEXTS, NUMBERS, cv=2, scoring="neg_mean_absolute_error")
    assert (scores < 0).all()
    vote = VotingRegressor([("a", reg), ("b", clone(reg).set_params(random_state=1))])
    apart = [clone(each).fit(TEXTS, NUMBERS).predict(TEXTS) for _, each in vote.estimators]
    np.testing.assert_allclose(
        vote.fit(TEXTS, NUMBERS).predict(TEXTS), np.mean(apart, axis=0), rtol=1e-9
    )
    column = np.array(TEXTS, dtype=object)[:, None]
    stack = StackingRegressor([("a", reg)], cv=2).fit(column, NUMBERS)
    assert stack.predict(column).shape == (24,)


def test_several_labels_in_searches(make):
    clf = make()
    assert cross_val_predict(clf, TEXTS, SETS, cv=2).shape == SETS.shape
    search = GridSearchCV(clf, {"epochs": [1, 2]}, cv=2, scoring="f1_macro").fit(TEXTS, SETS)
    assert search.predict(TEXTS).shape == SETS.shape


def test_a_halving_random_search(make):
    search = HalvingRandomSearchCV(
        make(), {"learning_rate": [1e-3, 2e-3, 3e-3, 4e-3]}, resource="epochs", max_resources=4,
        min_resources=1, factor=2, n_candidates=4, cv=2, random_state=0,
    ).fit(TEXTS, LABELS)
    assert search.n_iterations_ == 3 and search.best_estimator_.epochs == 4
    assert search.predict(TEXTS).shape == (24,)


def test_a_vote_in_worker_processes(make):
    one, two = make(), make(random_state=1)
    vote = VotingClassifier([("one", one), ("two", two)], voting="soft", n_jobs=2)
    apart = [clone(each).fit(TEXTS, LABELS).predict_proba(TEXTS) for each in (one, two)]
    np.testing.assert_allclose(
        vote.fit(TEXTS, LABELS).predict_proba(TEXTS), np.mean(apart, axis=0), rtol=1e-6
    )


# --- sample weights and routing ------------------------------------------------------------


def test_sample_weights_are_routed(make):
    weights = np.linspace(0.1, 2.0, 24)
    with config_context(enable_metadata_routing=True):
        clf = make().set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
        weighted = cross_validate(
            clf, TEXTS, LABELS, cv=2, params={"sample_weight": weights}, return_estimator=True,
            return_indices=True,
        )
        pipeline = make_pipeline(FunctionTransformer(), clf)
        pipeline.fit(TEXTS, LABELS, sample_weight=weights)
        plain = make().set_fit_request(sample_weight=False)
        pipeline_without = make_pipeline(FunctionTransformer(), plain).fit(TEXTS, LABELS)
    rows = weighted["indices"]["train"][0]
    expected = make().fit([TEXTS[row] for row in rows], LABELS[rows], weights[rows])
    found = weighted["estimator"][0].predict_proba(TEXTS)
    assert np.array_equal(found, expected.predict_proba(TEXTS))
    expected = make().fit(TEXTS, LABELS, weights).predict_proba(TEXTS)
    assert np.array_equal(pipeline.predict_proba(TEXTS), expected)
    assert not np.array_equal(pipeline_without.predict_proba(TEXTS), expected)


# --- callbacks of scikit-learn -------------------------------------------------------------


class Watch:
    """A callback of scikit-learn that records its calls."""

    max_propagation_depth = None

    def __init__(self, stop_after=None):
        self.told, self.stop_after = [], stop_after

    def setup(self, estimator, context):
        self.told.append(("setup", context.task_name))

    def teardown(self, estimator, context):
        self.told.append(("teardown", context.task_name))

    def on_fit_task_begin(self, estimator, context, *, X=None, metadata=None):
        self.told.append(("begin", context.task_name, context.task_id, context.max_subtasks))
        self.data, self.metadata = X, metadata

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.told.append(("end", context.task_name, context.task_id))
        self.fitted = fitted_estimator
        return context.task_name == "epoch" and context.task_id + 1 == self.stop_after


@pytest.fixture
def has_callbacks():
    pytest.importorskip("sklearn.callback", reason="scikit-learn has no callbacks before 1.9")


@pytest.mark.usefixtures("has_callbacks")
def test_callbacks_of_scikit_learn_see_each_epoch(make, reg):
    for estimator, y in ((make(epochs=2), LABELS), (reg.set_params(epochs=2), NUMBERS)):
        watch, weights = Watch(), np.ones(24)
        estimator.set_callbacks(watch).fit(TEXTS, y, sample_weight=weights)
        assert watch.told == [
            ("setup", "fit"), ("begin", "fit", 0, 2), ("begin", "epoch", 0, 0), ("end", "epoch", 0),
            ("begin", "epoch", 1, 0), ("end", "epoch", 1), ("end", "fit", 0), ("teardown", "fit"),
        ]
        assert watch.data is TEXTS and watch.metadata["sample_weight"] is weights
        assert np.array_equal(watch.fitted.predict(TEXTS), estimator.predict(TEXTS))
        alone = clone(estimator).set_callbacks().fit(TEXTS, y, sample_weight=weights)
        assert np.array_equal(alone.predict(TEXTS), estimator.predict(TEXTS))


@pytest.mark.usefixtures("has_callbacks")
def test_callbacks_of_scikit_learn_end_training_and_see_errors(make):
    watch = Watch(stop_after=1)
    clf = make(epochs=5).set_callbacks(watch).fit(TEXTS, LABELS)
    assert len(clf.history_) == 1 and watch.told[-1] == ("teardown", "fit")
    two = make(epochs=1, members=2).set_callbacks(watch := Watch()).fit(TEXTS, LABELS)
    assert ("begin", "fit", 0, 2) in watch.told and len(two.models_) == 2
    assert [told[2] for told in watch.told if told[:2] == ("end", "epoch")] == [0, 1]
    with pytest.raises(ValueError, match="learning_rate"):
        make(learning_rate=-1.0).set_callbacks(watch := Watch()).fit(TEXTS, LABELS)
    assert watch.told == []  # parameters are checked before
    watch.on_fit_task_end = lambda *_, **__: 1 / 0
    with pytest.raises(ZeroDivisionError):
        make().set_callbacks(watch).fit(TEXTS, LABELS)
    assert watch.told[-1] == ("teardown", "fit")


@pytest.mark.usefixtures("has_callbacks")
@pytest.mark.filterwarnings("error")
def test_callbacks_of_scikit_learn_reach_into_pipelines_and_searches(make, base):
    watch = Watch()
    pipeline = make_pipeline(BertEncoder(base, n_threads=1), LogisticRegression())
    pipeline.set_callbacks(watch).fit(TEXTS, LABELS)
    assert watch.told[-1] == ("teardown", "fit") and pipeline.predict(TEXTS).shape == (24,)
    search = GridSearchCV(make(), {"epochs": [1, 2]}, cv=2, refit=False)
    search.set_callbacks(watch := Watch()).fit(TEXTS, LABELS)
    epochs = [told for told in watch.told if told[:2] == ("end", "epoch")]
    assert len(epochs) == 2 * (1 + 2)


# --- workers -------------------------------------------------------------------------------


def count_threads(estimator, X, y):
    """A scorer that returns the threads of a worker, and its process."""
    return {"threads": resolve_n_threads(estimator.n_threads), "process": os.getpid()}


def test_workers_share_the_threads(make, monkeypatch):
    for name in ("BERTSENT_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    clf = make(n_threads=None)
    before = resolve_n_threads()
    found = cross_validate(clf, TEXTS, LABELS, cv=2, n_jobs=2, scoring=count_threads)
    assert os.getpid() not in found["test_process"]
    # joblib gives each worker its share, by OMP_NUM_THREADS.
    assert found["test_threads"].sum() <= max(2, before)
    assert resolve_n_threads() == before and "OMP_NUM_THREADS" not in os.environ
    # The pool of this process works as before.
    clf.fit(TEXTS, LABELS)
    alone = cross_val_score(make(), TEXTS, LABELS, cv=2)
    assert np.array_equal(cross_val_score(clf, TEXTS, LABELS, cv=2, n_jobs=2), alone)
    assert np.array_equal(clf.predict_proba(TEXTS), make().fit(TEXTS, LABELS).predict_proba(TEXTS))


def test_threads_of_joblib_give_the_same(make):
    alone = cross_val_score(make(), TEXTS, LABELS, cv=2)
    from joblib import parallel_config

    with parallel_config(backend="threading", n_jobs=2):
        assert np.array_equal(cross_val_score(make(), TEXTS, LABELS, cv=2), alone)


def test_workers_predict_from_mapped_weights(make):
    clf = make().fit(TEXTS, LABELS)
    expected = clf.predict_proba(TEXTS)
    # Arrays above 1 kB are memory-mapped, read-only.
    found = Parallel(n_jobs=2, max_nbytes=1000)(
        delayed(predict_and_train)(clf, TEXTS, LABELS) for _ in range(2)
    )
    for probabilities, trained in found:
        assert np.array_equal(probabilities, expected)
        assert not np.array_equal(trained, expected)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc/self/smaps")
def test_workers_share_the_pages_of_the_weights(make, base):
    clf, encoder = make().fit(TEXTS, LABELS), BertEncoder(base, n_threads=1).fit(TEXTS)
    for estimator, wanted in (
        (clf, clf.predict_proba(TEXTS)), (make_pipeline(encoder), encoder.transform(TEXTS)),
    ):
        tasks = Parallel(n_jobs=2, max_nbytes=1000)(
            delayed(predict_and_look)(estimator, TEXTS) for _ in range(4)
        )
        assert all(np.array_equal(found, wanted) for found, _, _ in tasks)
        # One file for all tasks, and no page of it is a copy of a worker.
        files, private = {file for _, file, _ in tasks}, {size for _, _, size in tasks}
        assert len(files) == 1 and "joblib" in files.pop() and private == {0}
    file, private = Parallel(n_jobs=2, max_nbytes=1000)([delayed(train_and_look)(clf)])[0]
    assert "joblib" in file and private >= clf.model_._flat.nbytes // 2


def predict_and_look(estimator, texts):
    if isinstance(estimator, Pipeline):
        return estimator.transform(texts), *memory_of(estimator[0].model_)
    return estimator.predict_proba(texts), *memory_of(estimator.model_)


def train_and_look(clf):
    clf.partial_fit(TEXTS, LABELS)
    return memory_of(clf.model_)


def memory_of(model):
    """Return the file in which the parameters are mapped, and the bytes of pages that it copied."""
    address, name = model._flat.ctypes.data, None
    for line in Path("/proc/self/smaps").read_text().splitlines():
        area = re.match(r"([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \S+ *(.*)", line)
        if area:
            name = area[3] if int(area[1], 16) <= address < int(area[2], 16) else None
        elif name and line.startswith("Anonymous:"):  # pages that are no longer those of the file
            return name, int(line.split()[1]) * 1024
    return None


def test_workers_get_the_weights_as_they_are_now(make):
    clf = make().fit(TEXTS, LABELS)
    with Parallel(n_jobs=2, max_nbytes=1000) as parallel:
        for change in (
            lambda: None, lambda: edit(clf.model_), lambda: clf.partial_fit(TEXTS, LABELS),
            lambda: edit(clf.model_),
        ):
            change()
            for found in parallel(delayed(clf.predict_proba)(TEXTS) for _ in range(2)):
                assert np.array_equal(found, clf.predict_proba(TEXTS))


def edit(model):
    with model.edit_parameters() as parameters:
        parameters["classifier.weight"][...] *= -2.0


def test_training_in_place_leaves_what_was_pickled_alone(make):
    clf = make().fit(TEXTS, LABELS)
    state = clf.model_.__getstate__()["parameters"]
    assert np.shares_memory(state, clf.model_._flat)
    assert clf.model_.__getstate__()["parameters"] is state
    kept, before = state.copy(), clf.predict_proba(TEXTS)
    clf.partial_fit(TEXTS, LABELS)
    assert np.array_equal(state, kept) and not np.array_equal(clf.predict_proba(TEXTS), before)
    assert not np.shares_memory(clf.model_.__getstate__()["parameters"], clf.model_._flat)


def test_buffers_of_a_pickle_are_read_only_and_stay_as_they_were(make):
    clf = make().fit(TEXTS, LABELS)
    expected, buffers = clf.predict_proba(TEXTS), []
    pickled = pickle.dumps(clf, protocol=5, buffer_callback=buffers.append)
    largest = max((buffer.raw() for buffer in buffers), key=len)
    weights = np.frombuffer(largest, np.float32)
    assert largest.readonly and np.shares_memory(weights, clf.model_._flat)
    edit(clf.model_)
    assert not np.array_equal(clf.predict_proba(TEXTS), expected)
    assert np.array_equal(pickle.loads(pickled, buffers=buffers).predict_proba(TEXTS), expected)


def test_mapped_pickles_are_never_written_to(make, tmp_path):
    clf = make().fit(TEXTS, LABELS)
    expected, path = clf.predict_proba(TEXTS), tmp_path / "clf.joblib"
    joblib.dump(clf, path)
    content = path.read_bytes()
    for mode in ("r", "c", "r+", None):
        opened = joblib.load(path, mmap_mode=mode)
        assert np.array_equal(opened.predict_proba(TEXTS), expected)
        copied = pickle.loads(pickle.dumps(opened))
        edit(opened.model_)
        changed = opened.predict_proba(TEXTS)
        assert not np.array_equal(changed, expected)
        assert np.array_equal(pickle.loads(pickle.dumps(opened)).predict_proba(TEXTS), changed)
        assert np.array_equal(copied.predict_proba(TEXTS), expected)
        assert path.read_bytes() == content


def test_opened_files_may_be_written_again(make, tmp_path):
    path = tmp_path / "clf.joblib"
    how = {"words": True, "track_examples": True}
    clf = make(**how).fit(TEXTS, LABELS)
    other = make(**how, epochs=2, learning_rate=1e-2).fit(TEXTS[::2], LABELS[::2])
    training = make().partial_fit(TEXTS, LABELS, classes=sorted(set(LABELS)))
    for estimator in (clf, training):
        joblib.dump(estimator, path)
        opened = joblib.load(path, mmap_mode="r")
        expected = estimator.predict_proba(TEXTS)
        assert not mapped_arrays(opened)
        joblib.dump(other, path)
        assert np.array_equal(opened.predict_proba(TEXTS), expected)
        opened.model_._core.touch()
        assert np.array_equal(opened.predict_proba(TEXTS), expected)
        joblib.dump(opened, path)
        joblib.dump(joblib.load(path, mmap_mode="r"), path)
        again = joblib.load(path, mmap_mode="r")
        assert np.array_equal(again.predict_proba(TEXTS), expected)
        assert np.array_equal(again.predict(TEXTS), estimator.predict(TEXTS))


def mapped_arrays(value):
    """Return the arrays of an object that are mapped from a file."""
    if isinstance(value, np.ndarray):
        return [value] if isinstance(value, np.memmap) or isinstance(value.base, np.memmap) else []
    inside = value.values() if isinstance(value, dict) else value if isinstance(
        value, list | tuple
    ) else getattr(value, "__dict__", {}).values()
    return [array for each in inside for array in mapped_arrays(each)]


def test_a_file_that_is_no_longer_the_same_is_not_mapped(tmp_path):
    values = np.arange(5000, dtype=np.float32)
    path = tmp_path / "joblib_memmapping_folder_1" / "values"
    path.parent.mkdir()
    for change in (path.unlink, lambda: replace(path, values[::-1]), lambda: replace(path, [1.0])):
        replace(path, values)
        mapped = np.memmap(path, np.float32, "r")
        assert not map_or_copy(mapped).base.obj.closed  # a mapping of its own
        change()
        found = map_or_copy(mapped)
        assert np.array_equal(found, values) and found.flags.writeable
        assert not hasattr(found.base, "obj")
    replace(tmp_path / "values", values)
    mine = np.memmap(tmp_path / "values", np.float32, "r")
    assert not hasattr(map_or_copy(mine).base, "obj")  # only joblib's own files stay as they are


def replace(path, values):
    """Write a new file in place of the one that may be mapped."""
    path.with_suffix(".new").write_bytes(np.asarray(values, np.float32).tobytes())
    path.with_suffix(".new").replace(path)


def predict_and_train(clf, texts, labels):
    before = clf.predict_proba(texts)
    return before, clf.partial_fit(texts, labels).predict_proba(texts)
