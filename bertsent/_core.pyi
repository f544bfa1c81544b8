# The C engine. Arrays are C-contiguous. T tokens, B sequences, N texts (B, or fewer with windows),
# C outputs of the head, H hidden size, L layers.

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypedDict, final

import numpy as np
import numpy.typing as npt

_Float32: TypeAlias = npt.NDArray[np.float32]
_Int32: TypeAlias = npt.NDArray[np.int32]
_Int64: TypeAlias = npt.NDArray[np.int64]
_UInt64: TypeAlias = npt.NDArray[np.uint64]

_Config: TypeAlias = Mapping[str, Any]
_Parameter: TypeAlias = tuple[str, tuple[int] | tuple[int, int], int, int, bool]
_Windows: TypeAlias = tuple[_Int64, _Float32]
_Teacher: TypeAlias = tuple[_Float32, float, float]
_Stored: TypeAlias = tuple[_Float32 | npt.NDArray[np.uint16], _Int64]
_AddedToken: TypeAlias = tuple[str, int, bool, bool, bool, bool, bool]

class _InstructionSet(TypedDict):
    name: str
    architecture: str
    available: bool
    features: list[str]
    capabilities: list[str]
    scanner: str

class _OperandLayout(TypedDict):
    columns: int
    int8_elements: int
    fp32_parts: int

_Texts: TypeAlias = Sequence[str] | ArrowTexts

# --- what the engine is and can do -----------------------------------------------------------

def isa() -> str: ...
def isa_list() -> list[str]: ...
def isa_table() -> list[_InstructionSet]: ...
def activations() -> list[str]: ...
def blas_info() -> str: ...
def precisions() -> list[str]: ...
def preferred_precision() -> str: ...
def loss_names() -> list[str]: ...
def parameter_table(config: _Config, /) -> tuple[int, list[_Parameter]]: ...
def trained_from(config: _Config, freeze: int) -> int: ...
def arrow_texts(first: object, second: object = None, /) -> ArrowTexts | None: ...

# --- for the tests of the kernels ------------------------------------------------------------

def kernel_names() -> list[str]: ...
def kernel_entries(isa: str, /) -> dict[str, bool]: ...
def operand_layout(isa: str, /) -> _OperandLayout: ...
def kernel_call(name: str, isa: str, /, *arguments: Any) -> Any: ...

# --- types -----------------------------------------------------------------------------------

@final
class ArrowTexts:
    def __len__(self) -> int: ...
    def first_missing(self) -> int | None: ...

