"""Say what differs between two versions of a file, and whether that may change the result."""

import io
import json
import zipfile
from fnmatch import fnmatchcase

# Targets, files and places in which a change may change the result. What is not here, such as the
# history of training or the size of padding, must not.
_EXPECTED = (
    # Weights. Two tensors of one shape can change places.
    ("*", "*.safetensors", ("values", "header.*.data_offsets[[]]", "header.* (there or not)",
                            "header (order)")),
    ("*", "*.index.json", ("weight_map.*",)),
    # The name of a class, and what is computed with the weights.
    ("*", "config.json", ("id2label*", "num_attention_heads", "hidden_act", "layer_norm_eps",
                          "classifier_pooling", "pooling")),
    ("encoder", "config.json", ("*dropout*", "initializer_range*", "pad_token_id*")),
    ("pretrained", "config.json", ("*dropout*", "initializer_range*", "pad_token_id*")),
    # How texts are read, and what the classes are.
    ("*", "bertsent.json", (
        "parameters.max_length*", "parameters.long_text*", "parameters.stride*",
        "parameters.inference_*", "parameters.strip_html*", "parameters.members*", "labels.*",
    )),
    ("*", "tokenizer.json", ("added_tokens*", "model.*", "normalizer*", "post_processor.*",
                             "(missing)")),
    ("*", "tokenizer_config.json", (
        "*_token*", "do_lower_case*", "strip_accents*", "tokenize_chinese_chars*",
        "added_tokens_decoder*", "additional_special_tokens*", "extra_special_tokens*",
        "model_max_length*", "tokenizer_class*", "(missing)",
    )),
    ("*", "special_tokens_map.json", ("*_token*", "(missing)")),
    ("*", "added_tokens.json", ("*", "(missing)")),
    ("*", "vocab.txt", ("lines",)),
    # Numbers that a run recorded, with the checksum that belongs to them.
    ("run", "step-*", ("header.__metadata__.bertsent.state.*",)),
    # What is known of the texts of training.
    ("*", "training_texts.npy", ("bytes", "(missing)")),
    ("*", "example_history.npz", ("*.npy", "(missing)")),
)


def is_expected(target, file, place):
    """Return whether a change in some place of a file may change the result."""
    if place in ("(directory)", "(pipe)", "(loop)", "(large)"):
        return False
    return any(
        fnmatchcase(target, targets) and fnmatchcase(file, files)
        and any(fnmatchcase(place, pattern) for pattern in places)
        for targets, files, places in _EXPECTED
    )


def differences(name, old, new):
    """Return the places in which two contents of a file differ.

    Parameters
    ----------
    name : str
        Name of the file, whose extension says what it contains.
    old, new : bytes

    Returns
    -------
    set of str
        Such as ``parameters.max_length`` in a JSON file. Numbers of items are left out.
    """
    try:
        one, other = _content(name, old), _content(name, new)
    except Exception:  # what libraries raise for damaged files
        return {"structure"}
    return set(_compare(one, other, ""))


def _content(name, data):
    if name.endswith(".json"):
        return json.loads(data)
    if name.endswith(".safetensors"):
        end = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:end])
        record = header.get("__metadata__", {})
        if name.startswith("step-"):
            record["bertsent"] = json.loads(record["bertsent"])
            record.pop("crc32")
        return {"header": header, "values": data[end:]}
    if name.endswith(".npz"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {entry: archive.read(entry) for entry in archive.namelist()}
    if name.endswith(".txt"):
        return {"lines": data}
    return {"bytes": data}


def _compare(one, other, place):
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys([*one, *other]):
            inner = f"{place}.{key}" if place else key
            if key not in one or key not in other:
                yield f"{inner} (there or not)"
            else:
                yield from _compare(one[key], other[key], inner)
        if list(one) != list(other) and one == other:
            yield f"{place} (order)"
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for first, second in zip(one, other, strict=True):
            yield from _compare(first, second, place + "[]")
    elif one != other or type(one) is not type(other):
        yield place
