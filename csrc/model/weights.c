#include "model/weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/pool.h"

bs_linear_shape bs_linear_shape_of(const bs_parameter_table *t, const bs_config *c, int64_t layer,
                                   bs_linear linear)
{
    const bs_layer_offsets *o = &t->layers[layer];
    const int64_t H = c->hidden_size, F = c->intermediate_size;
    const bool narrow = bs_layer_is_narrow(c, layer);
    switch (linear) {
    case LINEAR_QKV:
        return (bs_linear_shape){o->qkv_weight, narrow ? 0 : 3 * H, H};
    case LINEAR_Q:
        return (bs_linear_shape){o->qkv_weight, narrow ? H : 0, H};
    case LINEAR_KV:
        return (bs_linear_shape){o->qkv_weight + H * H, narrow ? 2 * H : 0, H};
    case LINEAR_ATTENTION:
        return (bs_linear_shape){o->attention_weight, H, H};
    case LINEAR_UP:
        return (bs_linear_shape){o->up_weight, F, H};
    default:
        return (bs_linear_shape){o->down_weight, H, F};
    }
}

/* Takes space for every bs_packed from `a`. If `a` only counts, w may be NULL. */
static void lay_out(bs_weights *w, bs_arena *a, const bs_kernels *kernels, bs_precision precision,
                    bool backward, const bs_parameter_table *t, const bs_config *c)
{
    for (int64_t l = 0; l < c->num_layers; l++)
        for (int i = 0; i < BS_LINEARS; i++) {
            const bs_linear_shape s = bs_linear_shape_of(t, c, l, (bs_linear)i);
            bs_packed counted;
            if (s.n == 0)
                continue;
            bs_packed *forward = w != NULL ? &w->layers[l].forward[i] : &counted;
            forward->panels = bs_arena_take(a, bs_packed_size(kernels, precision, s.k, s.n), 1);
            if (precision == BS_INT8) {
                forward->scale = bs_arena_floats(a, s.n);
                forward->sum = bs_arena_floats(a, s.n);
            }
            if (backward) {
                bs_packed *back = w != NULL ? &w->layers[l].backward[i] : &counted;
                back->panels = bs_arena_take(a, bs_packed_size(kernels, precision, s.n, s.k), 1);
            }
        }
}

size_t bs_weights_size(const bs_kernels *kernels, bs_precision precision, bool backward,
                       const bs_parameter_table *t, const bs_config *c)
{
    bs_arena nowhere = {0};
    lay_out(NULL, &nowhere, kernels, precision, backward, t, c);
    return nowhere.used;
}

static bs_status reserve(bs_weights *w, const bs_kernels *kernels, bs_precision precision,
                         bool backward, const bs_parameter_table *t, const bs_config *c,
                         bs_error *e)
{
    if (w->layers != NULL && (w->backward || !backward))
        return BS_OK;
    bs_fork_hold(); /* a child process must see all of the space or none */
    free(w->layers);
    w->layers = calloc((size_t)c->num_layers, sizeof *w->layers);
    if (w->layers != NULL &&
        bs_arena_reserve(&w->arena, bs_weights_size(kernels, precision, backward, t, c), e) ==
            BS_OK) {
        w->backward = backward;
        lay_out(w, &w->arena, kernels, precision, backward, t, c);
    } else {
        bs_weights_free(w);
        bs_error_set(e, BS_ERR_MEMORY, -1, "cannot allocate the packed weights");
    }
    bs_fork_release();
    return w->layers != NULL ? BS_OK : BS_ERR_MEMORY;
}

/* ---- int8: one scale for each row of the weight (n, k) ----
 *
 * bertsent/hub/int8.py does the same in NumPy, for files. */

/* Rows with a smaller range become zeros, because 127 over it would be infinite. */
#define LEAST_RANGE 1e-36f

/* Stores element `at` of a panel with so many elements a group. */
static void put_int8(char *panel, int64_t elements, int64_t at, int q)
{
    if (elements == 4)
        ((int8_t *)panel)[at] = (int8_t)q;
    else
        ((int16_t *)(void *)panel)[at] = (int16_t)q;
}

static void pack_int8_panel(const bs_packed *out, const bs_kernels *kernels, int64_t panel,
                            const float *x, int64_t n, int64_t k)
{
    const int64_t elements = kernels->int8_elements, columns = kernels->columns;
    const int64_t first = panel * columns;
    const int64_t size = bs_packed_groups(elements, k) * 4 * columns;
    char *to = (char *)out->panels + panel * size;
    memset(to, 0, (size_t)size);
    for (int64_t j = first; j < n && j < first + columns; j++) {
        const float *row = x + j * k;
        float most = 0.0f;
        for (int64_t i = 0; i < k; i++)
            most = fabsf(row[i]) > most || isnan(row[i]) ? fabsf(row[i]) : most;
        const float inverse = most > LEAST_RANGE ? 127.0f / most : 0.0f;
        int32_t sum = 0;
        for (int64_t i = 0; i < k; i++) {
            const int q = (int)lrintf(row[i] * inverse);
            put_int8(to, elements,
                     i / elements * (elements * columns) + (j - first) * elements +
                         i % elements,
                     q);
            sum += q;
        }
        out->scale[j] = most / 127.0f;
        out->sum[j] = (float)sum;
    }
}

