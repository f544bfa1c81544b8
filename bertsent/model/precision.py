from bertsent.wording import spell

"""The precision of the encoder: what "auto" means, and what this machine supports."""

TRAINING = ("auto", "float32", "bfloat16")
INFERENCE = ("auto", "float32", "bfloat16", "int8")
PRECISIONS = ("precision", "inference_precision")


def resolve_precision(value: str, name: str) -> str:
    """Return the precision to compute in.

    Parameters
    ----------
    value : {"auto", "float32", "bfloat16", "int8"}
        "auto" is bfloat16 where the processor is faster in it than in float32, and float32
        elsewhere. It is never int8, which costs accuracy.
    name : str
        Name of the parameter in error messages.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        This machine does not support that precision.
    """
    from bertsent import _core

    if value == "auto":
        return _core.preferred_precision()
    if value not in _core.precisions():
        raise ValueError(
            f"{spell(name, value)} needs a processor with AVX512-BF16 or AMX, which the "
            f"instruction set in use ({_core.isa()}) does not have; use 'auto', which is bfloat16 "
            "only where that is faster, or 'float32'"
        )
    return str(value)


def go_on_in(value: str, name: str, begun: str | None) -> str:
    """Return `resolve_precision` for a resumed run.

    With "auto", the run keeps the precision `begun` if this machine supports it, even if another
    one is faster here. `begun` is None for a new run.
    """
    from bertsent import _core

    if value == "auto" and begun in _core.precisions():
        return begun
    return resolve_precision(value, name)


def check_inference(value: object) -> str:
    """Return a valid value of `inference_precision` as a str, or raise a ValueError."""
    if not isinstance(value, str) or value not in INFERENCE:
        raise ValueError(
            f"{spell('inference_precision', value)} is not allowed; "
            f"expected one of {', '.join(INFERENCE)}"
        )
    return str(value)
