#include "model/attribution.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/pool.h"

/* Tokens of a chunk. Their buffers are kept for the backward pass, so more would leave the caches. */
enum { CHUNK_TOKENS = 512 };

bs_status bs_attribution_check(const bs_batch *b, const bs_config *c, bs_error *e)
{
    for (int64_t s = 0; s < b->n_sequences; s++) {
        if (!(b->along[s] >= 0.0f && b->along[s] <= 1.0f))
            return bs_error_set(e, BS_ERR_VALUE, s,
                                "sequence %lld: expected a place on the line from 0 to 1, got %g",
                                (long long)s, (double)b->along[s]);
        for (int64_t t = bs_batch_begin(b, s); t < bs_batch_begin(b, s + 1); t++)
            if (b->baseline[t] < 0 || b->baseline[t] >= c->vocab_size)
                return bs_error_set(e, BS_ERR_INDEX, s,
                                    "sequence %lld, token %lld: baseline %lld is out of range, "
                                    "expected 0 to %lld",
                                    (long long)s, (long long)(t - bs_batch_begin(b, s)),
                                    (long long)b->baseline[t], (long long)c->vocab_size - 1);
    }
    return BS_OK;
}

typedef struct {
    const bs_model *model;
    const bs_batch *batch;
    const float *weights;
    bs_pass_options options;
    const int64_t *chunks; /* (n_chunks + 1,) the first sequence of each */
    bs_arena *arenas;      /* one per worker, large enough for any chunk */
    int n_threads;         /* inside a chunk */
    float *logits, *scores, *gradients;
} attribution_job;

static bs_batch chunk_of(const attribution_job *job, int64_t i)
{
    return bs_batch_slice(job->batch, job->chunks[i], job->chunks[i + 1]);
}

/* Writes the score of each token, given the gradients (T, E) of the chunk. */
static void score_tokens(const attribution_job *job, const bs_batch *part, const float *d,
                         float *scores)
{
    const int64_t E = job->model->config.embedding_size;
    const float *words = job->model->parameters + job->model->table.word;
    for (int64_t t = 0; t < part->n_tokens; t++) {
        const float *own = words + part->ids[t] * E, *other = words + part->baseline[t] * E;
        double sum = 0.0;
        for (int64_t i = 0; i < E; i++)
            sum += (double)d[t * E + i] * ((double)own[i] - (double)other[i]);
        scores[t] = (float)sum;
    }
}

static void attribute_chunk(void *job_, int64_t task, int worker)
{
    const attribution_job *job = job_;
    const int64_t C = job->model->config.num_labels, E = job->model->config.embedding_size;
    const int64_t first = job->chunks[task], at = bs_batch_begin(job->batch, first);
    const bs_batch part = chunk_of(job, task);
    bs_pass pass;
    bs_error none = BS_ERROR_INIT;
    /* cannot fail, because the arena is large enough for the largest chunk */
    if (bs_pass_begin(&pass, job->model, &part, &job->options, true, job->n_threads,
                      &job->arenas[worker], &none) != BS_OK)
        return;
    bs_pass_forward(&pass);
    memcpy(job->logits + first * C, pass.logits, (size_t)(part.n_sequences * C) * sizeof(float));
    const float *d = bs_pass_backward_to_words(&pass, job->weights + first * C);
    score_tokens(job, &part, d, job->scores + at);
    if (job->gradients != NULL)
        memcpy(job->gradients + at * E, d, (size_t)(part.n_tokens * E) * sizeof(float));
}

static bs_status check_finite(const char *what, const float *values, int64_t n, bs_error *e)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(values[i]))
            return bs_error_set(e, BS_ERR_NONFINITE, -1,
                                "the %s are not finite: the weights of the model are damaged, or "
                                "too large",
                                what);
    return BS_OK;
}

/* Fills `chunks` and returns their number. */
static int64_t cut(const bs_batch *b, int64_t tokens, int64_t *chunks)
{
    int64_t count = 0;
    for (int64_t s = 0; s < b->n_sequences; s++)
        if (s == 0 || bs_batch_begin(b, s + 1) - bs_batch_begin(b, chunks[count - 1]) > tokens)
            chunks[count++] = s;
    chunks[count] = b->n_sequences;
    return count;
}

bs_status bs_attribute(const bs_model *model, const bs_batch *batch, const float *weights,
                       const bs_pass_options *options, int n_threads, float *logits, float *scores,
                       float *gradients, bs_error *e)
{
    bs_arena arenas[BS_MAX_THREADS] = {0};
    bs_status status = BS_OK;
    int64_t *chunks = malloc((size_t)(batch->n_sequences + 1) * sizeof *chunks);
    if (chunks == NULL) {
        status = bs_error_set(e, BS_ERR_MEMORY, -1, "cannot allocate the chunks of %lld texts",
                              (long long)batch->n_sequences);
        goto done;
    }
    const int64_t count = cut(batch, options->tokens > 0 ? options->tokens : CHUNK_TOKENS, chunks);
    n_threads = n_threads < 1 ? 1 : n_threads > BS_MAX_THREADS ? BS_MAX_THREADS : n_threads;
    const bool together = count < 2 * n_threads;
    const int workers = together ? 1 : n_threads, inner = together ? n_threads : 1;
    attribution_job job = {.model = model, .batch = batch, .weights = weights, .chunks = chunks,
                           .options = {.to_words = true, .precision = options->precision},
                           .arenas = arenas, .n_threads = inner, .logits = logits,
                           .scores = scores, .gradients = gradients};
    size_t most = 0;
    for (int64_t i = 0; i < count; i++) {
        const bs_batch part = chunk_of(&job, i);
        const size_t size = bs_pass_size(model, &part, &job.options, true, inner);
        most = size > most ? size : most;
    }
    for (int i = 0; i < workers; i++) {
        status = bs_arena_reserve(&arenas[i], most, e);
        if (status != BS_OK)
            goto done;
    }
    if (together)
        for (int64_t i = 0; i < count; i++)
            attribute_chunk(&job, i, 0);
    else
        bs_pool_run(n_threads, count, attribute_chunk, &job);
    status = check_finite("logits", logits, batch->n_sequences * model->config.num_labels, e);
    if (status == BS_OK)
        status = check_finite("scores", scores, batch->n_tokens, e);
done:
    for (int i = 0; i < BS_MAX_THREADS; i++)
        bs_arena_free(&arenas[i]);
    free(chunks);
    return status;
}
