#include <stdlib.h>

#include "core/pool.h"
#include "tokenizer/tokenizer.h"

#define TASK_UNITS 65536 /* enough text to be worth a task */

typedef struct {
    bs_scratch scratch;
    bs_ids ids;
} batch_worker;

/* Some consecutive texts, and where their ids are in the worker that encoded them. */
typedef struct {
    int64_t first, last;
    int worker;
    int64_t at, count;
    int64_t out; /* where they go in the result */
    bs_error error;
} batch_task;

struct bs_encodings {
    const bs_tokenizer *tok;
    const bs_text *texts, *seconds;
    bs_encode_options options;
    int64_t n_texts, n_tasks, total, n_sequences;
    batch_task *tasks;
    batch_worker *workers;
    int n_workers;
    int64_t *counts; /* ids of each text, over all its windows */
    int64_t *n_first;
    uint8_t *cut;
    int32_t *to; /* set while copying */
    bs_span *spans_to;
};

static bs_status encode_one(bs_encodings *batch, batch_worker *worker, int64_t i, bs_error *e)
{
    const bs_text *second = batch->seconds == NULL ? NULL : &batch->seconds[i];
    const int64_t first = worker->ids.n;
    bool cut = false;
    int at_fault = 0;

    if (bs_sequence_encode(batch->tok, &worker->scratch, &batch->texts[i], second,
                           &batch->options, &worker->ids, &batch->n_first[i], &cut, &at_fault, e)
        != BS_OK) {
        e->item = i + at_fault * batch->n_texts;
        return e->status;
    }
    batch->counts[i] = worker->ids.n - first;
    batch->cut[i] = cut;
    return BS_OK;
}

/* Number of sequences of a text. */
static int64_t windows_of(const bs_encodings *batch, int64_t i)
{
    const int64_t longest = batch->options.max_length;
    const bool many = batch->cut[i] && batch->options.form == BS_KEEP_WINDOWS;
    return many ? (batch->counts[i] + longest - 1) / longest : 1;
}

static void task_encode(void *arg, int64_t index, int worker_index)
{
    bs_encodings *batch = arg;
    batch_task *task = &batch->tasks[index];
    batch_worker *worker = &batch->workers[worker_index];
    task->worker = worker_index;
    task->at = worker->ids.n;
    for (int64_t i = task->first; i < task->last; i++)
        if (encode_one(batch, worker, i, &task->error) != BS_OK) {
            worker->ids.n = task->at;
            return;
        }
    task->count = worker->ids.n - task->at;
}

static void task_copy(void *arg, int64_t index, int worker_index)
{
    bs_encodings *batch = arg;
    const batch_task *task = &batch->tasks[index];
    (void)worker_index;
    if (task->count > 0)
        memcpy(batch->to + task->out, batch->workers[task->worker].ids.data + task->at,
               sizeof *batch->to * (size_t)task->count);
    if (task->count > 0 && batch->spans_to != NULL)
        memcpy(batch->spans_to + task->out, batch->workers[task->worker].ids.spans + task->at,
               sizeof *batch->spans_to * (size_t)task->count);
}

/* Cuts the texts into tasks of about equal work, by the lengths that will be read. While `tasks` is
 * NULL it only counts them. */
static void tasks_cut(bs_encodings *batch)
{
    const bs_encode_options *o = &batch->options;
    const bool whole = o->max_length == 0 || o->form != BS_KEEP_HEAD;
    const int64_t most = whole || o->max_length > INT64_MAX / 8 ? INT64_MAX : o->max_length * 8;
    int64_t units = 0, n = 0, first = 0;
    for (int64_t i = 0; i < batch->n_texts; i++) {
        int64_t length = batch->texts[i].length;
        units += 32 + (length < most ? length : most);
        length = batch->seconds == NULL ? 0 : batch->seconds[i].length;
        units += length < most ? length : most;
        if (units < TASK_UNITS && i + 1 < batch->n_texts)
            continue;
        if (batch->tasks != NULL)
            batch->tasks[n] =
                (batch_task){.first = first, .last = i + 1, .error = BS_ERROR_INIT};
        n++;
        first = i + 1;
        units = 0;
    }
    batch->n_tasks = n;
}

