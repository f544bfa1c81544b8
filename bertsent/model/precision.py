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
    require_precision(
        value, spell(name, value), "use 'auto', which is bfloat16 only where that is faster, or "
        "'float32'",
    )
    return str(value)


def require_precision(value: str | None, subject: str, advice: str) -> None:
    """Raise a ValueError if this machine does not support a precision; None is always supported.

    Parameters
    ----------
    value : {"float32", "bfloat16", "int8"} or None
    subject, advice : str
        How the message begins, and what it says to do.
    """
    from bertsent import _core

    if value is not None and value not in _core.precisions():
        raise ValueError(
            f"{subject} needs a processor with AVX512-BF16 or AMX, which the instruction set in "
            f"use ({_core.isa()}) does not have; {advice}"
        )


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
