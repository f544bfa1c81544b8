"""The display in notebooks: with a front end of our own, and in a real kernel."""

import os
import queue
import re
import sys
import textwrap
import time

import numpy as np
import pandas as pd
import pytest
from conftest import maker
from test_classifier import make_texts
from test_evaluation import check
from test_interrupts import press
from test_progress import enter_shell
from test_runs import at_step

import bertsent
from bertsent.system import display_kind, make_progress, notebook, row_progress
from bertsent.system.live_curve import MOST_POINTS, LiveCurve
from bertsent.system.notebook import MOST_ROWS, RowOutput, Table

# --- what is shown ------------------------------------------------------------------------


@pytest.fixture
def shell(monkeypatch):
    monkeypatch.setattr(notebook, "UPDATE_EVERY", 0.0)
    return enter_shell(monkeypatch, "Shell", kernel=object())


@pytest.fixture
def make(base):
    return maker(base, epochs=2, verbose=1)


TEXTS, LABELS = make_texts(40)


def only(shell):
    (data,) = shell.display_pub.outputs.values()
    assert set(data) == {"text/html", "text/plain"}
    return data["text/html"], data["text/plain"]


def test_fit_has_one_output_that_is_updated_and_stays(make, shell, capsys):
    clf = make(validation_fraction=0.2).fit(TEXTS, LABELS)
    html, text = only(shell)
    assert len(shell.display_pub.calls) > 8
    cells = check(html).cells
    assert cells[:7] == ["epoch", "step", "loss", "accuracy", "validation loss",
                         "validation accuracy", "time"]
    for row in clf.history_:
        assert f"{row['loss']:.4f}" in cells and f"{row['validation_loss']:.4f}" in cells
        assert f"{row['validation_accuracy']:.3f}" in text
    assert "training in" in html and "gets a new classification layer" in html
    assert "8 steps in" in html and "tokens/s" in html and "left" not in html
    assert "height" not in html  # there is no bar any more
    assert capsys.readouterr() == ("", "")


def test_during_training_it_shows_how_far_it_is(make, shell):
    seen = []
    make(callbacks=lambda event: seen.append(shell.display_pub.calls[-1])).fit(TEXTS, LABELS)
    shown = [data["text/plain"] for data in seen if "step 7 of 10" in data["text/plain"]]
    assert shown and all("epoch 2 of 2, step 7 of 10" in text for text in shown)
    assert all(re.search(r"tokens/s, \S+ s left", text) for text in shown)
    html = next(data["text/html"] for data in seen if "step 7 of 10" in data["text/plain"])
    assert re.search(r"width: [67]\d\.\d%", html)
    check(html)


def test_it_has_no_colours_of_its_own_and_no_script(make, shell):
    make().fit(TEXTS, LABELS)
    for data in shell.display_pub.calls:
        assert not re.search(r"#[0-9a-f]{3}|rgb\(|hsl|<script|<style|\bwhite\b(?!-)|black",
                             data["text/html"])


def test_evaluations_within_an_epoch_are_rows(make, shell):
    clf = make(eval_every=2, validation_fraction=0.25).fit(TEXTS, LABELS)
    rows = only(shell)[1].splitlines()
    steps = [int(line.split()[1]) for line in rows if re.match(r"[12] +\d", line)]
    assert steps == [row["step"] for row in clf.evaluations_] == [2, 4, 6, 8]


def test_of_many_rows_the_last_ones_are_shown(make, shell):
    make(epochs=MOST_ROWS + 10).fit(TEXTS[:8], LABELS[:8])
    cells = check(only(shell)[0]).cells
    assert "…" in cells and str(MOST_ROWS + 10) in cells
    assert only(shell)[1].count("\n") < MOST_ROWS + 10


def test_members_are_shown_below_each_other(make, shell):
    make(members=2).fit(TEXTS, LABELS)
    html, text = only(shell)
    assert text.index("member 1 of 2") < text.index("member 2 of 2")
    assert html.count("<table") == 2 and text.count("10 steps in") == 2


def test_how_it_ended_is_said(make, shell):
    wrong = ["negative" if label == "positive" else "positive" for label in LABELS]
    make(early_stopping=True, patience=1, epochs=30).fit(TEXTS, LABELS, X_val=TEXTS, y_val=wrong)
    assert "stopped early: validation loss" in shell.display_pub.text
    clf = make(callbacks=fail)
    with pytest.raises(ZeroDivisionError):
        clf.fit(TEXTS, LABELS)
    assert "failed at epoch 1 of 2, step 3 of 10" in shell.display_pub.text


def fail(event):
    if event.get("step") == 3:
        raise ZeroDivisionError


