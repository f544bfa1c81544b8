"""Which tests concern a file: the first pattern that matches it counts. The fastest come first."""

# Not mutated: generated tables, code that only AMX executes, and the calls for tests.
SKIPPED = (
    "csrc/*/unicode_tables.*", "csrc/core/isa_rows.*", "csrc/tokenizer/generate_tables.py",
    "csrc/kernels/amx.h", "csrc/kernels/parts.h", "csrc/kernels/kernels_amx.c",
    "csrc/python/testing/*", "csrc/core/cpu.*", "build/*",
)


def _files(names):
    """Return the paths of test files."""
    return " ".join(name if "::" in name else f"tests/test_{name}.py" for name in names.split())


_TOKENIZER = (
    "tokenizer tokenizer_vocabulary byte_level tokenizer_pairs tokenizer_arrow tokenizer_windows "
    "allocation_failures tokenizer_exact"
)
_MODEL = "losses heads golden stored_rows masked_lm precision model allocation_failures"

C = {
    # The engine.
    "csrc/core/pool.*": _files("core determinism interrupted_calls"),
    "csrc/core/fair_lock.*": _files("core shared_model"),
    "csrc/core/isa.*": _files("isa kernels_bf16"),
    "csrc/core/*": _files("isa heads gradients masking fuzz_core allocation_failures"),
    "csrc/kernels/*": _files(
        "kernels_bf16 kernels_into kernels kernels_packed kernels_gemm heads golden"
    ),
    "csrc/tokenizer/arrow*": _files("tokenizer_arrow allocation_failures columns"),
    "csrc/tokenizer/bpe*": _files("byte_level allocation_failures"),
    "csrc/tokenizer/bytelevel.*": _files("byte_level allocation_failures"),
    "csrc/tokenizer/*": _files(_TOKENIZER),
    "csrc/model/*mlm*": _files("masked_lm fuzz_core allocation_failures golden"),
    "csrc/model/attribution.*": _files("attribution allocation_failures"),
    "csrc/model/relative.*": _files("golden family_models heads"),
    "csrc/model/*": _files(_MODEL),
    "csrc/train/*": _files(_MODEL),
    "csrc/python/py_attribution.*": _files("attribution core_stub fuzz_core"),
    "csrc/python/py_tokenizer.*": _files(_TOKENIZER),
    "csrc/python/py_arrow.*": _files("tokenizer_arrow allocation_failures columns"),
    "csrc/python/*": _files(_MODEL + " isa core_stub tokenizer shared_model interrupted_calls"),
}

_CHECKPOINTS = "saved_0_1 damaged_checkpoints runs fuzz_directories"

PYTHON = {
    "bertsent/files/fields.py": _files("fields checkpoint"),
    "bertsent/files/arrays.py": _files("fields checkpoint fuzz_readers"),
    "bertsent/files/atomic.py": _files("files replaced written_files"),
    "bertsent/files/held.py": _files("replaced checkpoint directories untrusted_models"),
    "bertsent/files/stream.py": _files("stream cli_streams"),
    "bertsent/files/batches.py": _files("stream sources"),
    "bertsent/files/writers.py": _files("written_files stream"),
    "bertsent/files/encodings.py": _files("encodings data dialects fuzz_readers"),
    "bertsent/files/sources.py": _files("sources data paths"),
    "bertsent/files/folders.py": _files("sources paths"),
    "bertsent/files/compression.py": _files("sources bounded_reading written_files fuzz_readers"),
    "bertsent/files/parquet.py": _files("sources written_files bounded_reading fuzz_readers"),
    "bertsent/files/excel.py": _files("sources bounded_reading written_files fuzz_readers"),
    "bertsent/files/limits.py": _files("bounded_reading sources data"),
    "bertsent/files/delimited.py": _files("dialects data encodings sources fuzz_readers"),
    "bertsent/files/dialect.py": _files("dialects data sources fuzz_readers"),
    "bertsent/files/json_rows.py": _files("data sources bounded_reading stream fuzz_readers"),
    "bertsent/files/*": _files(
        "data encodings dialects sources bounded_reading written_files stream fuzz_readers"
    ),
    "bertsent/hub/int8.py": _files("int8_files"),
    "bertsent/hub/families/*": _files("families family_models"),
    "bertsent/hub/*": _files(
        "checkpoint hub families directories untrusted_models inspect fields int8_files "
        "fuzz_directories"
    ),
    "bertsent/classifier/words.py": _files("words fuzz_readers"),
    "bertsent/tokenizer/*": _files(
        "tokenizer tokenizer_vocabulary tokenizer_model tokenizer_pairs tokenizer_windows "
        "tokenizer_files byte_level checkpoint families fields"
    ),
    "bertsent/training/checkpoint*.py": _files(_CHECKPOINTS),
    "bertsent/training/saved_state.py": _files(_CHECKPOINTS),
    "bertsent/training/state.py": _files(_CHECKPOINTS),
}