/* ---- packing ---- */

typedef struct {
    bs_weights *w;
    bs_precision precision;
    const bs_kernels *kernels;
    const bs_parameter_table *t;
    const bs_config *c;
    const float *parameters;
    const uint64_t *versions;
    bool backward;
} pack_job;

/* The number of panels of one linear layer, for the forward or the backward pass. */
static int64_t panels_of(const pack_job *job, int64_t layer, int linear, bool backward)
{
    const bs_linear_shape s = bs_linear_shape_of(job->t, job->c, layer, (bs_linear)linear);
    const int64_t columns = backward ? s.k : s.n;
    return s.n == 0 || (backward && !job->backward) ? 0 : bs_panels(job->kernels, columns);
}

static int64_t layer_panels(const pack_job *job, int64_t layer)
{
    int64_t sum = 0;
    for (int i = 0; i < BS_LINEARS; i++)
        sum += panels_of(job, layer, i, false) + panels_of(job, layer, i, true);
    return sum;
}

static bool stale(const pack_job *job, int64_t layer)
{
    const bs_layer_weights *l = &job->w->layers[layer];
    return l->version != job->versions[layer] || (job->backward && !l->has_backward);
}

static void pack_panel(const pack_job *job, int64_t layer, int linear, bool backward,
                       int64_t panel)
{
    const bs_linear_shape s = bs_linear_shape_of(job->t, job->c, layer, (bs_linear)linear);
    bs_layer_weights *l = &job->w->layers[layer];
    const float *x = job->parameters + s.offset;
    const bs_kernels *kernels = job->kernels;
    const int64_t first = panel * kernels->columns;
    if (job->precision == BS_INT8) {
        pack_int8_panel(&l->forward[linear], kernels, panel, x, s.n, s.k);
        return;
    }
    const int64_t n = backward ? s.k : s.n, k = backward ? s.n : s.k;
    const int64_t columns = bs_panel_columns(kernels, n, first);
    char *to = backward ? l->backward[linear].panels : l->forward[linear].panels;
    to += panel * bs_panel_groups(kernels, job->precision, k) * 4 * kernels->columns;
    const bs_panel_kernel pack = bs_panel_of(kernels, job->precision, !backward);
    if (backward)
        pack(to, x + first, k, columns, s.k);
    else
        pack(to, x + first * s.k, columns, k, s.k);
}

static void pack_task(void *job_, int64_t task, int worker)
{
    const pack_job *job = job_;
    (void)worker;
    for (int64_t l = 0; l < job->c->num_layers; l++) {
        if (!stale(job, l))
            continue;
        if (task >= layer_panels(job, l)) {
            task -= layer_panels(job, l);
            continue;
        }
        for (int i = 0; i < 2 * BS_LINEARS; i++) {
            const int64_t count = panels_of(job, l, i / 2, i % 2);
            if (task < count) {
                pack_panel(job, l, i / 2, i % 2, task);
                return;
            }
            task -= count;
        }
    }
}

bool bs_weights_fresh(const bs_weights *w, const uint64_t *versions, int64_t layers, bool backward)
{
    if (w->layers == NULL)
        return false;
    for (int64_t l = 0; l < layers; l++)
        if (w->layers[l].version != versions[l] || (backward && !w->layers[l].has_backward))
            return false;
    return true;
}

bs_status bs_weights_pack(bs_weights *w, bs_precision precision, bool backward,
                          const bs_kernels *kernels, const bs_parameter_table *t,
                          const bs_config *c, const float *parameters, const uint64_t *versions,
                          int n_threads, bs_error *e)
{
    if (bs_weights_fresh(w, versions, c->num_layers, backward))
        return BS_OK;
    if (reserve(w, kernels, precision, backward, t, c, e) != BS_OK)
        return e->status;
    pack_job job = {w, precision, kernels, t, c, parameters, versions, backward};
    int64_t tasks = 0;
    for (int64_t l = 0; l < c->num_layers; l++)
        tasks += stale(&job, l) ? layer_panels(&job, l) : 0;
    bs_pool_run(n_threads, tasks, pack_task, &job);
    bs_fork_hold(); /* a child process must see both marks or none */
    for (int64_t l = 0; l < c->num_layers; l++)
        if (stale(&job, l)) {
            w->layers[l].version = versions[l];
            w->layers[l].has_backward = backward;
        }
    bs_fork_release();
    return BS_OK;
}

void bs_weights_free(bs_weights *w)
{
    free(w->layers);
    bs_arena_free(&w->arena);
    memset(w, 0, sizeof *w);
}
