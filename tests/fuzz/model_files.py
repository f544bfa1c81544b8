"""The readers of files of models and runs, one by one, and what is right for each.

Each kind writes a directory, changes one of its files, and reads it with the functions of bertsent
for this file. What is read must be what a second, independent reader makes of the same bytes:
`json`, NumPy, or a few lines here for safetensors.
"""

import functools
import io
import json
import math
import os
import re
import shutil
import zipfile
import zlib
from pathlib import Path

import directories
import numpy as np
import tokenizers
from differences import differences, is_expected
from further_mutations import change
from mutations import join_header

from bertsent import ByteLevelBPETokenizer, WordPieceTokenizer
from bertsent.classifier import fitted, settings
from bertsent.classifier.words import WordModel
from bertsent.files import read_array
from bertsent.hub import load_model_directory, tensors
from bertsent.training.checkpoints import Saved
from bertsent.training.example_history import ExampleHistory
from bertsent.training.state import State

_WHITE = "\t\n\v\f\r \x85\xa0" + "".join(map(chr, (
    0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000,
)))
_NUMPY = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "F64": "<f8", "I8": "|i1"}


class Seeds:
    """The directories that files are taken from, each written when it is first needed.

    Parameters
    ----------
    root : pathlib.Path
        An empty directory.
    """

    def __init__(self, root):
        self.root = root

    def write(self, name, write, *arguments, **options):
        write(self.root / name, *arguments, **options)
        return self.root / name

    @functools.cached_property
    def base(self):
        return self.write("base", directories.write_base)

    @functools.cached_property
    def foreign(self):
        return self.write("foreign", directories.write_foreign)

    @functools.cached_property
    def byte_level(self):
        return self.write("byte-level", write_byte_level)

    @functools.cached_property
    def classifier(self):
        return self.write(
            "classifier", directories.write_classifier, self.base, track_examples=True, members=2,
        )

    @functools.cached_property
    def int8(self):
        return self.write(
            "int8", directories.write_classifier, self.base, int8=True, members=2,
            inference_precision="int8",
        )

    @functools.cached_property
    def members(self):
        return self.write(
            "members", directories.write_classifier, self.base,
            [int(label == "good") for label in directories.LABELS],
            members=[{"freeze_layers": 1}, {"max_length": 8}],
            long_text="windows", stride=2, class_weight={0: 2.0},
        )

    @functools.cached_property
    def words(self):
        return self.write("words", directories.write_classifier, self.base, words=True)

    @functools.cached_property
    def run(self):
        return self.write("run", directories.write_run, self.base)

    @functools.cached_property
    def pretraining_run(self):
        return self.write("pretraining-run", directories.write_pretraining_run, self.base)


def write_byte_level(directory):
    """Write a tokenizer that has learned some merges."""
    vocab = [*("<s>", "<pad>", "</s>", "<unk>"), *ByteLevelBPETokenizer.alphabet()]
    merges = ["t h", "th e", "Ġ the", "Ġ f", "i l", "il m", "Ġf ilm", "o o", "oo d", "g ood"]
    vocab += [merge.replace(" ", "") for merge in merges] + ["<mask>"]
    ByteLevelBPETokenizer(vocab, merges).save_pretrained(directory)


def files_of(directory, *names):
    """Return the content of some files of a directory, or of all."""
    found = directories.read_files(directory)
    return {name: found[name] for name in names} if names else found