def test_a_resumed_run_counts_its_own_steps(make, shell, tmp_path):
    given = {"checkpoint_dir": tmp_path / "run", "checkpoint_every": 3}
    with at_step(6, press), pytest.raises(KeyboardInterrupt):
        make(**given).fit(TEXTS, LABELS)
    make(**given, resume=True).fit(TEXTS, LABELS)
    assert "\n4 steps in" in shell.display_pub.text
    make(**given, resume=True).fit(TEXTS, LABELS)
    assert "all steps were done before" in shell.display_pub.text


def test_pretraining_is_shown_too(base, shell, tmp_path):
    bertsent.pretrain(TEXTS, tmp_path / "out", model=base, max_length=16, epochs=1)
    assert "masked language modelling on" in only(shell)[1] and "<table" in only(shell)[0]


def test_frozen_layers_and_evaluations_move_the_bar_and_the_line(shell):
    with make_progress(1) as table:
        assert isinstance(table, Table)
        table.start(2, 5, 100)
        table.prepared(0.25)
        assert "frozen layers 25%" in only(shell)[1] and "width: 25.0%" in only(shell)[0]
        table.step(0, 20, {"loss": 0.5, "accuracy": 0.5})
        table.evaluating(0.75)
        table.stopping()
        assert "evaluation 75%" in only(shell)[1] and "width: 10.0%" in only(shell)[0]
        assert "training stops after this evaluation" in only(shell)[1]
        table.end("interrupted")
    assert "interrupted at epoch 1 of 2, step 1 of 10" in only(shell)[1]
    assert "stops after" not in only(shell)[1]


def test_text_is_escaped(shell):
    make_progress(1).announce("<img src=x> is <b>new</b>")
    assert "&lt;img src=x&gt;" in only(shell)[0] and "<img src=x>" in only(shell)[1]


def test_a_curve_is_drawn_on_request_and_stays(make, shell, monkeypatch):
    make().fit(TEXTS, LABELS)
    assert "<svg" not in only(shell)[0]
    monkeypatch.setenv("BERTSENT_PROGRESS", "curve")
    shell.display_pub.outputs.clear()
    clf = make(validation_fraction=0.2, eval_every=3).fit(TEXTS, LABELS)
    html, text = only(shell)
    check(html)
    training, held_out = re.findall(r'<path d="M([^"V]*)" fill="none" .*?dasharray="(.*?)"', html)
    assert training[0].count("L") == 7 and training[1] == "none"  # 8 steps
    assert held_out[0].count("L") == len(clf.evaluations_) - 1 and held_out[1] == "5 4"
    assert "step 8" in html and "held-out texts" in html and "8 steps in" in html
    assert not re.search(r"#[0-9a-f]{3}|rgb\(|<script|<style|height: 0.5em", html)
    assert "svg" not in text
    shown = [data["text/html"] for data in shell.display_pub.calls if "<svg" in data["text/html"]]
    assert len(shown) > 5


def test_a_curve_has_the_last_place_of_each_line():
    curve = LiveCurve()
    assert curve.draw(10) == ""
    for step in range(1, 5001):
        curve.add(step, 1 / step)
        if step % 5 == 0:
            curve.evaluate(step, 0.5)
            curve.evaluate(step, 2 / step)
    assert 100 < len(curve.training) <= MOST_POINTS and len(curve.held_out) <= MOST_POINTS
    assert curve.held_out[-1] == (5000, 2 / 5000) and curve.training[-1][0] > 4900
    assert all(loss == 2 / step for step, loss in curve.held_out)
    steps = np.diff([step for step, _ in curve.training])
    assert (steps == steps[0]).all() and steps[0] > 1
    numbers = re.findall(r"-?\d+\.\d+", re.findall(r'd="M([^"V]*)"', curve.draw(5000))[0])
    assert 0 <= min(map(float, numbers)) and max(map(float, numbers)) <= 420


def test_a_curve_shows_the_first_evaluation():
    curve = LiveCurve()
    curve.add(1, 0.9)
    curve.add(2, 0.5)
    assert "<circle" not in curve.draw(4)
    curve.evaluate(2, 0.7)
    ((x, y),) = re.findall(r'<circle cx="(.*?)" cy="(.*?)"', curve.draw(4))
    assert (float(x), float(y)) == (230.0, 63.0)
    curve.evaluate(4, 0.6)
    assert curve.draw(4).count("<circle") == 2


def test_a_curve_needs_a_notebook(monkeypatch):
    monkeypatch.setenv("BERTSENT_PROGRESS", "curve")
    monkeypatch.setitem(sys.modules, "IPython", None)
    assert display_kind() == "lines"
    enter_shell(monkeypatch, "Shell", kernel=object())
    assert display_kind() == "curve" and isinstance(row_progress(1), RowOutput)
    assert make_progress(1).curve


