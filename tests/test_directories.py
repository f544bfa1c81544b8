"""What people give in place of a model directory: each is named, with what to do."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import write_tiny_model
from safetensors.numpy import load_file, save_file

import bertsent
from bertsent.errors import CheckpointError, ModelNotFoundError

WEIGHTS = "model.safetensors"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 438\n"
PICKLED = b"PK\x03\x04" + bytes(26) + b"archive/data.pkl"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def classifier(directory, **options):
    return write_tiny_model(directory, classifier=2, prefix="bert.", **options)


def refusal(directory):
    """Return the error of opening a directory, which must be one line about our own classes."""
    with pytest.raises((CheckpointError, ModelNotFoundError)) as caught:
        bertsent.BertClassifier.from_pretrained(directory)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return str(caught.value)


def opens(directory):
    return list(bertsent.BertClassifier.from_pretrained(directory).classes_) == [
        "LABEL_0", "LABEL_1"
    ]


def without_weights(directory, *names):
    """Write a classifier, and other files in place of its weights."""
    classifier(directory)
    (Path(directory) / WEIGHTS).unlink()
    for name in names:
        path = Path(directory) / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"something")
    return directory


# --- folders above the model ------------------------------------------------------------------


def test_checkpoints_of_a_trainer(here):
    for step in (500, 1000, 60):
        classifier(here / "out" / f"checkpoint-{step}")
    (here / "out" / "training_args.bin").write_bytes(b"x")
    said = refusal("out")
    assert "it holds checkpoint-60, checkpoint-500, checkpoint-1000; give one of them" in said
    assert said.endswith("such as out/checkpoint-1000") and opens("out/checkpoint-1000")


def test_many_models_in_a_folder(here):
    for number in range(12):
        classifier(here / "grid" / f"run_{number}")
    assert "run_7, run_8, run_9, run_10, run_11 and 7 more" in refusal("grid")


@pytest.mark.parametrize("inside", ["best", "2024-05-01/final"])
def test_one_model_in_a_folder(here, inside):
    classifier(here / "outputs" / inside)
    assert refusal("outputs").endswith(f"holds one; give outputs/{inside}")
    assert opens(f"outputs/{inside}")


@pytest.mark.parametrize("part, kind", [("0_Transformer", "Transformer"), ("0_BERT", "BERT")])
@pytest.mark.parametrize("own_config", [False, True])
def test_old_sentence_transformers(here, part, kind, own_config):
    classifier(here / "st" / part)
    (here / "st" / "1_Pooling").mkdir()
    (here / "st" / "1_Pooling" / "config.json").write_text("{}")
    modules = [
        {"idx": 0, "name": "0", "path": part, "type": f"sentence_transformers.models.{kind}"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.P"},
    ]
    (here / "st" / "modules.json").write_text(json.dumps(modules))
    if own_config:
        (here / "st" / "config.json").write_text('{"__version__": "0.3.1"}')
    assert opens("st") and opens(f"st/{part}")


def test_new_sentence_transformers_are_models(here):
    classifier("st")
    modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Tr"}]
    Path("st/modules.json").write_text(json.dumps(modules))
    assert opens("st")


@pytest.mark.parametrize("content", ["", "{}", "[1]", '[{"type": 1}]', "[" * 5000, "nonsense"])
def test_damaged_modules_are_no_other_error(here, content):
    Path("st").mkdir()
    Path("st/modules.json").write_text(content)
    assert "it has no config.json" in refusal("st")


def test_copy_in_the_cache_of_the_hub(here):
    classifier("models--a--b/snapshots/0123abc")
    assert refusal("models--a--b").endswith("give models--a--b/snapshots/0123abc")


def test_checkpoints_of_a_run(here):
    Path("run").mkdir()
    Path("run/step-00000100.safetensors").write_bytes(b"")
    said = "checkpoints of a run; continue the run with checkpoint_dir='run' and resume=True"
    assert said in refusal("run")


def test_links_to_nothing(here):
    Path("bert-tuned").symlink_to("/mnt/usb/bert-tuned")
    assert "bert-tuned is a link to /mnt/usb/bert-tuned, which is missing" in refusal("bert-tuned")
    directory = classifier(here / "model")
    for name in ("config.json", WEIGHTS):
        content = (directory / name).read_bytes()
        (directory / name).unlink()
        (directory / name).symlink_to("../blobs/4d7a")
        assert f"model/{name} is a link to ../blobs/4d7a, which is missing" in refusal("model")
        (directory / name).unlink()
        (directory / name).write_bytes(content)


# --- other things -----------------------------------------------------------------------------


def test_empty_directory(here):
    Path("empty").mkdir()
    assert "it has no config.json. It is empty" in refusal("empty")


def test_directory_of_other_files(here):
    Path("docs").mkdir()
    for name in ("a.md", "b.md"):
        Path("docs", name).write_text("x")
    assert "It contains a.md, b.md; give the directory" in refusal("docs")


def test_weights_without_a_configuration(here):
    classifier("model")
    shutil.move("model/config.json", "elsewhere.json")
    assert "only weights. Copy the config.json" in refusal("model")
    shutil.move("elsewhere.json", "model/config.json")
    assert opens("model")


def test_configuration_under_its_old_name(here):
    classifier("model")
    Path("model/config.json").rename("model/bert_config.json")
    assert "bert_config.json, which is its old name; rename it to config.json" in refusal("model")


@pytest.mark.parametrize("whole", [False, True])
def test_adapter(here, whole):
    classifier("model")
    if not whole:
        Path("model/model.safetensors").unlink()
        Path("model/config.json").unlink()
    content = {"peft_type": "LORA", "base_model_name_or_path": "google-bert/bert-base-uncased"}
    Path("model/adapter_config.json").write_text(json.dumps(content))
    Path("model/adapter_model.safetensors").write_bytes(b"x")
    said = refusal("model")
    assert "adapter" in said and "merge_and_unload() and save_pretrained" in said
    if whole:
        Path("model/adapter_config.json").unlink()
        assert "remove adapter_config.json" in said and opens("model")
    else:
        assert "its base model google-bert/bert-base-uncased" in said


@pytest.mark.parametrize("content", ["", "[]", '{"base_model_name_or_path": 3}', '{"a": '])
def test_damaged_adapter(here, content):
    without_weights("model", "adapter_model.bin")
    Path("model/adapter_config.json").write_text(content)
    assert "to its base model. Merge both" in refusal("model")


def test_adapter_in_the_weights(here):
    directory = classifier(here / "model")
    weights = load_file(directory / WEIGHTS)
    lora = {
        f"base_model.model.{name}": values for name, values in weights.items()
    } | {"base_model.model.bert.encoder.layer.0.attention.self.query.lora_A.default.weight":
         np.zeros((8, 32), np.float32)}
    save_file(lora, directory / WEIGHTS)
    assert "contains an adapter beside the weights" in refusal("model")


@pytest.mark.parametrize(
    "names, said",
    [
        (["tf_model.h5"], r"a TensorFlow file (tf_model.h5); convert it with transformers 4"),
        (["flax_model.msgpack"], "a Flax file (flax_model.msgpack); convert it with tr"),
        (["pytorch_model.bin"], "If you trust it, convert it where torch and transformers"),
        (["pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json"], "a pickle file"),
        (["bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"], "a TensorFlow check"),
        (["model.onnx"], "exported for inference (model.onnx)"),
        (["onnx/model_quantized.onnx"], "exported for inference (onnx/model_quantized.onnx)"),
        (["openvino_model.xml", "openvino_model.bin"], "exported for inference (openvino"),
        (["rust_model.ot"], "exported for inference (rust_model.ot)"),
        (["zero_to_fp32.py", "latest"], "a checkpoint of DeepSpeed (zero_to_fp32.py); run"),
        (["pytorch_model_fsdp_0/__0_0.distcp"], "a checkpoint of FSDP (pytorch_model_fsdp_0/__0_"),
        (["weights.h5"], "weights of another library (weights.h5)"),
        (["best.pt"], "a pickle file (best.pt); bertsent does not open it"),
        (["epoch=1-step=200.ckpt"], "a pickle file (epoch=1-step=200.ckpt)"),
        (["model.safetensors.part"], "did not finish (model.safetensors.part); download"),
        (["model.zip"], "an archive (model.zip); unpack it"),
        (["optimizer.pt", "training_args.bin", "rng_state.pth"], "no model.safetensors; download"),
        (["model-00001-of-00003.safetensors"], "without model.safetensors.index.json"),
    ],
)
def test_weights_in_another_form(here, names, said):
    assert said in refusal(without_weights("model", *names))


@pytest.mark.parametrize(
    "name", ["model.fp16.safetensors", "model (1).safetensors", "x.safetensors"]
)
def test_weights_under_another_name(here, name):
    directory = classifier(here / "model")
    (directory / WEIGHTS).rename(directory / name)
    said = refusal("model")
    assert f"has no model.safetensors, but {name}; rename it to model.safetensors" in said
    (directory / name).rename(directory / WEIGHTS)
    assert opens("model")


def test_shards_of_a_variant(here):
    directory = classifier(here / "model")
    weights = load_file(directory / WEIGHTS)
    (directory / WEIGHTS).unlink()
    shard = "model.fp16-00001-of-00001.safetensors"
    save_file(weights, directory / shard)
    index = directory / "model.safetensors.index.fp16.json"
    index.write_text(json.dumps({"weight_map": dict.fromkeys(weights, shard)}))
    assert f"rename {index.name} to model.safetensors.index.json" in refusal("model")
    index.rename(directory / "model.safetensors.index.json")
    assert opens("model")


@pytest.mark.parametrize(
    "name, line",
    [
        ("pytorch_model.bin", "from_pretrained(name).save"),
        ("pytorch_model.fp16.bin", "from_pretrained(name, variant='fp16').save"),
        ("tf_model.h5", "from_pretrained(name, from_tf=True).save"),
        ("flax_model.msgpack", "from_pretrained(name, from_flax=True).save"),
    ],
)
def test_command_that_converts_is_one_for_a_shell(here, name, line):
    """transformers is not installed here, so a stub prints how it would be called."""
    without_weights("my 'best' model", name)
    Path("transformers.py").write_text(
        "class Anything:\n"
        "    def __init__(self, name): self.name = name\n"
        "    def from_pretrained(self, *a, **k): print(self.name, a, k); return self\n"
        "    def save_pretrained(self, target): print('to', target)\n"
        "AutoModelForSequenceClassification = Anything('model')\n"
        "AutoTokenizer = Anything('tokenizer')\n"
    )
    command = refusal("my 'best' model").splitlines()[-1].strip()
    assert line in command and command.startswith("python ")
    done = subprocess.run(
        sys.executable + command.removeprefix("python"), shell=True, check=True,
        capture_output=True, text=True,
    )
    assert done.stdout.count("my 'best' model-safetensors") == 2
    assert """model ("my 'best' model",)""" in done.stdout


@pytest.mark.parametrize("kind", ["directory", "pipe"])
def test_weights_that_are_no_file(here, kind):
    path = Path(without_weights("model")) / WEIGHTS
    if kind == "directory":
        path.mkdir()
    else:
        os.mkfifo(path)
    assert ", not a file" in refusal("model")


# --- files in place of others -----------------------------------------------------------------


@pytest.mark.parametrize(
    "content, said",
    [
        (LFS, "is a Git LFS pointer, not the file itself; run 'git lfs pull' in model"),
        (b"<!DOCTYPE html>\n<html>", "is a web page"),
        (b"\n\n  <html lang=en>", "is a web page"),
            (PICKLED, "is a pickle file under the wrong name"),
        (b"\x80\x02}q\x00X\x05\x00\x00\x00", "is a pickle file under the wrong name"),
        (b"PK\x03\x04" + bytes(26) + b"model/config.json", "is a zip archive"),
        (b"\x1f\x8b\x08\x00rest", "is compressed with gzip"),
    ],
)
@pytest.mark.parametrize("name", [WEIGHTS, "config.json"])
def test_something_else_under_the_name_of_a_file(here, name, content, said):
    directory = classifier(here / "model")
    (directory / name).write_bytes(content)
    assert f"model/{name} {said}" in refusal("model")


def test_pointers_in_place_of_shards(here):
    directory = classifier(here / "model")
    names = list(load_file(directory / WEIGHTS))
    (directory / WEIGHTS).unlink()
    shard = "model-00001-of-00001.safetensors"
    (directory / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": dict.fromkeys(names, shard)})
    )
    (directory / shard).write_bytes(LFS)
    assert f"model/{shard} is a Git LFS pointer" in refusal("model")


def test_header_whose_length_looks_like_a_pickle(here):
    """A length of 640 bytes begins with the two bytes of a pickle; it is opened all the same."""
    directory = classifier(here / "model")
    content = (directory / WEIGHTS).read_bytes()
    length = int.from_bytes(content[:8], "little")
    wanted = -(-length // 65536) * 65536 + 640
    header = content[8 : 8 + length].ljust(wanted)
    (directory / WEIGHTS).write_bytes(wanted.to_bytes(8, "little") + header + content[8 + length:])
    assert (directory / WEIGHTS).read_bytes()[:2] == b"\x80\x02"
    assert opens("model")


def test_enormous_header_is_not_read(here):
    directory = classifier(here / "model")
    (directory / WEIGHTS).write_bytes((60 << 20).to_bytes(8, "little") + b"{" + b" " * (60 << 20))
    assert "its header claims 62914560 bytes" in refusal("model")


# --- files in place of a directory ------------------------------------------------------------


@pytest.mark.parametrize("name", [WEIGHTS, "config.json", "vocab.txt"])
def test_file_of_a_model(here, name):
    classifier("model")
    assert refusal(f"model/{name}").endswith("is a file; give the directory in which it is, model")


def test_file_without_its_model(here):
    Path("best.safetensors").write_bytes(b"x")
    assert "is a file; give the directory that holds it" in refusal("best.safetensors")


@pytest.mark.parametrize("form", ["zip", "tar", "gztar"])
def test_archive(here, form):
    classifier("my model/tuned")
    archive = Path(shutil.make_archive("my model", form, "my model"))
    shutil.rmtree("my model")
    said = refusal(archive.name)
    assert f"{archive.name} is an archive; unpack it (" in said
    command = said.split("(")[1].split(")")[0]
    if form == "zip":
        assert command == "unzip 'my model.zip' -d 'my model-unpacked'"
        shutil.unpack_archive(archive, "my model-unpacked")
        assert opens("my model-unpacked/tuned")
    else:
        subprocess.run(command, shell=True, check=True)
        assert opens("tuned")


@pytest.mark.parametrize(
    "name, content, said",
    [
        ("reviews.csv", b"a,b\n", "is a file of data, not a model"),
        ("reviews.parquet", b"PAR1", "is a file of data"),
        ("clf.joblib", b"\x80\x04", "is a pickle file; open it with the program that wrote it"),
        ("notes", b"text", "notes is a file; give the directory"),
    ],
)
def test_other_files(here, name, content, said):
    Path(name).write_bytes(content)
    assert said in refusal(name)
