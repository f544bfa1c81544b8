"""Uploads to the hub: the files, the model card, and what is kept there."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from conftest import maker
from huggingface_hub import ModelCard
from test_classifier import make_texts

from bertsent import BertClassifier, BertRegressor
from bertsent.classifier import model_card, predictor
from bertsent.classifier.model_card import write_card
from bertsent.files import CARD_MARKER as MARKER
from bertsent.hub import hub_id


class Hub:
    """Stands for the hub: a folder of files by repository."""

    def __init__(self, root):
        self.root, self.files, self.private, self.calls = root, {}, {}, []

    def __call__(self, token=None):
        self.calls.append(("login", token))
        return self

    def create_repo(self, repo_id, *, private, exist_ok):
        assert exist_ok
        name = repo_id if "/" in repo_id else f"me/{repo_id}"
        self.private.setdefault(name, bool(private))
        self.files.setdefault(name, {})
        return huggingface_hub.RepoUrl(f"https://huggingface.co/{name}")

    def repo_info(self, repo_id):
        return SimpleNamespace(private=self.private[repo_id])

    def file_exists(self, repo_id, name):
        return name in self.files[repo_id]

    def hf_hub_download(self, repo_id, name):
        path = self.root / name
        path.write_bytes(self.files[repo_id][name])
        return str(path)

    def upload_folder(self, *, repo_id, folder_path, commit_message, delete_patterns):
        for name in delete_patterns:
            self.files[repo_id].pop(name, None)
        new = {path.name: path.read_bytes() for path in Path(folder_path).iterdir()}
        self.files[repo_id].update(new)
        self.calls.append((commit_message, sorted(new)))


@pytest.fixture
def hub(monkeypatch, tmp_path):
    fake = Hub(tmp_path)
    monkeypatch.setattr(huggingface_hub, "HfApi", fake)
    return fake


@pytest.fixture(scope="module")
def fitted(base):
    clf = maker(base)(validation_fraction=0.3)
    return clf.fit(*make_texts(60))


def card_of(hub, name="me/tickets"):
    return ModelCard(hub.files[name]["README.md"].decode())


def test_the_files_and_a_card_are_uploaded(fitted, hub, tmp_path):
    address = fitted.push_to_hub("me/tickets", private=True, token="secret")
    assert address == "https://huggingface.co/me/tickets" and hub.private["me/tickets"]
    assert hub.calls[0] == ("login", "secret")
    folder = tmp_path / "downloaded"
    folder.mkdir()
    for name, content in hub.files["me/tickets"].items():
        (folder / name).write_bytes(content)
    texts = make_texts(8, seed=1)[0]
    again = BertClassifier.from_pretrained(folder)
    assert (again.predict_proba(texts) == fitted.predict_proba(texts)).all()


def test_a_name_without_owner_is_that_of_the_account(fitted, hub):
    assert fitted.push_to_hub("tickets").endswith("/me/tickets")
    assert "me/tickets" in card_of(hub).text


def test_metadata_and_text_of_the_card(fitted, hub):
    fitted.push_to_hub("me/tickets")
    card = card_of(hub)
    assert card.data.pipeline_tag == "text-classification"
    assert (card.data.library_name, card.data.language) == ("bertsent", None)
    assert card.data.base_model is None  # a directory
    values = {each.metric_type: each.metric_value for each in card.data.eval_results}
    row = fitted.evaluations_[-1]
    assert values["accuracy"] == pytest.approx(row["validation_accuracy"], abs=1e-6)
    assert values["loss"] == pytest.approx(row["validation_loss"], abs=1e-6)
    n_texts = len(fitted._fitted.text_hashes)
    for said in (MARKER, "# me/tickets", f"{n_texts} different training texts", "up to 16 tokens",
                 'BertClassifier.from_pretrained("me/tickets")', "AutoTokenizer",
                 *(f"`{name}`" for name in fitted.classes_)):
        assert said in card.text
    assert not any(text in card.content for text in make_texts(60)[0])


def test_an_evaluation_has_an_interval(fitted, hub):
    found = fitted.evaluate(*make_texts(40, seed=2))
    fitted.push_to_hub("me/tickets", evaluation=found)
    card = card_of(hub)
    values = {each.metric_type: each.metric_value for each in card.data.eval_results}
    assert values["accuracy"] == pytest.approx(found.accuracy, abs=1e-6)
    assert "On 40 test texts:" in card.text and " to " in card.text.split("| accuracy |")[1][:40]
    assert found.note is not None and found.note in card.text  # some were used in training


@pytest.mark.parametrize("stopping", [None, "loss"])
def test_metrics_of_other_weights_are_not_shown(base, stopping):
    texts, labels = make_texts(60)
    clf = maker(base)(epochs=2, validation_fraction=0.3, early_stopping=stopping)
    clf.fit(texts, labels)
    card = write_card(predictor(clf), "me/tickets")
    row = clf.evaluations_[-1]
    if stopping:
        row = next(each for each in clf.evaluations_ if each["step"] == clf.best_step_)
    assert f"| accuracy | {row['validation_accuracy']:.4f} |" in card
    clf.partial_fit(texts, labels[::-1])
    assert clf.evaluations_
    card = write_card(predictor(clf), "me/tickets")
    assert "## Results" not in card and "model-index" not in card


@pytest.mark.parametrize("evaluation", [0.93, {"accuracy": 0.93, "rows": 10}])
def test_an_evaluation_of_another_type_creates_nothing(fitted, hub, evaluation):
    with pytest.raises(TypeError, match="evaluation is of type .*what evaluate returns"):
        fitted.push_to_hub("me/tickets", evaluation=evaluation)
    assert not hub.files


def test_an_evaluation_of_another_model_creates_nothing(fitted, base, hub):
    texts, labels = make_texts(40)
    names = [f"{label}!" for label in labels]
    renamed = maker(base)().fit(texts, names).evaluate(texts, names)
    several = [[], *([label] for label in labels[1:])]
    tagged = maker(base)().fit(texts, several).evaluate(texts, several)
    for other in (renamed, tagged):
        with pytest.raises(ValueError, match="evaluation is that of another model: .*, but this"):
            fitted.push_to_hub("me/tickets", evaluation=other)
    assert not hub.files


def test_a_failure_of_the_files_creates_nothing(fitted, hub, monkeypatch):
    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(BertClassifier, "save_files", full)
    with pytest.raises(OSError, match="No space left"):
        fitted.push_to_hub("me/tickets")
    assert not hub.files


def test_files_that_tell_of_training_texts_are_named(fitted, base, hub):
    telling = {"training_texts.npy", "words.txt", "example_history.npz"}
    page = Path(__file__).resolve().parent.parent / "docs" / "export.md"
    for name in telling:
        assert f"`{name}`" in page.read_text(encoding="utf-8")
        assert f"``{name}``" in BertClassifier.push_to_hub.__doc__
    fitted.push_to_hub("me/tickets")
    more = maker(base)(words=True, track_examples=True, validation_fraction=0.3)
    more.fit(*make_texts(60)).push_to_hub("me/more")
    assert telling <= set(hub.files["me/more"])
    for repo in ("me/tickets", "me/more"):
        for name in telling:
            assert (f"`{name}`" in card_of(hub, repo).text) == (name in hub.files[repo])


def test_the_card_says_that_html_is_removed(fitted, base):
    assert "HTML" not in write_card(predictor(fitted), "me/tickets").replace(MARKER, "")
    clf = maker(base)(strip_html=True).fit(*make_texts(40))
    assert "HTML is removed from the texts" in write_card(predictor(clf), "me/tickets")


def test_a_card_of_a_person_is_kept(fitted, hub):
    fitted.push_to_hub("me/tickets")
    hub.files["me/tickets"]["README.md"] = b"# Mine\n"
    fitted.push_to_hub("me/tickets")
    assert hub.files["me/tickets"]["README.md"] == b"# Mine\n"
    hub.files["me/tickets"]["README.md"] = f"# Old\n{MARKER}\n".encode()
    fitted.push_to_hub("me/tickets")
    assert "# me/tickets" in card_of(hub).text


def test_files_of_an_earlier_model_are_removed(fitted, hub):
    fitted.push_to_hub("me/tickets")
    hub.files["me/tickets"] |= {"member-2.safetensors": b"", "notes.txt": b"mine"}
    fitted.push_to_hub("me/tickets", int8=True, commit_message="smaller")
    files = hub.files["me/tickets"]
    assert "model.int8.safetensors" in files and "notes.txt" in files
    assert not {"model.safetensors", "member-2.safetensors"} & set(files)
    assert hub.calls[-1][0] == "smaller"
    assert "AutoTokenizer" not in card_of(hub).text


def test_nothing_private_becomes_public(fitted, hub):
    fitted.push_to_hub("me/tickets", private=False)
    uploads = len(hub.calls)
    with pytest.raises(ValueError, match="exists and is public.*nothing was uploaded"):
        fitted.push_to_hub("me/tickets", private=True)
    assert len(hub.calls) == uploads + 1  # the login


def test_an_unfitted_classifier_uploads_nothing(base, hub):
    with pytest.raises(AttributeError, match="not fitted"):
        BertClassifier(base).push_to_hub("me/tickets")
    assert not hub.calls


def test_cards_of_other_models(base):
    texts, labels = make_texts(40)
    regressor = BertRegressor(
        base, max_length=16, epochs=1, batch_size=8, learning_rate=2e-3, random_state=0, verbose=0,
        n_threads=1, members=2, validation_fraction=0.3,
    ).fit(list(zip(texts, texts, strict=True)), [float(len(text)) for text in texts])
    card = write_card(predictor(regressor), "me/lengths")
    for said in ("2 models vote", "pairs of texts", "BertRegressor", "opens the first model alone"):
        assert said in card
    assert "## Results" not in card  # those of the vote are not known
    voting = maker(base)(words=True, pooling="mean", long_text="windows", stride=4)
    card = write_card(predictor(voting.fit(texts, labels)), "me/words")
    for said in ("linear model of words", "read in windows", "does not know the pooling"):
        assert said in card
    assert "## Results" not in card


@pytest.mark.parametrize(
    "name, expected",
    [
        ("minilm", "sentence-transformers/all-MiniLM-L6-v2"),
        ("someone/cached", "someone/cached"), ("models/base", None),
        ("bert-base-uncased", "bert-base-uncased"), ("my-model", None), ("a/b/c", None),
        ("/tmp/model", None), ("./model", None),
    ],
)
def test_ids_on_the_hub(name, expected, tmp_path, monkeypatch):
    # A relative path looks like an id, and the directory need not be on this machine.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cache" / "models--someone--cached").mkdir(parents=True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    assert hub_id(name) == expected


def test_a_directory_has_no_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "google/electra-small-discriminator"
    assert hub_id(name) == name
    (tmp_path / name).mkdir(parents=True)
    assert hub_id(name) is None


# --- the card of a directory --------------------------------------------------------------


def card_in(directory):
    return (directory / "README.md").read_text(encoding="utf-8")


def test_a_saved_directory_has_a_card(fitted, tmp_path):
    fitted.save_pretrained(tmp_path / "model")
    card = ModelCard(card_in(tmp_path / "model"))
    assert (card.data.pipeline_tag, card.data.library_name) == ("text-classification", "bertsent")
    assert card.data.tags == ["bertsent", "single-label-classification"]
    values = {each.metric_type: each.metric_value for each in card.data.eval_results}
    assert values["accuracy"] == pytest.approx(
        fitted.evaluations_[-1]["validation_accuracy"], abs=1e-6
    )
    n_held_out = len(fitted.validation_rows_)
    assert f"On {n_held_out} texts that were held out in training:" in card.text
    assert " to " in card.text.split("| accuracy |")[1][:40]
    assert "# Text classifier" in card.text
    assert 'BertClassifier.from_pretrained("path/to/this/directory")' in card.text
    assert not any(text in card.content for text in make_texts(60)[0])
    assert str(tmp_path) not in card.content and str(fitted.model) not in card.content


def test_a_small_value_is_a_number(fitted, tmp_path, monkeypatch):
    last = dict(fitted.evaluations_[-1]) | {"validation_loss": 5e-5}
    monkeypatch.setattr(model_card, "_validation", lambda fitted: last)
    fitted.save_pretrained(tmp_path / "model")
    card = ModelCard(card_in(tmp_path / "model"))
    values = {each.metric_type: each.metric_value for each in card.data.eval_results}
    assert values["loss"] == pytest.approx(5e-5)


def test_the_same_model_has_the_same_card(fitted, tmp_path):
    fitted.save_pretrained(tmp_path / "one")
    fitted.save_pretrained(tmp_path / "two", int8=True)
    again = BertClassifier.from_pretrained(tmp_path / "one")
    again.save_pretrained(tmp_path / "three")
    assert card_in(tmp_path / "one") == card_in(tmp_path / "three")
    assert "only bertsent opens" in card_in(tmp_path / "two")
    again.save_pretrained(tmp_path / "two", overwrite=True)
    assert card_in(tmp_path / "one") == card_in(tmp_path / "two")


def test_a_card_in_a_directory_that_a_person_wrote_is_kept(fitted, tmp_path, way):
    target = tmp_path / "model"
    fitted.save_pretrained(target)
    with pytest.raises(FileExistsError, match=r"already contains README\.md, bertsent\.json"):
        fitted.save_pretrained(target)
    mine = card_in(target).replace(MARKER, "").replace("# Text classifier", "# Mine")
    (target / "README.md").write_text(mine, encoding="utf-8")
    fitted.save_pretrained(target, overwrite=True)
    assert card_in(target) == mine
    with pytest.raises(FileExistsError):
        fitted.save_pretrained(target)
    # What is no file is not followed, read or replaced.
    (target / "README.md").unlink()
    elsewhere = tmp_path / "elsewhere.md"
    elsewhere.write_text(MARKER, encoding="utf-8")
    (target / "README.md").symlink_to(elsewhere)
    fitted.save_pretrained(target, overwrite=True)
    assert (target / "README.md").is_symlink() and elsewhere.read_text() == MARKER
    (target / "README.md").unlink()
    os.mkfifo(target / "README.md")
    fitted.save_pretrained(target, overwrite=True)
    assert (target / "README.md").is_fifo()
    assert BertClassifier.from_pretrained(target).predict(["good end"]).shape == (1,)
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "README.md").write_text("# Mine\n")
    with pytest.raises(FileExistsError, match=r"contains README\.md, which bertsent did not"):
        fitted.save_pretrained(alone)


def test_the_command_writes_the_metrics_of_the_test(workshop):
    card = ModelCard(card_in(workshop / "model"))
    assert "On 24 test texts:" in card.text
    metrics = json.loads((workshop / "model" / "metrics.json").read_text())
    values = {each.metric_type: each.metric_value for each in card.data.eval_results}
    assert values["accuracy"] == pytest.approx(metrics["accuracy"], abs=1e-6)