def test_updates_are_not_too_many(make, shell, monkeypatch):
    monkeypatch.setattr(notebook, "UPDATE_EVERY", 3600.0)
    make(epochs=4).fit(TEXTS, LABELS)
    # The lines before training, its begin and its end.
    assert len(shell.display_pub.calls) < 6


def test_scoring_that_takes_long_is_shown_and_leaves_a_line(shell, monkeypatch):
    monkeypatch.setattr(notebook, "SHOWN_AFTER", 0.0)
    with row_progress(1) as rows:
        assert isinstance(rows, RowOutput)
        rows.look("a <b>.csv")
        rows.looked(30)
        assert "checking a &lt;b&gt;.csv: 30 rows" in only(shell)[0]
        rows.start(30)
        rows.begin(30)
        rows.part(0.5)
        assert "15 of 30 rows scored" in only(shell)[1] and "width: 50.0%" in only(shell)[0]
        rows.part(1.0)
    assert re.fullmatch(r"30 rows scored in .*, .* rows/s", only(shell)[1])
    assert "width" not in only(shell)[0]


def test_scoring_that_is_stopped_says_where(shell, monkeypatch):
    monkeypatch.setattr(notebook, "SHOWN_AFTER", 0.0)
    with pytest.raises(KeyboardInterrupt), row_progress(1) as rows:
        rows.start(3000)
        rows.begin(3000)
        rows.part(0.5)
        raise KeyboardInterrupt
    assert only(shell)[1] == "stopped after 1,500 of 3,000 rows"


def test_scoring_of_few_texts_is_not_shown(make, shell):
    clf = make(verbose=0).fit(TEXTS, LABELS).set_params(verbose=1)
    clf.evaluate(TEXTS, LABELS)
    assert shell.display_pub.calls == []


# --- a real kernel ------------------------------------------------------------------------


class Kernel:
    """A Jupyter kernel, and the outputs of its cells as a front end would show them."""

    def __init__(self, manager):
        self.manager, self.client = manager, manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=120)

    def run(self, code, until=None, seconds=120):
        """Run a cell; once an output matches `until`, interrupt it."""
        self.client.execute(textwrap.dedent(code))
        outputs, deadline = [], time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                message = self.client.get_iopub_msg(timeout=1)
            except queue.Empty:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                return outputs
            if kind == "update_display_data":
                name = content["transient"]["display_id"]
                for output in outputs:
                    if output.get("transient", {}).get("display_id") == name:
                        output["data"] = content["data"]
            elif kind in ("stream", "display_data", "execute_result", "error"):
                outputs.append({"kind": kind, **content})
            else:
                continue
            if until is not None and re.search(until, str(content)):
                until = None
                self.manager.interrupt_kernel()
        raise TimeoutError(outputs)

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def kernel(base, tmp_path_factory):
    pytest.importorskip("ipykernel")
    jupyter_client = pytest.importorskip("jupyter_client")
    folder = tmp_path_factory.mktemp("kernel")
    texts, labels = make_texts(200)
    pd.DataFrame({"review": texts, "sentiment": labels}).to_csv(folder / "a.csv", index=False)
    manager = jupyter_client.KernelManager(kernel_name="python3")
    package = os.path.dirname(os.path.dirname(bertsent.__file__))
    environment = {**os.environ, "PYTHONPATH": package, "IPYTHONDIR": str(folder)}
    manager.start_kernel(env=environment, cwd=str(folder))
    kernel = Kernel(manager)
    assert kernel.run(f"""
        import pandas as pd
        from bertsent import BertClassifier
        data = pd.read_csv("a.csv")
        def make(**options):
            given = dict(max_length=16, batch_size=8, learning_rate=2e-3, random_state=0)
            return BertClassifier({str(base)!r}, **(given | options))
    """) == []
    yield kernel
    kernel.close()


def kinds(outputs):
    return [o["kind"] + (f" {o['name']}" if o["kind"] == "stream" else "") for o in outputs]


def test_in_a_kernel_fit_shows_one_output(kernel):
    outputs = kernel.run("""
        clf = make(epochs=3, validation_fraction=0.2)
        clf.fit(data.review, data.sentiment);
    """)
    assert kinds(outputs) == ["display_data"]
    data = outputs[0]["data"]
    assert "3  " in data["text/plain"] and "60 steps in" in data["text/plain"]
    assert check(data["text/html"]).cells[0] == "epoch"


def test_in_a_kernel_a_result_is_shown_as_tables(kernel):
    outputs = kernel.run("clf.evaluate(data.review, data.sentiment)")
    assert kinds(outputs) == ["execute_result"]
    assert "confusion matrix" in outputs[0]["data"]["text/html"]
    assert outputs[0]["data"]["text/plain"].startswith("accuracy ")