class ModelFile:
    """Files of one kind, and their reader.

    Parameters
    ----------
    seeds : Seeds

    Attributes
    ----------
    variants : list of dict
        Files by name. A mutant is one of these, in which one file has been changed.
    changed : pattern
        Names of the files that are changed.
    """

    changed = r".*"

    def __init__(self, seeds):
        self.root = seeds.root
        self.variants = self.write(seeds)
        self.given = {}

    def write(self, seeds):
        """Return `variants`."""
        raise NotImplementedError

    def read(self, directory, name):
        """Read the files with bertsent."""
        raise NotImplementedError

    def wrong(self, number, name, files, found):
        """Return what is wrong with what was read, or None.

        Parameters
        ----------
        number : int
            Number of the variant.
        name : str
            Name of the changed file.
        files : dict of str to bytes
            The files as they were read.
        found : object
            What `read` returned.
        """
        del number, name, files, found

    def mutant(self, draw):
        """Return the number of a variant, the name of the changed file, its content, and how."""
        number = draw.randrange(len(self.variants))
        files = self.variants[number]
        name = draw.choice([name for name in files if re.fullmatch(self.changed, name)])
        mutant = change(draw, name, files[name])
        return number, name, mutant.content, mutant.done

    def outcome(self, draw):
        """Read a mutant; return "loaded", "refused" or "finding", and a text."""
        number, name, content, _ = self.mutant(draw)
        files = self.variants[number]
        directory = self.directory(number)
        path = directory / name
        path.write_bytes(content)
        try:
            found = self.read(directory, name)
        except BaseException as error:
            return judge(error, path, directory)
        finally:
            path.write_bytes(files[name])
        wrong = self.wrong(number, name, files | {name: content}, found)
        return ("loaded", "") if wrong is None else ("finding", f"{name}: {wrong}"[:300])

    def directory(self, number):
        """Return the directory of a variant that belongs to this process."""
        directory = self.root / f"process-{os.getpid()}" / f"{type(self).__name__}-{number}"
        if not directory.is_dir():
            directory.mkdir(parents=True)
            for name, content in self.variants[number].items():
                (directory / name).write_bytes(content)
        return directory

    def remove(self, process):
        """Remove what a process has written."""
        shutil.rmtree(self.root / f"process-{process}", ignore_errors=True)

    def explained(self, target, number, name, files, found):
        """Return what is wrong with a result unless a changed place may have changed it."""
        if number not in self.given:
            self.given[number] = self.read(self.directory(number), name)
        if found == self.given[number]:
            return None
        places = differences(name, self.variants[number][name], files[name])
        if any(is_expected(target, name, place) for place in places):
            return None
        return f"another result because of {', '.join(sorted(places))[:150]}"


def judge(error, path, directory):
    """Return the outcome for an exception: it must name the file, or its directory."""
    text = str(error)
    if re.search("memory", text) and "must be" not in text or isinstance(error, MemoryError):
        return "finding", f"{type(error).__name__}: too much memory: {text[:150]}"
    outcome, said = directories.judge_error(error, directory)
    if outcome == "finding":
        return outcome, said
    if path.suffix != ".json" and path.name not in text and path.name != "vocab.txt":
        return "finding", f"does not name the file: {text[:200]}"
    return outcome, said


# --- tokenizers -----------------------------------------------------------------------------


class Tokenizer(ModelFile):
    target = "tokenizer"

    def read(self, directory, name):
        tokenizer = WordPieceTokenizer.from_files(directory)
        ids = tokenizer.encode_batch(directories.TEXTS, n_threads=1).ids
        return [tokenizer._settings, ids.tolist()]

    def wrong(self, number, name, files, found):
        return self.explained(self.target, number, name, files, found)


class TokenizerJson(Tokenizer):
    """``tokenizer.json``, alone and with the files beside it."""

    changed = r"tokenizer\.json"

    def write(self, seeds):
        small = files_of(seeds.classifier, "tokenizer.json")
        beside = files_of(
            seeds.classifier, "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"
        )
        return [small, small, beside, beside | files_of(seeds.classifier, "config.json")]

    def wrong(self, number, name, files, found):
        vocab = json.loads(files[name])["model"]["vocab"]
        if found[0]["vocab"] != vocab:
            return "another vocabulary"
        return super().wrong(number, name, files, found)


class TokenizerConfig(Tokenizer):
    """``tokenizer_config.json``, ``special_tokens_map.json`` and ``added_tokens.json``."""

    changed = r"tokenizer_config\.json|special_tokens_map\.json|added_tokens\.json"

    def write(self, seeds):
        names = ("vocab.txt", "tokenizer_config.json", "special_tokens_map.json",
                 "added_tokens.json")
        old = files_of(seeds.foreign, *names)
        new = files_of(
            seeds.classifier, "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"
        )
        return [old, old, old | files_of(seeds.foreign, "config.json"), new]


