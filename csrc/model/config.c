#include "model/config.h"

#include <math.h>
#include <stddef.h>

/* Keeps products of two sizes, and the BLAS's 32-bit arguments, from overflowing. */
#define MAX_SIZE (INT64_C(1) << 24)
#define MAX_LAYERS 1024

bs_status bs_config_check(const bs_config *c, bs_error *e)
{
    const struct {
        const char *name;
        int64_t value, low, high;
    } sizes[] = {
        {"vocab_size", c->vocab_size, 1, MAX_SIZE},
        {"hidden_size", c->hidden_size, 1, 1 << 16},
        {"embedding_size", c->embedding_size, 1, 1 << 16},
        {"num_hidden_layers", c->num_layers, 1, MAX_LAYERS},
        {"num_attention_heads", c->num_heads, 1, 1 << 16},
        {"intermediate_size", c->intermediate_size, 1, 1 << 20},
        {"max_position_embeddings", c->max_positions, 1, MAX_SIZE},
        {"position_offset", c->position_offset, 0, MAX_SIZE},
        {"type_vocab_size", c->type_vocab_size, 0, MAX_SIZE},
        {"num_labels", c->num_labels, 1, 1 << 20},
    };
    const struct {
        const char *name;
        float value;
    } rates[] = {
        {"hidden_dropout_prob", c->hidden_dropout},
        {"attention_probs_dropout_prob", c->attention_dropout},
        {"attention_output_dropout_prob", c->attention_output_dropout},
        {"classifier_dropout", c->classifier_dropout},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].value < sizes[i].low || sizes[i].value > sizes[i].high)
            return bs_error_set(e, BS_ERR_VALUE, -1, "config: %s is %lld, expected %lld to %lld",
                                sizes[i].name, (long long)sizes[i].value, (long long)sizes[i].low,
                                (long long)sizes[i].high);
    if (c->pad_token_id < -1 || c->pad_token_id >= c->vocab_size)
        return bs_error_set(e, BS_ERR_VALUE, -1, "config: pad_token_id is %lld, expected -1 to %lld",
                            (long long)c->pad_token_id, (long long)c->vocab_size - 1);
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++)
        if (!(rates[i].value >= 0.0f && rates[i].value < 1.0f))
            return bs_error_set(e, BS_ERR_VALUE, -1, "config: %s is %g, expected 0 <= rate < 1",
                                rates[i].name, (double)rates[i].value);
    if (bs_predicts_masked(c) && bs_projects_embeddings(c))
        return bs_error_set(e, BS_ERR_VALUE, -1,
                            "config: embedding_size is %lld, but the head for masked tokens needs "
                            "that of hidden_size, %lld",
                            (long long)c->embedding_size, (long long)c->hidden_size);
    if (bs_returns_vectors(c) && c->num_labels != c->hidden_size)
        return bs_error_set(e, BS_ERR_VALUE, -1,
                            "config: num_labels is %lld, but vectors have hidden_size, %lld",
                            (long long)c->num_labels, (long long)c->hidden_size);
    if (c->skips_padding && c->position_offset == 0)
        return bs_error_set(e, BS_ERR_VALUE, -1,
                            "config: positions_skip_padding needs a position_offset of at least 1");
    if (c->hidden_size % c->num_heads != 0)
        return bs_error_set(e, BS_ERR_VALUE, -1,
                            "config: hidden_size %lld is not a multiple of num_attention_heads %lld",
                            (long long)c->hidden_size, (long long)c->num_heads);
    if (!(c->layer_norm_eps >= 0.0f) || !isfinite(c->layer_norm_eps))
        return bs_error_set(e, BS_ERR_VALUE, -1, "config: layer_norm_eps is %g, expected >= 0",
                            (double)c->layer_norm_eps);
    return BS_OK;
}