@final
class Model:
    def __new__(cls, config: _Config, params: _Float32) -> Model: ...
    @property
    def params(self) -> _Float32: ...
    @property
    def reserved(self) -> int: ...
    @property
    def allocations(self) -> int: ...
    def score(
        self,
        ids: _Int32,
        types: _Int32 | None,
        positions: _Int32 | None,
        cu_seqlens: _Int64,
        *,
        n_threads: int = 1,
        chunk_tokens: int = 0,
        precision: str = "float32",
        pooled: _Float32 | None = None,
    ) -> _Float32: ...
    def attribute(
        self,
        ids: _Int32,
        types: _Int32 | None,
        positions: _Int32 | None,
        cu_seqlens: _Int64,
        baseline: _Int32,
        along: _Float32,
        weights: _Float32,
        *,
        n_threads: int = 1,
        chunk_tokens: int = 0,
        precision: str = "float32",
        gradients: _Float32 | None = None,
    ) -> tuple[_Float32, _Float32]: ...
    def pass_size(
        self,
        cu_seqlens: _Int64,
        *,
        freeze: int = 0,
        keep: bool = True,
        n_threads: int = 1,
        precision: str = "float32",
        stored: bool = False,
    ) -> int: ...
    def part_tokens(self, precision: str, /) -> tuple[int, int]: ...
    def packed_size(self, precision: str, *, backward: bool = False) -> int: ...
    def forward_backward(
        self,
        ids: _Int32,
        types: _Int32 | None,
        positions: _Int32 | None,
        cu_seqlens: _Int64,
        keys: _UInt64 | None,
        targets: _Int32 | _Float32,
        weights: _Float32 | None,
        grads: _Float32,
        *,
        freeze: int = 0,
        training: bool = False,
        seed: int = 0,
        step: int = 0,
        n_threads: int = 1,
        micro_batch_tokens: int = 0,
        precision: str = "float32",
        label_smoothing: float = 0.0,
        freeze_dropout: bool = False,
        windows: _Windows | None = None,
        stored: _Stored | None = None,
        loss: str = "cross_entropy",
        positive_weights: _Float32 | None = None,
        teacher: _Teacher | None = None,
        temperature: float = 0.0,
    ) -> tuple[float, _Float32]: ...
    def frozen_rows(
        self,
        ids: _Int32,
        types: _Int32 | None,
        positions: _Int32 | None,
        cu_seqlens: _Int64,
        layer: int,
        rows: _Float32,
        *,
        n_threads: int = 1,
        micro_batch_tokens: int = 0,
        precision: str = "float32",
    ) -> None: ...
    def train_step(
        self,
        ids: _Int32,
        types: _Int32 | None,
        positions: _Int32 | None,
        cu_seqlens: _Int64,
        keys: _UInt64 | None,
        targets: _Int32 | _Float32,
        weights: _Float32 | None,
        grads: _Float32,
        exp_avg: _Float32,
        exp_avg_sq: _Float32,
        *,
        freeze: int = 0,
        training: bool = True,
        seed: int = 0,
        step: int = 0,
        lr: float = 0.0,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        max_grad_norm: float = 0.0,
        n_threads: int = 1,
        micro_batch_tokens: int = 0,
        precision: str = "float32",
        label_smoothing: float = 0.0,
        rates: _Float32 | None = None,
        freeze_dropout: bool = False,
        windows: _Windows | None = None,
        stored: _Stored | None = None,
        loss: str = "cross_entropy",
        positive_weights: _Float32 | None = None,
        teacher: _Teacher | None = None,
        temperature: float = 0.0,
    ) -> tuple[float, _Float32, float]: ...
    def apply(
        self,
        grads: _Float32,
        exp_avg: _Float32,
        exp_avg_sq: _Float32,
        *,
        freeze: int = 0,
        step: int = 0,
        lr: float = 0.0,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        max_grad_norm: float = 0.0,
        n_threads: int = 1,
        rates: _Float32 | None = None,
    ) -> float: ...
    def time_stages(self, on: bool, /) -> dict[str, float] | None: ...
    def mlm_loss(
        self,
        ids: _Int32,
        types: _Int32 | None,
        positions: _Int32 | None,
        cu_seqlens: _Int64,
        keys: _UInt64 | None,
        tokens: _Int64,
        labels: _Int32,
        grads: _Float32 | None = None,
        *,
        freeze: int = 0,
        training: bool = False,
        seed: int = 0,
        step: int = 0,
        n_threads: int = 1,
        micro_batch_tokens: int = 0,
        precision: str = "float32",
    ) -> tuple[float, int]: ...
    def mlm_train_step(
        self,
        ids: _Int32,
        types: _Int32 | None,
        positions: _Int32 | None,
        cu_seqlens: _Int64,
        keys: _UInt64 | None,
        tokens: _Int64,
        labels: _Int32,
        grads: _Float32,
        exp_avg: _Float32,
        exp_avg_sq: _Float32,
        *,
        freeze: int = 0,
        training: bool = True,
        seed: int = 0,
        step: int = 0,
        lr: float = 0.0,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        max_grad_norm: float = 0.0,
        n_threads: int = 1,
        micro_batch_tokens: int = 0,
        precision: str = "float32",
        rates: _Float32 | None = None,
    ) -> tuple[float, int, float]: ...
    def touch(self) -> None: ...
    def copy_settled(
        self, sources: tuple[_Float32, ...], targets: tuple[_Float32, ...], /
    ) -> int: ...

@final
class Session:
    def __new__(cls, model: Model, n_threads: int = 1) -> Session: ...
    def forward(
        self,
        ids: _Int32,
        types: _Int32 | None,
        positions: _Int32 | None,
        cu_seqlens: _Int64,
        keys: _UInt64 | None,
        *,
        freeze: int = 0,
        training: bool = False,
        seed: int = 0,
        step: int = 0,
        precision: str = "float32",
    ) -> _Float32: ...
    def backward(self, d_logits: _Float32, grads: _Float32, /) -> None: ...

@final
class ByteLevelTokenizer:
    def __init__(
        self,
        vocab: Sequence[str | None],
        merges: Sequence[str],
        *,
        cls_id: int = -1,
        sep_id: int = -1,
        add_prefix_space: bool = False,
        trim_offsets: bool = True,
        added: Sequence[_AddedToken] = (),
        pair_separators: int = 1,
    ) -> None: ...
    def encode_batch(
        self,
        texts: _Texts,
        max_length: int = 0,
        n_threads: int = 1,
        add_special: bool = True,
        plain_specials: bool = False,
        seconds: _Texts | None = None,
        which: int = 0,
        form: int = 0,
        spans: bool = False,
        stride: int = 0,
    ) -> tuple[
        _Int32, _Int64, npt.NDArray[np.bool_], _Int64 | None, _Int64 | None, _Int64 | None
    ]: ...

@final
class Tokenizer:
    def __init__(
        self,
        vocab: Sequence[str | None],
        *,
        unk_id: int = -1,
        cls_id: int = -1,
        sep_id: int = -1,
        clean_text: bool = True,
        lowercase: bool = True,
        strip_accents: bool = True,
        tokenize_chinese_chars: bool = True,
        max_word_chars: int = 100,
        prefix: str = "##",
        added: Sequence[_AddedToken] = (),
        pair_separators: int = 1,
        trim_offsets: bool = False,
    ) -> None: ...
    def encode_batch(
        self,
        texts: _Texts,
        max_length: int = 0,
        n_threads: int = 1,
        add_special: bool = True,
        plain_specials: bool = False,
        seconds: _Texts | None = None,
        which: int = 0,
        form: int = 0,
        spans: bool = False,
        stride: int = 0,
    ) -> tuple[
        _Int32, _Int64, npt.NDArray[np.bool_], _Int64 | None, _Int64 | None, _Int64 | None
    ]: ...
    def normalize(self, text: str, /) -> str: ...
