#include "train/mlm_step.h"

#include <math.h>

#include "train/step.h"

/* The targets within the sequences [first, last), starting with target *at, which is advanced. */
static bs_mlm_targets slice(const bs_mlm_targets *t, const bs_batch *b, int64_t first,
                            int64_t last, int64_t *at)
{
    bs_mlm_targets part = {.tokens = t->tokens + *at, .labels = t->labels + *at,
                           .origin = bs_batch_begin(b, first)};
    while (*at < t->count && t->tokens[*at] < bs_batch_begin(b, last)) {
        part.count++;
        ++*at;
    }
    return part;
}

/* Reserves space for the largest micro-batch and its head, so that none of them allocates. */
static bs_status reserve(const bs_model *model, const bs_batch *batch,
                         const bs_mlm_targets *targets, const bs_pass_options *options,
                         int n_threads, bool backward, bs_arena *arena, bs_error *e)
{
    size_t most = 0;
    int64_t at = 0;
    for (int64_t first = 0, last; first < batch->n_sequences; first = last) {
        last = bs_micro_batch_end(batch, options, first);
        const bs_batch part = bs_batch_slice(batch, first, last);
        const bs_mlm_targets own = slice(targets, batch, first, last, &at);
        size_t size;
        if (__builtin_add_overflow(bs_pass_size(model, &part, options, true, n_threads),
                                   bs_mlm_size(model, options->precision, own.count, backward),
                                   &size))
            size = SIZE_MAX;
        most = size > most ? size : most;
    }
    return bs_arena_reserve(arena, most, e);
}

bs_status bs_mlm_loss_and_gradients(bs_model *model, const bs_batch *batch,
                                    const bs_mlm_targets *targets, const bs_pass_options *options,
                                    int n_threads, bs_arena *arena, float *gradients,
                                    bs_mlm_result *result, bs_error *e)
{
    bs_status status = BS_OK;
    int64_t at = 0;
    *result = (bs_mlm_result){0};
    status = bs_model_pack(model, options->precision, true, n_threads, e);
    if (status != BS_OK)
        goto done;
    status = bs_mlm_pack(model, options->precision, gradients != NULL, n_threads, e);
    if (status != BS_OK)
        goto done;
    bs_stage_mark(options->clock, BS_STAGE_PACK);
    status = reserve(model, batch, targets, options, n_threads, gradients != NULL, arena, e);
    if (status != BS_OK)
        goto done;
    if (gradients != NULL)
        bs_gradients_clear(model, options->freeze, gradients, n_threads);
    for (int64_t first = 0, last; first < batch->n_sequences; first = last) {
        bs_pass pass;
        last = bs_micro_batch_end(batch, options, first);
        const bs_batch part = bs_batch_slice(batch, first, last);
        const bs_mlm_targets own = slice(targets, batch, first, last, &at);
        if (own.count == 0)
            continue;
        status = bs_pass_begin(&pass, model, &part, options, true, n_threads, arena, e);
        if (status != BS_OK)
            goto done;
        bs_stage_mark(options->clock, BS_STAGE_OTHER);
        bs_pass_encode(&pass);
        bs_mlm_head(&pass, &own, targets->count, gradients, result);
        if (!isfinite(result->loss)) {
            status = bs_error_set(e, BS_ERR_NONFINITE, -1, "the loss is %g", result->loss);
            goto done;
        }
        if (gradients != NULL)
            bs_pass_encode_backward(&pass, gradients);
    }
done:
    return status;
}

bs_status bs_mlm_train_step(bs_model *model, const bs_batch *batch, const bs_mlm_targets *targets,
                            const bs_pass_options *options, const bs_adamw_options *adamw,
                            int n_threads, bs_arena *arena, float *gradients, float *exp_avg,
                            float *exp_avg_sq, bs_mlm_result *result, double *norm, bs_error *e)
{
    *norm = 0.0;
    const bs_status status = bs_mlm_loss_and_gradients(model, batch, targets, options, n_threads,
                                                       arena, gradients, result, e);
    if (status != BS_OK || targets->count == 0)
        return status;
    const bs_status applied =
        bs_optimizer_apply(model, options->freeze, gradients, exp_avg, exp_avg_sq, options->step,
                           adamw, n_threads, norm, e);
    bs_stage_mark(options->clock, BS_STAGE_OPTIMIZER);
    return applied;
}
