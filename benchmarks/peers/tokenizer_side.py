"""One side of ``tokenizer.py``: a process that encodes texts and reports the time.

    python tokenizer_side.py SIDE MODEL_DIR THREADS

Commands are lines of JSON on stdin; answers are written to stdout. Only the standard library is
imported before the side itself, so that its memory can be measured. Each side is used in its
fastest way; whatever is not timed is left out in its favour.
"""

import ctypes
import gc
import json
import os
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

UNLIMITED = 1 << 30


class Bertsent:
    """Returns the ids of all texts in one array."""

    def __init__(self, model, threads):
        import bertsent
        from bertsent import WordPieceTokenizer, _core
        from bertsent.tokenizer.files import read_tokenizer

        self.make, self.read = WordPieceTokenizer, read_tokenizer
        self.model, self.threads = model, threads
        self.version = f"{bertsent.__version__} ({_core.isa()})"

    def build(self):
        self.tokenizer = self.make.from_files(self.model)

    def vocabulary_build(self):
        _, settings = self.read(self.model)
        return lambda: self.make(**settings)

    def encode(self, texts, max_length):
        return self.tokenizer.encode_batch(
            texts, max_length=max_length, n_threads=self.threads
        )

    def rows(self, result):
        return [row.tolist() for row in self._split(result)]

    def _split(self, result):
        ends = result.offsets.tolist()
        return [result.ids[a:b] for a, b in zip(ends, ends[1:], strict=False)]


