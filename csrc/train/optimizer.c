#include "train/optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/pool.h"

/* The number of floats per task: fixed, so that sums do not depend on the number of threads. */
#define CHUNK (1 << 16)

typedef struct {
    bs_model *model;
    int64_t begin; /* the first trained parameter */
    const float *gradients;
    float *out; /* the gradients to clear, or exp_avg */
    float *exp_avg_sq;
    double *sums; /* one per chunk */
    const bs_adamw_options *options;
    float clip, correct1, correct2;
} flat_job;

static int64_t chunks_of(const flat_job *job)
{
    return (job->model->table.total - job->begin + CHUNK - 1) / CHUNK;
}

static int64_t chunk_end(const flat_job *job, int64_t begin)
{
    const int64_t total = job->model->table.total;
    return begin + CHUNK < total ? begin + CHUNK : total;
}

static void clear_chunk(void *job_, int64_t task, int worker)
{
    const flat_job *job = job_;
    const int64_t begin = job->begin + task * CHUNK;
    (void)worker;
    memset(job->out + begin, 0, (size_t)(chunk_end(job, begin) - begin) * sizeof(float));
}

void bs_gradients_clear(const bs_model *model, int64_t freeze, float *gradients, int n_threads)
{
    flat_job job = {.model = (bs_model *)model, .out = gradients};
    job.begin = bs_parameter_table_trained_from(&model->table, &model->config, freeze);
    bs_pool_run(n_threads, chunks_of(&job), clear_chunk, &job);
}

static void square_chunk(void *job_, int64_t task, int worker)
{
    const flat_job *job = job_;
    const int64_t begin = job->begin + task * CHUNK;
    (void)worker;
    job->sums[task] = job->model->kernels->sum_squares(job->gradients + begin,
                                                       chunk_end(job, begin) - begin);
}

/* The last entry whose offset is at most `offset`. */
static const bs_parameter *entry_at(const bs_parameter_table *t, int64_t offset)
{
    int64_t low = 0, high = t->count;
    while (high - low > 1) {
        const int64_t middle = (low + high) / 2;
        if (t->entries[middle].offset <= offset)
            low = middle;
        else
            high = middle;
    }
    return &t->entries[low];
}

static void update_chunk(void *job_, int64_t task, int worker)
{
    const flat_job *job = job_;
    const bs_parameter_table *t = &job->model->table;
    const bs_adamw_options *o = job->options;
    int64_t at = job->begin + task * CHUNK;
    const int64_t end = chunk_end(job, at);
    (void)worker;
    for (const bs_parameter *p = entry_at(t, at); at < end; p++) {
        const int64_t next = p + 1 < t->entries + t->count ? p[1].offset : t->total;
        const int64_t n = (next < end ? next : end) - at;
        const float factor = o->rates != NULL ? o->rates[p->layer + 1] : 1.0f;
        job->model->kernels->adamw(job->model->parameters + at, job->out + at,
                                   job->exp_avg_sq + at, job->gradients + at, job->clip,
                                   o->learning_rate * factor, o->beta1, o->beta2, o->eps,
                                   p->decay ? o->weight_decay : 0.0f, job->correct1, job->correct2,
                                   n);
        at += n;
    }
}

bs_status bs_optimizer_apply(bs_model *model, int64_t freeze, const float *gradients,
                             float *exp_avg, float *exp_avg_sq, int64_t step,
                             const bs_adamw_options *options, int n_threads, double *norm,
                             bs_error *e)
{
    bs_status status = BS_OK;
    flat_job job = {.model = model, .gradients = gradients, .out = exp_avg,
                    .exp_avg_sq = exp_avg_sq, .options = options, .clip = 1.0f};
    job.begin = bs_parameter_table_trained_from(&model->table, &model->config, freeze);
    const int64_t chunks = chunks_of(&job);
    job.sums = malloc((size_t)chunks * sizeof *job.sums);
    if (job.sums == NULL) {
        status = bs_error_set(e, BS_ERR_MEMORY, -1, "cannot allocate the partial norms");
        goto done;
    }
    bs_pool_run(n_threads, chunks, square_chunk, &job);
    double total = 0.0;
    for (int64_t i = 0; i < chunks; i++)
        total += job.sums[i];
    *norm = sqrt(total);
    if (!isfinite(*norm)) {
        status = bs_error_set(e, BS_ERR_NONFINITE, -1, "the gradient norm is %g", *norm);
        goto done;
    }
    if (options->max_grad_norm > 0.0f && *norm > options->max_grad_norm)
        job.clip = (float)(options->max_grad_norm / (*norm + 1e-6)); /* 1e-6: as PyTorch does */
    job.correct1 = (float)(1.0 - pow(options->beta1, (double)step + 1.0));
    job.correct2 = (float)(1.0 - pow(options->beta2, (double)step + 1.0));
    bs_fork_hold(); /* a child process must see the whole update or none of it */
    bs_pool_run(n_threads, chunks, update_chunk, &job);
    bs_model_changed(model, freeze);
    bs_fork_release();
done:
    free(job.sums);
    return status;
}