bs_status bs_encodings_make(const bs_tokenizer *tok, const bs_text *texts, const bs_text *seconds,
                            int64_t n_texts, const bs_encode_options *options, bs_encodings **out,
                            bs_error *e)
{
    bs_status status = BS_ERR_MEMORY;
    bs_encodings *batch = calloc(1, sizeof *batch);

    *out = NULL;
    if (batch == NULL)
        goto done;
    batch->tok = tok;
    batch->texts = texts;
    batch->seconds = seconds;
    batch->options = *options;
    batch->n_texts = n_texts;
    batch->n_workers = options->n_threads < 1 ? 1 : options->n_threads;
    if (batch->n_workers > BS_MAX_THREADS)
        batch->n_workers = BS_MAX_THREADS;
    tasks_cut(batch);
    batch->tasks = calloc((size_t)batch->n_tasks + 1, sizeof *batch->tasks);
    batch->workers = calloc((size_t)batch->n_workers, sizeof *batch->workers);
    batch->counts = calloc((size_t)n_texts + 1, sizeof *batch->counts);
    batch->n_first = calloc((size_t)n_texts + 1, sizeof *batch->n_first);
    batch->cut = calloc((size_t)n_texts + 1, 1);
    if (batch->tasks == NULL || batch->workers == NULL || batch->counts == NULL
        || batch->n_first == NULL || batch->cut == NULL)
        goto done;
    tasks_cut(batch);
    for (int i = 0; i < batch->n_workers; i++)
        batch->workers[i].ids.track = options->spans;
    bs_pool_run(batch->n_workers, batch->n_tasks, task_encode, batch);
    for (int64_t i = 0; i < batch->n_tasks; i++) {
        batch_task *task = &batch->tasks[i];
        if (task->error.status != BS_OK) {
            *e = task->error;
            status = e->status;
            goto done;
        }
        task->out = batch->total;
        batch->total += task->count;
    }
    for (int64_t i = 0; i < n_texts; i++)
        batch->n_sequences += windows_of(batch, i);
    status = BS_OK;
    *out = batch;
    batch = NULL;
done:
    if (status == BS_ERR_MEMORY)
        bs_error_set(e, status, -1, "out of memory for a batch of %lld texts", (long long)n_texts);
    bs_encodings_free(batch);
    return status;
}

int64_t bs_encodings_total(const bs_encodings *batch)
{
    return batch->total;
}

int64_t bs_encodings_sequences(const bs_encodings *batch)
{
    return batch->n_sequences;
}

void bs_encodings_copy(const bs_encodings *batch, int32_t *ids, int64_t *offsets, uint8_t *cut,
                       int64_t *n_first, bs_span *spans, int64_t *windows)
{
    bs_encodings *copy = (bs_encodings *)batch;
    int64_t at = 0, sequence = 0;
    for (int64_t i = 0; i < batch->n_texts; i++) {
        if (windows != NULL)
            windows[i] = sequence;
        for (int64_t w = 0; w < windows_of(batch, i); w++)
            offsets[sequence++] = at + w * batch->options.max_length;
        at += batch->counts[i];
    }
    offsets[sequence] = at;
    if (windows != NULL)
        windows[batch->n_texts] = sequence;
    memcpy(cut, batch->cut, (size_t)batch->n_texts);
    if (n_first != NULL)
        memcpy(n_first, batch->n_first, (size_t)batch->n_texts * sizeof *n_first);
    copy->to = ids;
    copy->spans_to = spans;
    bs_pool_run(batch->n_workers, batch->n_tasks, task_copy, copy);
}

void bs_encodings_free(bs_encodings *batch)
{
    if (batch == NULL)
        return;
    for (int i = 0; i < batch->n_workers && batch->workers != NULL; i++) {
        bs_scratch_free(&batch->workers[i].scratch);
        bs_ids_free(&batch->workers[i].ids);
    }
    free(batch->tasks);
    free(batch->workers);
    free(batch->counts);
    free(batch->n_first);
    free(batch->cut);
    free(batch);
}