class Vocabulary(Tokenizer):
    """``vocab.txt``."""

    changed = r"vocab\.txt"

    def write(self, seeds):
        alone = files_of(seeds.foreign, "vocab.txt")
        return [alone, alone | files_of(seeds.base, "tokenizer_config.json")]

    def wrong(self, number, name, files, found):
        lines = files[name].decode().split("\n")
        if not lines[-1]:
            del lines[-1]
        # Lines are counted also if they are the same.
        vocab = {line.rstrip(_WHITE): count for count, line in enumerate(lines)}
        if found[0]["vocab"] != vocab:
            return "another vocabulary"
        return None


class ByteLevel(ModelFile):
    """``tokenizer.json`` of a byte-level tokenizer, compared with the tokenizers library."""

    changed = r"tokenizer\.json"

    def write(self, seeds):
        return [files_of(seeds.byte_level, "tokenizer.json")]

    def read(self, directory, name):
        tokenizer = ByteLevelBPETokenizer.from_files(directory)
        rows = tokenizer(directories.TEXTS, padding=False, return_offsets_mapping=True)
        places = [row.tolist() for row in rows["offset_mapping"]]
        return [tokenizer._settings, [row.tolist() for row in rows["input_ids"]], places]

    def wrong(self, number, name, files, found):
        model = json.loads(files[name])["model"]
        settings, ids, places = found
        merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
        if settings["vocab"] != model["vocab"] or settings["merges"] != merges:
            return "another vocabulary or other merges"
        try:
            library = tokenizers.Tokenizer.from_str(files[name].decode())
        except Exception:  # it has no class of its own
            return None
        library.no_padding()
        library.no_truncation()
        for text, row, at in zip(directories.TEXTS, ids, places, strict=True):
            expected = library.encode(text)
            if expected.ids != row or [list(place) for place in expected.offsets] != at:
                return f"{text!r} has the ids {row} and places {at}"
        return None


class Merges(ModelFile):
    """``vocab.json`` and ``merges.txt``."""

    changed = r"vocab\.json|merges\.txt"

    def write(self, seeds):
        return [files_of(seeds.byte_level, "vocab.json", "merges.txt")]

    def read(self, directory, name):
        settings = ByteLevelBPETokenizer.from_files(directory)._settings
        return settings["vocab"], settings["merges"]

    def wrong(self, number, name, files, found):
        vocab, merges = found
        lines = files["merges.txt"].decode().split("\n")
        if not lines[-1]:
            del lines[-1]
        wanted = [line.removesuffix("\r") for line in lines if not line.startswith("#version")]
        if vocab != json.loads(files["vocab.json"]) or merges != wanted:
            return "another vocabulary or other merges"
        return None


# --- settings -------------------------------------------------------------------------------


class Config(ModelFile):
    """``config.json``, compared with the tensors of the model."""

    changed = r"config\.json"

    def write(self, seeds):
        return [
            files_of(seeds.foreign, "config.json", "model.safetensors.index.json",
                     "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"),
            files_of(seeds.base, "config.json", "model.safetensors"),
            files_of(seeds.classifier, "config.json", "model.safetensors"),
        ]

    def read(self, directory, name):
        loaded = load_model_directory(directory, random_state=0, tell=False)
        return [loaded.engine, loaded.config["id2label"], loaded.flat.tobytes()]

    def wrong(self, number, name, files, found):
        engine, names, _ = found
        config = json.loads(files[name])
        for key in ("vocab_size", "hidden_size", "num_hidden_layers", "intermediate_size",
                    "max_position_embeddings"):
            if engine[key] != config[key]:
                return f"{key} is {engine[key]}, but the file has {config[key]}"
        if len(names) != engine["num_labels"]:
            return f"{len(names)} names for {engine['num_labels']} classes"
        return self.explained("encoder", number, name, files, found)


