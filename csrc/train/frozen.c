#include "train/frozen.h"

#include <string.h>

#include "train/step.h"

bs_status bs_frozen_rows(bs_model *model, const bs_batch *batch, int64_t layer,
                         const bs_pass_options *options, int n_threads, bs_arena *arena,
                         float *rows, bs_error *e)
{
    const int64_t H = model->config.hidden_size, L = model->config.num_layers;
    bs_pass_options all_frozen = *options; /* nothing is kept, dropout acts nowhere */
    all_frozen.freeze = L;
    all_frozen.training = false;
    bs_status status = bs_model_pack(model, options->precision, true, n_threads, e);
    for (int64_t first = 0, last; first < batch->n_sequences && status == BS_OK; first = last) {
        bs_pass pass;
        last = bs_micro_batch_end(batch, options, first);
        const bs_batch part = bs_batch_slice(batch, first, last);
        status = bs_pass_begin(&pass, model, &part, &all_frozen, true, n_threads, arena, e);
        if (status != BS_OK)
            break;
        const float *found = bs_pass_encode_until(&pass, layer);
        const int64_t at = layer < L ? bs_batch_begin(batch, first) : first;
        const int64_t n = layer < L ? part.n_tokens : part.n_sequences;
        memcpy(rows + at * H, found, (size_t)(n * H) * sizeof *rows);
    }
    return status;
}
