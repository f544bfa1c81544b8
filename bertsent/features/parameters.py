"""The parameters of `BertEncoder`: many are those of `BertClassifier`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bertsent.classifier import FLAG, PARAMETERS, Parameter, either, one_of, path, whole
from bertsent.model import INFERENCE
from bertsent.wording import spell

_SHARED = {parameter.name: parameter for parameter in PARAMETERS}

ENCODING = (
    replace(
        _SHARED["model"],
        help='model that computes the vectors: "minilm", "mpnet", a Hugging Face hub id such as '
        "bert-base-uncased, or a directory, also that of a saved classifier",
        brief="model that computes the vectors",
    ),
    Parameter(
        "pooling", one_of("auto", "mean", "cls"), "auto",
        "what a vector is of the last layer: the mean over all tokens (mean) or the output for "
        "[CLS] (cls); auto is the one that the model was trained with, otherwise mean"),
    replace(
        _SHARED["max_length"],
        help="tokens that the model reads at once, including [CLS] and [SEP]; long_text says what "
        'happens to longer texts; "auto" is 256, or less for a model that was trained so'),
    replace(
        _SHARED["long_text"], default="windows",
        help="what is read of a text longer than max_length: all of it, in windows; its beginning "
        "(head); its end (tail); or both (head+tail)"),
    _SHARED["stride"],
    Parameter(
        "normalize", FLAG, True, "scale each vector to length 1",
        on_command_line=False),  # its flag is --no-normalize
    Parameter(
        "truncate_dim", either(None, whole(1)), None,
        "keep only so many of the first dimensions, for models that were trained for it", "N"),
    _SHARED["strip_html"],
    Parameter(
        "precision", one_of(*INFERENCE), "auto",
        'precision to compute in, float32, bfloat16 or int8; "auto" is bfloat16 where the '
        "processor is faster in it, otherwise float32", "PRECISION"),
    Parameter(
        "cache", either(None, path("the name of a file", "FILE")), None,
        "file in which vectors are kept, so that no text is computed twice"),
    _SHARED["n_threads"],
    _SHARED["memory_limit"],
    replace(
        _SHARED["verbose"], default=0, help="0: print nothing, 1: print the progress"),
)


def check_encoding(values: Mapping[str, Any]) -> None:
    """Check a dictionary of all parameters; errors name the allowed values."""
    for parameter in ENCODING:
        parameter.check(values[parameter.name])
    stride, max_length = values["stride"], values["max_length"]
    if not stride:
        return
    from bertsent.texts import AUTO_LENGTH  # late, because it loads NumPy

    if values["long_text"] != "windows":
        raise ValueError(
            f"{spell('stride', stride)} needs {spell('long_text', 'windows')}, not "
            f"{spell('long_text', values['long_text'])}"
        )
    most = (AUTO_LENGTH if isinstance(max_length, str) else max_length) - 3
    if stride > most:
        raise ValueError(
            f"{spell('stride', stride)} leaves no room for new tokens in windows of "
            f"{spell('max_length', max_length)}; expected at most {most}"
        )