class Settings(ModelFile):
    """``bertsent.json``."""

    changed = r"bertsent\.json"

    def write(self, seeds):
        return [
            files_of(directory, "bertsent.json")
            for directory in (seeds.classifier, seeds.members, seeds.int8)
        ]

    def read(self, directory, name):
        return settings.read_settings(directory, fitted.Fitted)

    def wrong(self, number, name, files, found):
        content = json.loads(files[name])
        for key, value in found.parameters.items():
            if not _same(settings.to_plain(value), content["parameters"][key]):
                return f"parameters.{key} is {value!r}"
        for field, key, entry in settings._entries(fitted.Fitted):
            if key in content:
                written = entry.write(found.fields[field.name])
                ours = content[key]
                if key == "labels":
                    ours = _known(ours, written)
                if not _same(written, ours):
                    return f"{key} is {written!r:.100}, but the file has {ours!r:.100}"
        return None


def _known(value, like):
    """Return a JSON value without the keys that another one lacks, also in inner objects.

    What is not known is ignored, so that later versions can add it; what is left out is None.
    """
    if isinstance(value, dict) and isinstance(like, dict):
        return {key: _known(value.get(key), like[key]) for key in like}
    return value


def _same(one, other):
    """Return whether JSON values are equal, numbers by value, and NaN like NaN."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return one == other and isinstance(one, bool) == isinstance(other, bool)


# --- tensors --------------------------------------------------------------------------------


def parse_tensors(content):
    """Return the entries of a safetensors file, and its values; without any check."""
    end = 8 + int.from_bytes(content[:8], "little")
    return entries_of(json.loads(content[8:end])), content[end:]


def entries_of(header):
    """Return the entries for tensors, which may also be lists: safetensors reads both."""
    header = {key: entry for key, entry in header.items() if key != "__metadata__"}
    for key, entry in header.items():
        if isinstance(entry, list):
            header[key] = dict(zip(("dtype", "shape", "data_offsets"), entry, strict=True))
    return header


def values_of(entry, values):
    """Return a tensor as float32."""
    begin, end = entry["data_offsets"]
    array = np.frombuffer(values[begin:end], _NUMPY[entry["dtype"]])
    if entry["dtype"] == "BF16":
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32).reshape(entry["shape"])


class Tensors(ModelFile):
    """``model.safetensors``."""

    changed = r"model\.safetensors"

    def write(self, seeds):
        from safetensors.numpy import save_file

        variants = [files_of(seeds.base, "model.safetensors")]
        for kind in (np.float16, np.float64):
            draw = np.random.default_rng(0)
            values = {f"layer.{i}": draw.normal(size=(2, i)).astype(kind) for i in range(4)}
            path = self.root / "typed.safetensors"
            save_file(values, path, {"format": "pt", "bertsent": "00ff"})
            variants.append({"model.safetensors": path.read_bytes()})
            path.unlink()
        # NumPy has no bfloat16.
        text = json.dumps({"a": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}})
        values = np.arange(4, dtype="<u2").tobytes()
        return [*variants, {"model.safetensors": join_header(text, values)}]

    def find(self, directory, name):
        del name
        return tensors.find(directory, {})

    def read(self, directory, name):
        stored = self.find(directory, name)
        for tensor in stored.values():
            tensors.check_type(tensor)
        arrays = {
            key: np.empty(math.prod(tensor.shape), np.float32) for key, tensor in stored.items()
        }
        tensors.read([(tensor, arrays[key]) for key, tensor in stored.items()])
        self.identify(directory)
        return {key: arrays[key].reshape(stored[key].shape) for key in stored}

    def identify(self, directory):
        tensors.find_identity(directory)

    def wrong(self, number, name, files, found):
        header, values = parse_tensors(files[name])
        return self.compare(found, {key: values_of(header[key], values) for key in header})

    def compare(self, found, right):
        if found.keys() != right.keys():
            return f"the tensors {sorted(found)}"[:200]
        for key, value in found.items():
            if value.shape != right[key].shape:
                return f"{key} has shape {value.shape}, and not {right[key].shape}"
            if not np.array_equal(value, right[key]) or not np.isfinite(value).all():
                return f"{key} has other values"
        return None


class Shards(Tensors):
    """``model.safetensors.index.json`` and the shards that it names."""

    changed = r"model.*"

    def write(self, seeds):
        return [files_of(seeds.foreign, "model.safetensors.index.json",
                         "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")]

    def identify(self, directory):
        pass

    def wrong(self, number, name, files, found):
        owners = json.loads(files["model.safetensors.index.json"])["weight_map"]
        parsed = {shard: parse_tensors(files[shard]) for shard in set(owners.values())}
        return self.compare(found, {
            key: values_of(parsed[shard][0][key], parsed[shard][1])
            for key, shard in owners.items()
        })


class Int8(Tensors):
    """``model.int8.safetensors``."""

    changed = r"model\.int8\.safetensors"

    def write(self, seeds):
        return [files_of(seeds.int8, "model.int8.safetensors")]

    def wrong(self, number, name, files, found):
        header, values = parse_tensors(files[name])
        right = {}
        for key, entry in header.items():
            if entry["dtype"] == "I8":
                largest = values_of(header[key + "_range"], values)
                rows = values_of(entry, values).reshape(len(largest), -1)
                right[key] = rows / np.float32(127) * largest[:, None]
        for key, entry in header.items():
            owner = key.removesuffix("_range")
            if key not in right and (owner == key or owner not in right):
                right[key] = values_of(entry, values)
        return self.compare(found, right)


class Member(Int8):
    """``member-2.safetensors`` and ``member-2.int8.safetensors``."""

    changed = r"member-2\..*"

    def write(self, seeds):
        return [files_of(seeds.int8, "member-2.int8.safetensors"),
                files_of(seeds.classifier, "member-2.safetensors")]

    def find(self, directory, name):
        return tensors.find_member(directory, 2)

    def identify(self, directory):
        tensors.find_identity(directory, 2)

    def wrong(self, number, name, files, found):
        if number == 0:
            return super().wrong(number, name, files, found)
        return Tensors.wrong(self, number, name, files, found)


class Words(ModelFile):
    """``words.txt`` and ``words.safetensors``, and their entry in ``bertsent.json``."""

    changed = r"words\..*|bertsent\.json"

    def write(self, seeds):
        return [files_of(seeds.words, "words.txt", "words.safetensors", "bertsent.json")]

    def read(self, directory, name):
        found = settings.read_settings(directory, fitted.Fitted)
        n_classes = len(found.fields["objective"].label_names)
        if found.words is None:  # only another name of the entry, which is not known then
            return None
        model = WordModel.open(directory, found.words, n_classes)
        model.logits(directories.TEXTS)
        return model

    def wrong(self, number, name, files, found):
        content = json.loads(files["bertsent.json"])
        if found is None:
            return "words are ignored" if "words" in content else None
        if found.terms != files["words.txt"].decode().removesuffix("\n").split("\n"):
            return "other terms"
        if found.weight != content["words"]["weight"] or not 0 <= found.weight <= 1:
            return "another weight"
        header, values = parse_tensors(files["words.safetensors"])
        arrays = {"idf": found.idf, "coef": found.coef, "intercept": found.intercept}
        right = {key: values_of(header[key], values) for key in header}
        return Tensors.compare(self, arrays, right)


# --- runs -----------------------------------------------------------------------------------


class Checkpoint(ModelFile):
    """Checkpoints of runs, of training and of pretraining."""

    changed = r"step-\d+\.safetensors"

    def write(self, seeds):
        from bertsent.objectives import OBJECTIVES

        (self.objective, self.targets) = OBJECTIVES["single_label_classification"].learn(
            directories.LABELS, len(directories.LABELS)
        )
        old = Path(__file__).resolve().parent.parent / "data" / "saved_0_1" / "run"
        name = max(path.name for path in old.glob("step-*"))
        runs = [files_of(seeds.run), files_of(seeds.pretraining_run), files_of(old, name)]
        return [
            {name: content for name, content in run.items() if name == max(run)} for run in runs
        ]

    def read(self, directory, name):
        saved = Saved(directory / name)
        arrays = {key: saved.file.read(key) for key in saved.file.arrays}
        size = arrays["weights"].size
        state = State.fresh(type("Model", (), {"_flat": np.zeros(size, np.float32)}))
        if "examples.loss" in arrays:
            state.examples = ExampleHistory(
                self.objective, directories.TRAINING, self.targets, None, saved.run["epochs"],
            )
        order = arrays.get("order")
        texts = saved.state["position"] if order is None else len(order)
        saved.restore(state, np.zeros(size, np.float32), texts)
        return saved, arrays, state

    def wrong(self, number, name, files, found):
        saved, arrays, state = found
        content = files[name]
        end = 8 + int.from_bytes(content[:8], "little")
        header, values = json.loads(content[8:end]), content[end:]
        metadata = header["__metadata__"]
        record = json.loads(metadata["bertsent"])
        if saved.state != record["state"] or saved.run != record["run"]:
            return "another record"
        crc = metadata.get("crc32")
        if crc is not None and record["format"] == 2:
            blank = content[:end].replace(f'"crc32": "{crc}"'.encode(), b'"crc32": "00000000"')
            if f"{zlib.crc32(blank + values):08x}" != crc:
                return "the checksum is wrong"
        kinds = {"F32": "<f4", "I64": "<i8", "I32": "<i4"}
        header = entries_of(header)
        for key, entry in header.items():
            begin, stop = entry["data_offsets"]
            right = np.frombuffer(values[begin:stop], kinds[entry["dtype"]])
            if not np.array_equal(arrays[key], right, equal_nan=right.dtype.kind == "f"):
                return f"{key} has other values"
        if arrays.keys() != header.keys() or state.step != record["state"]["step"]:
            return "other arrays or another step"
        return None


class Array(ModelFile):
    """Arrays of NumPy, such as ``training_texts.npy``."""

    changed = r".*\.npy"

    def write(self, seeds):
        variants = []
        draw = np.random.default_rng(0)
        for array in (draw.integers(0, 2**63, 12, np.uint64), draw.normal(size=(3, 4)),
                      draw.normal(size=5).astype(np.float32), np.empty(0, np.int64)):
            file = io.BytesIO()
            np.save(file, array)
            variants.append({"training_texts.npy": file.getvalue()})
        self.wanted = [(("<u8",), 1), (("<f8", "<f4"), 2), (("<f4",), 1), (("<i8", "<u8"), 1)]
        return variants

    def read(self, directory, name):
        path = directory / name
        with open(path, "rb") as file:
            number = int(directory.name.rpartition("-")[2])
            return read_array(file, path.stat().st_size, path, *self.wanted[number])

    def wrong(self, number, name, files, found):
        right = np.load(io.BytesIO(files[name]), allow_pickle=False)
        dtypes, ndim = self.wanted[number]
        if found.dtype.str not in dtypes or found.ndim != ndim:
            return f"type {found.dtype} and {found.ndim} dimensions"
        if right.dtype != found.dtype or right.shape != found.shape or (
            right.tobytes() != found.tobytes()
        ):
            return "not what NumPy reads"
        return None


class History(ModelFile):
    """``example_history.npz``."""

    changed = r"example_history\.npz"

    def write(self, seeds):
        from bertsent.objectives import OBJECTIVES

        self.objective = OBJECTIVES["single_label_classification"].learn(
            directories.LABELS, len(directories.LABELS)
        )[0]
        return [files_of(seeds.classifier, "example_history.npz")]

    def read(self, directory, name):
        history = ExampleHistory.load(directory / name, self.objective)
        history.table()
        return history

    def wrong(self, number, name, files, found):
        right = np.load(io.BytesIO(files[name]), allow_pickle=False)
        ours = {"hashes": found.hashes, "labels": found.targets, "trained": found.trained,
                **found.values}
        for key, value in ours.items():
            try:
                array = right[key]
            except zipfile.BadZipFile as error:
                return f"NumPy does not read {key}: {error}"
            if array.dtype != value.dtype or array.tobytes() != value.tobytes():
                return f"{key} is not what NumPy reads"
        return None


KINDS = {
    "tokenizer.json": TokenizerJson,
    "tokenizer_config.json": TokenizerConfig,
    "vocab.txt": Vocabulary,
    "byte-level": ByteLevel,
    "merges.txt": Merges,
    "config.json": Config,
    "bertsent.json": Settings,
    "safetensors": Tensors,
    "shards": Shards,
    "int8": Int8,
    "member": Member,
    "words": Words,
    "checkpoint": Checkpoint,
    "npy": Array,
    "npz": History,
}