class Tokenizers:
    """Returns encodings without offsets. Converting each to a list of ids is not timed."""

    def __init__(self, model, threads):
        os.environ["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"
        os.environ["RAYON_NUM_THREADS"] = str(threads)
        import tokenizers

        self.library, self.file = tokenizers, str(Path(model, "tokenizer.json"))
        self.version = tokenizers.__version__

    def build(self):
        self.tokenizer = self.library.Tokenizer.from_file(self.file)
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.max_length = None

    def vocabulary_build(self):
        vocab = json.loads(Path(self.file).read_text(encoding="utf-8"))["model"]["vocab"]
        return lambda: self.library.BertWordPieceTokenizer(vocab)

    def encode(self, texts, max_length):
        if max_length != self.max_length:
            if max_length:
                self.tokenizer.enable_truncation(max_length)
            else:
                self.tokenizer.no_truncation()
            self.max_length = max_length
        return self.tokenizer.encode_batch_fast(texts)

    def rows(self, result):
        return [encoding.ids for encoding in result]


class Flash:
    """The compiled class without its Python wrapper, which would add masks.

    It uses max_length as its limit of characters per word. Without a max_length, it splits words
    that the others treat as unknown.
    """

    def __init__(self, model, threads):
        os.environ["OMP_NUM_THREADS"] = str(threads)
        from flash_tokenizer import _core

        self.make, self.file = _core.FlashBertTokenizer, str(Path(model, "vocab.txt"))
        self.parallel = threads > 1

    def build(self):
        try:
            self.tokenizer = self.make(self.file, True, UNLIMITED, True)
        except TypeError:  # Before 1.1.5, ideographs are always words.
            self.tokenizer = self.make(self.file, True, UNLIMITED)
        self.version = self.tokenizer.version()  # with its compiler

    def encode(self, texts, max_length):
        length = max_length or UNLIMITED
        return self.tokenizer.batch_encode(texts, "longest", length, self.parallel)

    def rows(self, result):
        return result


class BlingFire:
    """The C function without its wrapper, which creates a ctypes type for every length.

    It supports neither batches nor custom vocabularies: bert_base_tok.bin is that of
    bert-base-uncased. Threads are Python threads; calls release the GIL.
    """

    def __init__(self, model, threads):
        import blingfire
        import numpy

        self.numpy, self.threads = numpy, threads
        folder = Path(blingfire.__file__).parent
        self.file = folder / "bert_base_tok.bin"
        library = ctypes.CDLL(blingfire.blingfire._name)
        library.LoadModel.restype = ctypes.c_void_p
        library.LoadModel.argtypes = [ctypes.c_char_p]
        self.load, self.call = library.LoadModel, library.TextToIds
        self.call.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p,
                              ctypes.c_int, ctypes.c_int]  # fmt: skip
        from importlib.metadata import version

        self.version = version("blingfire")
        self.pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def build(self):
        self.handle = self.load(str(self.file).encode())
        if not self.handle:
            raise OSError(f"{self.file} cannot be loaded")

    def encode(self, texts, max_length):
        if self.pool is None or len(texts) == 1:
            return [self._part(texts, max_length)]
        step = max(1, len(texts) // (8 * self.threads))
        parts = [texts[i : i + step] for i in range(0, len(texts), step)]
        return list(self.pool.map(lambda part: self._part(part, max_length), parts))

    def _part(self, texts, max_length):
        data = [text.encode() for text in texts]
        room = sum(map(len, data)) + len(data)
        ids = self.numpy.empty(room, self.numpy.int32)
        start, at, ends = ids.ctypes.data, 0, [0]
        call, handle, most = self.call, self.handle, max_length - 2 if max_length else UNLIMITED
        for item in data:
            size = len(item)
            at += call(handle, item, size, start + 4 * at, size if size < most else most, 100)
            ends.append(at)
        return ids[:at], ends

    def rows(self, result):
        return [
            [101, *ids[a:b].tolist(), 102]
            for ids, ends in result for a, b in zip(ends, ends[1:], strict=False)
        ]  # fmt: skip


SIDES = {"bertsent": Bertsent, "tokenizers": Tokenizers, "flash-tokenizer": Flash,
         "blingfire": BlingFire}  # fmt: skip


def resident():
    """Return the resident set and its peak so far, in MB (10**6 bytes); None if unknown."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return {"now": None, "peak": None}
    value = {k: int(v.split()[0]) * 1024 / 1e6 for k, v in
             (line.split(":") for line in lines if line.startswith(("VmRSS", "VmHWM")))}
    return {"now": value["VmRSS"], "peak": value["VmHWM"]}


def forget_peak():
    """Let the largest resident set begin anew, where the system can."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass


def timed(call):
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return time.perf_counter() - wall, time.process_time() - cpu, result


class Session:
    """What the commands do; each returns what is answered."""

    def __init__(self, name, model, threads):
        self.name, self.model, self.threads = name, model, threads
        self.turn = 0

    def start(self):
        """Import and build, with the memory that each takes."""
        bare = resident()["now"]
        self.side = SIDES[self.name](self.model, self.threads)
        imported = resident()["now"]
        wall, cpu, _ = timed(self.side.build)
        return {"version": self.side.version, "bare": bare, "imported": imported,
                "built": resident()["now"], "wall": wall, "cpu": cpu}  # fmt: skip

    def builds(self):
        """Times of building, from files and from a vocabulary in memory."""
        wall, cpu, _ = timed(self.side.build)
        answer = {"files": [wall, cpu]}
        make = getattr(self.side, "vocabulary_build", None)
        if make:
            call = make()
            wall, cpu, made = timed(call)
            answer["vocabulary"] = [wall, cpu]
            del made
        return answer

    def load(self, file):
        self.variants = json.loads(Path(file).read_text(encoding="utf-8"))
        self.turn = 0
        gc.collect()
        forget_peak()
        return {"memory": resident()}

    def run(self, max_length=None, least=0.0):
        """Seconds of a call; of several where one is shorter than `least`."""
        wall = cpu = calls = 0
        while not calls or wall < least:
            texts = self.variants[self.turn % len(self.variants)]
            self.turn += 1
            w, c, result = timed(lambda texts=texts: self.side.encode(texts, max_length))
            wall, cpu, calls = wall + w, cpu + c, calls + 1
            del result
        return {"wall": wall / calls, "cpu": cpu / calls, "calls": calls}

    def memory(self):
        return resident()

    def ids(self, file, max_length=None):
        """Write the ids of the first variant to a file."""
        import numpy as np

        rows = self.side.rows(self.side.encode(self.variants[0], max_length))
        offsets = np.cumsum([0, *map(len, rows)])
        flat = np.fromiter((i for row in rows for i in row), np.int64, int(offsets[-1]))
        np.savez(file, ids=flat, offsets=offsets)
        return {}


def main():
    # A library that prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    session = Session(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    gc.disable()  # Lists of millions of ids would have it run all the time.
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = getattr(session, command.pop("do"))(**command)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"[:500]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
