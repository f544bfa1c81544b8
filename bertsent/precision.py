"""What the encoder computes in: what "auto" comes to, and what a machine cannot do."""

TRAINING = ("auto", "float32", "bfloat16")
INFERENCE = ("auto", "float32", "bfloat16", "int8")
PRECISIONS = ("precision", "inference_precision")


def resolve_precision(value, name):
    """The precision to compute in.

    Parameters
    ----------
    value : {"auto", "float32", "bfloat16", "int8"}
        "auto" is bfloat16 where the processor is faster in it than in float32, else float32.
        Never int8, which costs accuracy.
    name : str
        What to call the parameter in errors.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        This machine does not compute in that precision.
    """
    from bertsent import _core

    if value == "auto":
        return _core.preferred_precision()
    if value not in _core.precisions():
        raise ValueError(
            f"{name}={value!r} needs a processor with AVX512-BF16 or AMX, which the instruction "
            f"set in use ({_core.isa()}) does not have; use 'auto', which takes bfloat16 only "
            "where that is faster, or 'float32'"
        )
    return str(value)


def go_on_in(value, name, begun):
    """`resolve_precision` for a run that was begun in another one, or None.

    "auto" stays with that if this machine can: what is faster here may be something else.
    """
    from bertsent import _core

    if value == "auto" and begun in _core.precisions():
        return begun
    return resolve_precision(value, name)


def check_inference(value):
    """Raise a ValueError if `inference_precision` cannot have this value."""
    if not isinstance(value, str) or value not in INFERENCE:
        raise ValueError(
            f"inference_precision={value!r} is not allowed; expected one of {', '.join(INFERENCE)}"
        )
    return str(value)
