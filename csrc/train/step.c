#include "train/step.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/loss.h"

bs_status bs_targets_check(const bs_targets *t, int64_t B, const bs_config *c, bs_error *e)
{
    if (!(t->label_smoothing >= 0.0f && t->label_smoothing < 1.0f))
        return bs_error_set(e, BS_ERR_VALUE, -1,
                            "label_smoothing is %g, expected a number from 0 to below 1",
                            (double)t->label_smoothing);
    for (int64_t i = 0; i < B; i++) {
        if (t->labels[i] < 0 || t->labels[i] >= c->num_labels)
            return bs_error_set(e, BS_ERR_INDEX, i,
                                "row %lld: label %d is out of range, expected 0 to %lld",
                                (long long)i, (int)t->labels[i], (long long)c->num_labels - 1);
        if (t->weights != NULL && !(t->weights[i] >= 0.0f && isfinite(t->weights[i])))
            return bs_error_set(e, BS_ERR_VALUE, i,
                                "row %lld: weight %g, expected a finite number >= 0", (long long)i,
                                (double)t->weights[i]);
    }
    return BS_OK;
}

int64_t bs_micro_batch_tokens(bs_precision precision)
{
    return precision == BS_FLOAT32 ? 2048 : 1024;
}

int64_t bs_micro_batch_end(const bs_batch *b, const bs_pass_options *options, int64_t first)
{
    const int64_t most =
        options->tokens > 0 ? options->tokens : bs_micro_batch_tokens(options->precision);
    int64_t last = first + 1;
    while (last < b->n_sequences && b->cu_seqlens[last + 1] - b->cu_seqlens[first] <= most)
        last++;
    return last;
}

/* Room for the largest micro-batch, so that none of them allocates. */
static bs_status reserve(const bs_model *model, const bs_batch *batch,
                         const bs_pass_options *options, int n_threads, bs_arena *arena,
                         bs_error *e)
{
    size_t most = 0;
    for (int64_t first = 0, last; first < batch->n_sequences; first = last) {
        last = bs_micro_batch_end(batch, options, first);
        const bs_batch part = bs_batch_slice(batch, first, last);
        const size_t size = bs_pass_size(model, &part, options, true, n_threads);
        most = size > most ? size : most;
    }
    return bs_arena_reserve(arena, most, e);
}

static double total_weight(const bs_targets *t, int64_t B)
{
    double total = 0.0;
    for (int64_t i = 0; i < B; i++)
        total += t->weights != NULL ? (double)t->weights[i] : 1.0;
    return total;
}

bs_status bs_loss_and_gradients(bs_model *model, const bs_batch *batch,
                                const bs_targets *targets, const bs_pass_options *options,
                                int n_threads, bs_arena *arena, float *logits, float *gradients,
                                double *loss, bs_error *e)
{
    bs_status status = BS_OK;
    const int64_t B = batch->n_sequences, C = model->config.num_labels;
    const double weight = total_weight(targets, B);
    float *d_logits = malloc((size_t)(B * C) * sizeof *d_logits);
    if (d_logits == NULL) {
        status = bs_error_set(e, BS_ERR_MEMORY, -1, "cannot allocate the gradient at the logits");
        goto done;
    }
    status = bs_model_pack(model, options->precision, true, n_threads, e);
    if (status != BS_OK)
        goto done;
    bs_stage_mark(options->clock, BS_STAGE_PACK);
    status = reserve(model, batch, options, n_threads, arena, e);
    if (status != BS_OK)
        goto done;
    bs_gradients_clear(model, options->freeze, gradients, n_threads);
    *loss = 0.0;
    for (int64_t first = 0, last; first < B; first = last) {
        bs_pass pass;
        last = bs_micro_batch_end(batch, options, first);
        const bs_batch part = bs_batch_slice(batch, first, last);
        status = bs_pass_begin(&pass, model, &part, options, true, n_threads, arena, e);
        if (status != BS_OK)
            goto done;
        bs_stage_mark(options->clock, BS_STAGE_OTHER);
        bs_pass_forward(&pass);
        memcpy(logits + first * C, pass.logits, (size_t)((last - first) * C) * sizeof(float));
        *loss += bs_cross_entropy(d_logits, pass.logits, targets->labels + first,
                                  targets->weights != NULL ? targets->weights + first : NULL,
                                  weight, targets->label_smoothing, last - first, C);
        if (!isfinite(*loss)) {
            status = bs_error_set(e, BS_ERR_NONFINITE, -1, "the loss is %g", *loss);
            goto done;
        }
        bs_pass_backward(&pass, d_logits, gradients);
    }
done:
    free(d_logits);
    return status;
}

bs_status bs_train_step(bs_model *model, const bs_batch *batch, const bs_targets *targets,
                        const bs_pass_options *options, const bs_adamw_options *adamw,
                        int n_threads, bs_arena *arena, float *logits, float *gradients,
                        float *exp_avg, float *exp_avg_sq, double *loss, double *norm, bs_error *e)
{
    *norm = 0.0;
    const bs_status status = bs_loss_and_gradients(model, batch, targets, options, n_threads,
                                                   arena, logits, gradients, loss, e);
    if (status != BS_OK || total_weight(targets, batch->n_sequences) == 0.0)
        return status;
    const bs_status applied =
        bs_optimizer_apply(model, options->freeze, gradients, exp_avg, exp_avg_sq, options->step,
                           adamw, n_threads, norm, e);
    bs_stage_mark(options->clock, BS_STAGE_OPTIMIZER);
    return applied;
}
