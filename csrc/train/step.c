#include "train/step.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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

/* The arguments and buffers of one step. */
typedef struct {
    const bs_model *model;
    const bs_batch *batch;
    const bs_targets *targets;
    const bs_pass_options *options;
    int n_threads;
    bs_arena *arena;
    int64_t n_texts;
    double weight;      /* the sum over all texts */
    float *logits;      /* (N, C) */
    float *part_logits; /* (B, C) of the sequences of the current texts */
    float *d_logits, *d_part_logits;
    float *gradients;
    double loss;
} step_run;

static int64_t text_begin(const step_run *r, int64_t text)
{
    return bs_text_begin(r->targets->windows, text);
}

/* The end of the texts that are processed together, from `first` on: at least one, and all of them
 * if the loss compares texts with each other. */
static int64_t texts_end(const step_run *r, int64_t first)
{
    if (r->targets->loss->whole_step)
        return r->n_texts;
    const int64_t end = bs_micro_batch_end(r->batch, r->options, text_begin(r, first));
    int64_t last = first + 1;
    while (last < r->n_texts && text_begin(r, last + 1) <= end)
        last++;
    return last;
}

/* The end of the micro-batch that starts with the sequence `first`: `end`, unless these are too
 * many: the windows of a long text, or all texts of the step. At least one sequence. */
static int64_t part_end(const step_run *r, int64_t first, int64_t end)
{
    const int64_t last = bs_micro_batch_end(r->batch, r->options, first);
    return last < end ? last : end;
}

/* Reserves space for the largest micro-batch, so that none of them allocates. */
static bs_status reserve(const step_run *r, bs_error *e)
{
    size_t most = 0;
    for (int64_t text = 0, next_text; text < r->n_texts; text = next_text) {
        next_text = texts_end(r, text);
        const int64_t end = text_begin(r, next_text);
        for (int64_t first = text_begin(r, text), last; first < end; first = last) {
            last = part_end(r, first, end);
            const bs_batch part = bs_batch_slice(r->batch, first, last);
            const size_t size = bs_pass_size(r->model, &part, r->options, true, r->n_threads);
            most = size > most ? size : most;
        }
    }
    return bs_arena_reserve(r->arena, most, e);
}

static double total_weight(const bs_targets *t, int64_t N)
{
    double total = 0.0;
    for (int64_t i = 0; i < N; i++)
        total += t->weights != NULL ? (double)t->weights[i] : 1.0;
    return total;
}

static bs_status part_forward(const step_run *r, bs_pass *pass, int64_t first, int64_t last,
                              bs_error *e)
{
    const bs_batch part = bs_batch_slice(r->batch, first, last);
    if (bs_pass_begin(pass, r->model, &part, r->options, true, r->n_threads, r->arena, e) != BS_OK)
        return e->status;
    bs_stage_mark(r->options->clock, BS_STAGE_OTHER);
    bs_pass_forward(pass);
    return BS_OK;
}

/* Adds the loss and the gradient of the texts [first, last). */
static bs_status texts_run(step_run *r, int64_t first, int64_t last, bs_error *e)
{
    const bs_targets *t = r->targets;
    const int64_t C = r->model->config.num_labels;
    const int64_t begin = text_begin(r, first), end = text_begin(r, last);
    int64_t kept = begin; /* the first sequence of the pass that is kept */
    bs_pass pass;
    for (int64_t at = begin, next; at < end; at = next) {
        next = part_end(r, at, end);
        if (part_forward(r, &pass, at, next, e) != BS_OK)
            return e->status;
        memcpy(r->part_logits + (at - begin) * C, pass.logits,
               (size_t)((next - at) * C) * sizeof(float));
        kept = at;
    }
    float *logits = r->logits + first * C;
    bs_windows_gather(t->windows, first, last, logits, r->part_logits, C);
    const bs_targets own = bs_targets_from(t, first, C);
    r->loss += t->loss->compute(r->d_logits, logits, &own, r->weight, last - first, C);
    if (!isfinite(r->loss))
        return bs_error_set(e, BS_ERR_NONFINITE, -1, "the loss is %g", r->loss);
    bs_windows_spread(t->windows, first, last, r->d_part_logits, r->d_logits, C);
    bs_pass_backward(&pass, r->d_part_logits + (kept - begin) * C, r->gradients);
    for (int64_t at = begin, next; at < kept; at = next) {
        next = part_end(r, at, end);
        if (part_forward(r, &pass, at, next, e) != BS_OK)
            return e->status;
        bs_pass_backward(&pass, r->d_part_logits + (at - begin) * C, r->gradients);
    }
    return BS_OK;
}

static int64_t count_texts(const bs_batch *batch, const bs_targets *t)
{
    return t->windows != NULL ? t->windows->n_texts : batch->n_sequences;
}

bs_status bs_loss_and_gradients(bs_model *model, const bs_batch *batch,
                                const bs_targets *targets, const bs_pass_options *options,
                                int n_threads, bs_arena *arena, float *logits, float *gradients,
                                double *loss, bs_error *e)
{
    bs_status status = BS_OK;
    const int64_t B = batch->n_sequences, N = count_texts(batch, targets);
    const int64_t C = model->config.num_labels;
    bs_targets all = *targets;
    step_run r = {.model = model, .batch = batch, .targets = &all, .options = options,
                  .n_threads = n_threads, .arena = arena, .n_texts = N,
                  .weight = total_weight(targets, N), .logits = logits, .gradients = gradients};
    float *scratch = malloc((size_t)((2 * B + N) * C) * sizeof *scratch);
    if (targets->loss->whole_step)
        all.scratch = malloc((size_t)bs_contrastive_scratch(N) * sizeof *all.scratch);
    if (scratch == NULL || (targets->loss->whole_step && all.scratch == NULL)) {
        status = bs_error_set(e, BS_ERR_MEMORY, -1, "cannot allocate the gradient at the logits");
        goto done;
    }
    r.part_logits = scratch;
    r.d_part_logits = scratch + B * C;
    r.d_logits = scratch + 2 * B * C;
    status = bs_model_pack(model, options->precision, true, n_threads, e);
    if (status != BS_OK)
        goto done;
    bs_stage_mark(options->clock, BS_STAGE_PACK);
    status = reserve(&r, e);
    if (status != BS_OK)
        goto done;
    bs_gradients_clear(model, options->freeze, gradients, n_threads);
    for (int64_t first = 0, last; first < N && status == BS_OK; first = last) {
        last = texts_end(&r, first);
        status = texts_run(&r, first, last, e);
    }
    *loss = r.loss;
done:
    free(all.scratch);
    free(scratch);
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
    if (status != BS_OK || total_weight(targets, count_texts(batch, targets)) == 0.0)
        return status;
    const bs_status applied =
        bs_optimizer_apply(model, options->freeze, gradients, exp_avg, exp_avg_sq, options->step,
                           adamw, n_threads, norm, e);
    bs_stage_mark(options->clock, BS_STAGE_OPTIMIZER);
    return applied;
}
