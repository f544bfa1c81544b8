"""Write golden.json: checksums of the ids that the `tokenizers` library gives the test material.

    python tests/data/tokenizer/make_golden.py [--minilm DIR --imdb FILE]
"""

import argparse
import json
from itertools import pairwise
from pathlib import Path

import material
import numpy as np
import tokenizers
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing


def reference(lowercase, strip_accents, chinese, added=()):
    """Make the library's tokenizer for the generated vocabulary."""
    vocab = {token: i for i, token in enumerate(material.made_vocabulary())}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=chinese, strip_accents=strip_accents,
        lowercase=lowercase,
    )  # fmt: skip
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(material.SPECIALS)
    tokenizer.add_tokens([AddedToken(**token) for token in added])
    return tokenizer


def encode(tokenizer, texts, special=False):
    """Return flat ids and offsets."""
    ids, lengths = [], [0]
    for i in range(0, len(texts), 10_000):
        for encoding in tokenizer.encode_batch_fast(
            texts[i : i + 10_000], add_special_tokens=special
        ):
            ids.extend(encoding.ids)
            lengths.append(len(encoding.ids))
    return np.array(ids, dtype=np.int32), np.cumsum(lengths)


def spans(tokenizer, texts, special=False):
    """Return the characters of all tokens and where those of each text begin."""
    flat, lengths = [np.empty((0, 2), dtype=np.int32)], [0]
    for i in range(0, len(texts), 10_000):
        for encoding in tokenizer.encode_batch(texts[i : i + 10_000], add_special_tokens=special):
            flat.append(np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2))
            lengths.append(len(encoding.ids))
    return np.concatenate(flat), np.cumsum(lengths)


def make_spans(mode):
    """Checksum the characters that tokens stand for, in one mode."""
    tokenizer = reference(*mode)
    sweep = dict(material.sweeps())[ascii(material.CONTEXTS[-1])]
    return {
        "sweep": material.block_checksums(*spans(tokenizer, sweep), material.BLOCK),
        "runs": material.block_checksums(*spans(tokenizer, material.mark_runs()), 100),
        "accents": material.block_checksums(*spans(tokenizer, material.accent_runs()), 100),
        "mixtures": material.block_checksums(*spans(tokenizer, material.mixtures()), 100),
        "texts": material.block_checksums(*spans(tokenizer, material.CASES + material.PROSE), 1),
    }


def make_pairs():
    """Checksum ids, types and spans of pairs, for each truncation; None if it is rejected."""
    tokenizer = reference(True, None, True)
    ends = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    pairs, lengths = material.pairs()
    result = {}
    for cut in material.CUTS:
        sums = []
        for i, pair in enumerate(pairs):
            strategy, side = (cut, "right") if cut != "tail" else ("longest_first", "left")
            tokenizer.enable_truncation(
                lengths[i % len(lengths)], strategy=strategy, direction=side
            )
            try:
                got = tokenizer.encode(*pair)
            except Exception as error:  # the library's error has no specific class
                assert "Truncation error" in str(error), error
                sums.append(None)
                continue
            table = np.column_stack([got.ids, got.type_ids, np.array(got.offsets)])
            sums.append(material.checksum(table, [0, len(got.ids)]))
        result[cut] = sums
    return result


def make_imdb(minilm, imdb):
    """Checksum the ids of all reviews, whole and truncated to 256 tokens."""
    import pandas as pd

    texts = pd.read_csv(imdb, keep_default_na=False).review.tolist()
    tokenizer = Tokenizer.from_file(str(Path(minilm, "tokenizer.json")))
    tokenizer.no_padding()
    result = {}
    for length in (None, 256):
        tokenizer.no_truncation()
        if length:
            tokenizer.enable_truncation(length)
        result[str(length)] = material.block_checksums(
            *encode(tokenizer, texts, special=True), 1000
        )
    tokenizer.no_truncation()
    result["spans"] = material.block_checksums(*spans(tokenizer, texts, special=True), 1000)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--minilm", help="directory of all-MiniLM-L6-v2")
    parser.add_argument("--imdb", help="CSV with the training reviews")
    args = parser.parse_args()
    target = Path(__file__).with_name("golden.json")
    golden = json.loads(target.read_text()) if target.exists() else {}
    golden["library"] = f"tokenizers {tokenizers.__version__}"
    golden["sweeps"], golden["runs"], golden["mixtures"], golden["texts"] = {}, {}, {}, {}
    for name, mode in material.MODES.items():
        tokenizer = reference(*mode)
        golden["sweeps"][name] = {
            context: material.block_checksums(*encode(tokenizer, texts), material.BLOCK)
            for context, texts in material.sweeps()
        }
        golden["runs"][name] = material.block_checksums(
            *encode(tokenizer, material.mark_runs()), 100
        )
        golden["mixtures"][name] = material.block_checksums(
            *encode(tokenizer, material.mixtures()), 100
        )
        ids, offsets = encode(tokenizer, material.CASES + material.PROSE)
        golden["texts"][name] = [
            material.checksum(ids[a:b], [a, b]) for a, b in pairwise(offsets)
        ]
    tokenizer = reference(True, None, True, material.added_tokens())
    golden["added"] = {
        "ids": [tokenizer.token_to_id(token["content"]) for token in material.added_tokens()],
        "checksums": material.block_checksums(*encode(tokenizer, material.added_texts()), 100),
    }
    golden["spans"] = {name: make_spans(mode) for name, mode in material.MODES.items()}
    golden["added"]["spans"] = material.block_checksums(
        *spans(tokenizer, material.added_texts()), 100
    )
    tokenizer = reference(True, None, True, material.spaced_tokens())
    golden["spaced"] = material.block_checksums(*spans(tokenizer, material.spaced_texts()), 100)
    golden["pairs"] = make_pairs()
    decoder = tokenizers.decoders.WordPiece()
    words = "[CLS] it ' s un ##afford ##able , do not ! n't ##".split()
    golden["decoded"] = {"tokens": words, "text": decoder.decode(words)}
    if args.minilm and args.imdb:
        golden["imdb"] = make_imdb(args.minilm, args.imdb)
    target.write_text(json.dumps(golden, separators=(",", ":"), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
