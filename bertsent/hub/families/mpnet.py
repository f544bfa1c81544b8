"""MPNet (Song et al. 2020), which includes all-mpnet-base-v2."""

from bertsent.hub.families.base import Family, Head

__all__ = ["MPNET"]

_LAYER = "mpnet.encoder.layer.{}."

MPNET = Family(
    model_type="mpnet",
    name="MPNet",
    examples=("all-mpnet-base-v2",),
    class_stem="MPNet",
    prefix="mpnet.",
    keys={
        "vocab_size": "vocab_size",
        "hidden_size": "hidden_size",
        "num_hidden_layers": "num_hidden_layers",
        "num_attention_heads": "num_attention_heads",
        "intermediate_size": "intermediate_size",
        "max_position_embeddings": "max_position_embeddings",
        "hidden_act": "hidden_act",
        "layer_norm_eps": "layer_norm_eps",
        "hidden_dropout_prob": "hidden_dropout_prob",
        "attention_probs_dropout_prob": "attention_probs_dropout_prob",
        "pooling": "classifier_pooling",
        "initializer_range": "initializer_range",
    },
    # As in MPNetConfig of transformers. The padding token is the same in all models.
    defaults={
        "type_vocab_size": 0,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "pooling": "cls",
        "initializer_range": 0.02,
        "pad_token_id": 1,
    },
    required={"relative_attention_num_buckets": 32, "pad_token_id": 1},
    relative_bias=True,
    encoder={
        "embeddings.word": "mpnet.embeddings.word_embeddings",
        "embeddings.position": "mpnet.embeddings.position_embeddings",
        "embeddings.norm": "mpnet.embeddings.LayerNorm",
        "embeddings.relative_bias": "mpnet.encoder.relative_attention_bias",
        "layer.{}.attention.query": _LAYER + "attention.attn.q",
        "layer.{}.attention.key": _LAYER + "attention.attn.k",
        "layer.{}.attention.value": _LAYER + "attention.attn.v",
        "layer.{}.attention.output": _LAYER + "attention.attn.o",
        "layer.{}.attention.norm": _LAYER + "attention.LayerNorm",
        "layer.{}.feed_forward.up": _LAYER + "intermediate.dense",
        "layer.{}.feed_forward.down": _LAYER + "output.dense",
        "layer.{}.feed_forward.norm": _LAYER + "output.LayerNorm",
    },
    classifier=Head(
        kind="dropout_dense_tanh",
        parts={
            "dense layer": {"head.dense": "classifier.dense"},
            "classifier": {"head.output": "classifier.out_proj"},
        },
    ),
    masked_lm=Head(
        kind="masked_lm",
        parts={
            "head for masked tokens": {
                "masked_lm.dense": "lm_head.dense",
                "masked_lm.norm": "lm_head.layer_norm",
                "masked_lm.output": "lm_head",
            },
        },
        tied="lm_head.decoder.weight",
        aliases={"lm_head.decoder.bias": "lm_head.bias"},
        activation="gelu",
    ),
    tokenizer_class="MPNetTokenizer",
    special_tokens={
        "unk": "[UNK]",
        "cls": "<s>",
        "sep": "</s>",
        "pad": "<pad>",
        "mask": "<mask>",
    },
    pair_separators=2,
    position_offset=2,
    ignored=("lm_head.", "mpnet.pooler.", "pooler."),
)
