#include "model/score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/pool.h"

int64_t bs_chunk_tokens(bs_precision precision)
{
    return precision == BS_FLOAT32 ? 1024 : 512;
}

/* A copy of the batch, sorted by length, longest first. Owns its arrays. */
typedef struct {
    bs_batch batch;
    int64_t *order; /* (B,) the index of each sequence in the caller's batch */
    int32_t *ids, *types, *positions;
    int64_t *cu_seqlens;
    int64_t *chunks; /* (n_chunks + 1,) the first sequence of each */
    int64_t n_chunks;
} sorted_batch;

typedef struct {
    int64_t length, index;
} sort_entry;

static int by_falling_length(const void *a_, const void *b_)
{
    const sort_entry *a = a_, *b = b_;
    if (a->length != b->length)
        return a->length > b->length ? -1 : 1;
    return a->index < b->index ? -1 : 1;
}

static void sorted_free(sorted_batch *s)
{
    free(s->order);
    free(s->ids);
    free(s->types);
    free(s->positions);
    free(s->cu_seqlens);
    free(s->chunks);
}

/* Fills s. The caller frees it even after a failure. */
static bs_status sorted_make(sorted_batch *s, const bs_batch *b, int64_t chunk_tokens, bs_error *e)
{
    bs_status status = BS_OK;
    const size_t B = (size_t)b->n_sequences, T = (size_t)b->n_tokens;
    sort_entry *entries = malloc(B * sizeof *entries);
    memset(s, 0, sizeof *s);
    s->order = malloc(B * sizeof *s->order);
    s->cu_seqlens = malloc((B + 1) * sizeof *s->cu_seqlens);
    s->chunks = malloc((B + 1) * sizeof *s->chunks);
    s->ids = malloc(T * sizeof *s->ids);
    s->types = b->types != NULL ? malloc(T * sizeof *s->types) : NULL;
    s->positions = b->positions != NULL ? malloc(T * sizeof *s->positions) : NULL;
    if (entries == NULL || s->order == NULL || s->cu_seqlens == NULL || s->chunks == NULL ||
        s->ids == NULL || (b->types != NULL && s->types == NULL) ||
        (b->positions != NULL && s->positions == NULL)) {
        status = bs_error_set(e, BS_ERR_MEMORY, -1, "cannot allocate the order of %zu texts", B);
        goto done;
    }
    for (size_t i = 0; i < B; i++)
        entries[i] = (sort_entry){bs_batch_length(b, (int64_t)i), (int64_t)i};
    qsort(entries, B, sizeof *entries, by_falling_length);
    int64_t at = 0, in_chunk = 0;
    s->cu_seqlens[0] = 0;
    for (size_t i = 0; i < B; i++) {
        const int64_t from = bs_batch_begin(b, entries[i].index), n = entries[i].length;
        const size_t bytes = (size_t)n * sizeof(int32_t);
        s->order[i] = entries[i].index;
        memcpy(s->ids + at, b->ids + from, bytes);
        if (s->types != NULL)
            memcpy(s->types + at, b->types + from, bytes);
        if (s->positions != NULL)
            memcpy(s->positions + at, b->positions + from, bytes);
        if (i == 0 || in_chunk + n > chunk_tokens) {
            s->chunks[s->n_chunks++] = (int64_t)i;
            in_chunk = 0;
        }
        in_chunk += n;
        at += n;
        s->cu_seqlens[i + 1] = at;
    }
    s->chunks[s->n_chunks] = b->n_sequences;
    s->batch = (bs_batch){.n_tokens = b->n_tokens, .n_sequences = b->n_sequences, .ids = s->ids,
                          .types = s->types, .positions = s->positions,
                          .cu_seqlens = s->cu_seqlens};
done:
    free(entries);
    return status;
}

typedef struct {
    const bs_model *model;
    const sorted_batch *sorted;
    bs_arena *arenas; /* one per worker, large enough for any chunk */
    bs_pass_options options;
    int n_threads;    /* inside a chunk */
    float *logits, *pooled; /* pooled may be NULL */
} score_job;