def test_in_a_kernel_nothing_is_red(kernel):
    outputs = kernel.run("""
        from sklearn.model_selection import cross_val_score
        scores = cross_val_score(make(epochs=1), data.review, data.sentiment, cv=2)
        scores = cross_val_score(make(epochs=1), data.review, data.sentiment, cv=2, n_jobs=2)
        clf.save_pretrained("model", overwrite=True)
        clf.predict_file("a.csv", "b.csv", overwrite=True)
        BertClassifier.from_pretrained("model").predict(["a good film"])
        make(epochs=1).partial_fit(data.review, data.sentiment, classes=["negative", "positive"])
        import bertsent
        bertsent.pretrain(data.review, "pretrained", model=clf.model, max_length=16, epochs=1,
                          overwrite=True);
    """)
    assert not {"error", "stream stderr"} & set(kinds(outputs)), outputs
    text = "".join(output["text"] for output in outputs if output["kind"] == "stream")
    # What workers write arrives through the terminal of the kernel, or not at all.
    assert text.count("trained 1 epoch, ") >= 2


def test_an_interrupted_cell_says_it_in_one_line(kernel):
    outputs = kernel.run(
        "clf = make(epochs=100000); clf.fit(data.review, data.sentiment)",
        until=r"epoch [2-9]\d* of 100000, step",
    )
    assert kinds(outputs) == ["display_data", "error"]
    error = outputs[1]
    assert error["ename"] == "KeyboardInterrupt"
    (line,) = error["traceback"]
    assert re.fullmatch(
        r"KeyboardInterrupt: training was interrupted after step [\d,]+ of 2,500,000, in epoch "
        r"\d+ of 100000; the classifier keeps the model trained so far", line,
    )
    assert "interrupted at epoch" in outputs[0]["data"]["text/plain"]
    (state,) = kernel.run("len(clf.history_), clf.predict(['a good film']).shape")
    epochs = int(re.search(r"in epoch (\d+)", line)[1])
    # Unless the interrupt came just between two epochs.
    assert state["data"]["text/plain"] in (f"({epochs}, (1,))", f"({epochs - 1}, (1,))")


@pytest.mark.parametrize(("code", "until", "message"), [
    ("make(epochs=9, freeze_layers=1, freeze_dropout=True, callbacks=print).fit("
     "list(data.review) * 500, list(data.sentiment) * 500)",
     "frozen layers are computed once", "training was interrupted before the first step"),
    ("print('now', flush=True); clf.predict(list(data.review) * 5000)", "now", ""),
    ("print('now', flush=True); clf.evaluate(list(data.review) * 2000, "
     "list(data.sentiment) * 2000)", "now", ""),
], ids=["frozen layers", "predict", "evaluate"])
def test_other_calls_can_be_interrupted(kernel, code, until, message):
    outputs = kernel.run(code, until=until)
    assert outputs[-1]["kind"] == "error" and outputs[-1]["ename"] == "KeyboardInterrupt"
    assert message in outputs[-1]["evalue"]
    assert "stream stderr" not in kinds(outputs)
    (after,) = kernel.run("clf.predict(['a good film']).shape")
    assert after["data"]["text/plain"] == "(1,)"


@pytest.mark.parametrize("name", ["Shell", "DatabricksShell"])
def test_in_a_kernel_the_class_of_the_shell_does_not_matter(kernel, name):
    assert kernel.run(f"""
        plain = type(get_ipython())
        get_ipython().__class__ = type({name!r}, (plain,), {{}})
    """) == []
    outputs = kernel.run("make(epochs=1).fit(data.review, data.sentiment);")
    assert kinds(outputs) == ["display_data"] and "<table" in outputs[0]["data"]["text/html"]
    assert kernel.run("get_ipython().__class__ = plain") == []


def test_a_choice_holds_in_a_kernel(kernel):
    kernel.run("import os; os.environ['BERTSENT_PROGRESS'] = 'lines'")
    outputs = kernel.run("make(epochs=1).fit(data.review, data.sentiment);")
    assert set(kinds(outputs)) == {"stream stdout"}
    assert "epoch 1/1 done: loss" in "".join(output["text"] for output in outputs)
    kernel.run("os.environ['BERTSENT_PROGRESS'] = 'none'")
    assert kernel.run("make(epochs=1).fit(data.review, data.sentiment);") == []
    kernel.run("del os.environ['BERTSENT_PROGRESS']")


def test_what_was_shown_is_in_exported_html(kernel):
    nbformat = pytest.importorskip("nbformat")
    nbconvert = pytest.importorskip("nbconvert")
    code = "make(epochs=2).fit(data.review, data.sentiment);"
    (output,) = kernel.run(code)
    cell = nbformat.v4.new_code_cell(
        code, outputs=[nbformat.v4.new_output("display_data", output["data"])]
    )
    html, _ = nbconvert.HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    shown = html.split("</head>")[1]
    assert '<table class="dataframe" style="text-align: right">' in shown and "50 steps in" in shown
    assert "widget" not in shown