static bs_batch chunk_of(const sorted_batch *s, int64_t i)
{
    return bs_batch_slice(&s->batch, s->chunks[i], s->chunks[i + 1]);
}

static void score_chunk(void *job_, int64_t task, int worker)
{
    const score_job *job = job_;
    const int64_t C = job->model->config.num_labels, H = job->model->config.hidden_size;
    const int64_t first = job->sorted->chunks[task];
    const bs_batch part = chunk_of(job->sorted, task);
    bs_pass pass;
    bs_error none = BS_ERROR_INIT;
    /* cannot fail, because the arena is large enough for the largest chunk */
    if (bs_pass_begin(&pass, job->model, &part, &job->options, false, job->n_threads,
                      &job->arenas[worker], &none) != BS_OK)
        return;
    bs_stage_mark(job->options.clock, BS_STAGE_OTHER);
    bs_pass_forward(&pass);
    for (int64_t i = 0; i < part.n_sequences; i++) {
        const int64_t at = job->sorted->order[first + i];
        memcpy(job->logits + at * C, pass.logits + i * C, (size_t)C * sizeof(float));
        if (job->pooled != NULL)
            memcpy(job->pooled + at * H, pass.encoded + i * H, (size_t)H * sizeof(float));
    }
}

/* Weights that are finite can still be too large: sums overflow, the sooner the lower the precision.
 * `values` has n for each sequence. */
static bs_status check_finite(const char *what, const float *values, int64_t B, int64_t n,
                              bs_precision precision, bs_error *e)
{
    for (int64_t i = 0; i < B * n; i++)
        if (!isfinite(values[i]))
            return bs_error_set(e, BS_ERR_NONFINITE, i / n,
                                "the %s of sequence %lld are not finite: the weights of the "
                                "model are damaged, or too large for %s",
                                what, (long long)(i / n), bs_precision_names[precision]);
    return BS_OK;
}

bs_status bs_score(const bs_model *model, const bs_batch *batch, const bs_pass_options *options,
                   int n_threads, float *logits, float *pooled, bs_error *e)
{
    sorted_batch sorted;
    bs_arena arenas[BS_MAX_THREADS] = {0};
    const int64_t tokens =
        options->tokens > 0 ? options->tokens : bs_chunk_tokens(options->precision);
    bs_status status = sorted_make(&sorted, batch, tokens, e);
    if (status != BS_OK)
        goto done;
    n_threads = n_threads < 1 ? 1 : n_threads > BS_MAX_THREADS ? BS_MAX_THREADS : n_threads;
    /* also one after the other if stages are timed */
    const bool together = sorted.n_chunks < 2 * n_threads || options->clock != NULL;
    const int workers = together ? 1 : n_threads, inner = together ? n_threads : 1;
    size_t most = 0;
    for (int64_t i = 0; i < sorted.n_chunks; i++) {
        const bs_batch part = chunk_of(&sorted, i);
        const size_t size = bs_pass_size(model, &part, options, false, inner);
        most = size > most ? size : most;
    }
    for (int i = 0; i < workers; i++) {
        status = bs_arena_reserve(&arenas[i], most, e);
        if (status != BS_OK)
            goto done;
    }
    score_job job = {model, &sorted, arenas, *options, inner, logits, pooled};
    if (together)
        for (int64_t i = 0; i < sorted.n_chunks; i++)
            score_chunk(&job, i, 0);
    else
        bs_pool_run(n_threads, sorted.n_chunks, score_chunk, &job);
    status = check_finite("logits", logits, batch->n_sequences, model->config.num_labels,
                          options->precision, e);
    if (status == BS_OK && pooled != NULL)
        status = check_finite("pooled values", pooled, batch->n_sequences,
                              model->config.hidden_size, options->precision, e);
done:
    for (int i = 0; i < BS_MAX_THREADS; i++)
        bs_arena_free(&arenas[i]);
    sorted_free(&sorted);
    return status;
}
