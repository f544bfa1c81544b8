#include "model/model.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/blas.h"

bs_status bs_model_make(bs_model *m, bs_error *e)
{
    m->kernels = bs_kernels_get(e);
    if (m->kernels == NULL || bs_parameter_table_make(&m->table, &m->config, e) != BS_OK)
        return e->status;
    if (m->kernels->small_product == NULL && bs_blas_reserve(e) != BS_OK)
        return e->status;
    m->versions = malloc((size_t)m->config.num_layers * sizeof *m->versions);
    if (m->versions == NULL)
        return bs_error_set(e, BS_ERR_MEMORY, -1, "cannot allocate the layers' versions");
    for (int64_t l = 0; l < m->config.num_layers; l++)
        m->versions[l] = 1;
    return BS_OK;
}

void bs_model_free(bs_model *m)
{
    for (size_t i = 0; i < sizeof m->packed / sizeof *m->packed; i++)
        bs_weights_free(&m->packed[i]);
    bs_arena_free(&m->decoder);
    free(m->versions);
    bs_parameter_table_free(&m->table);
}

void bs_model_changed(bs_model *m, int64_t layer)
{
    for (int64_t l = layer; l < m->config.num_layers; l++)
        m->versions[l]++;
}

bool bs_model_can(const bs_model *m, bs_precision precision)
{
    return bs_kernels_can(m->kernels, precision);
}

/* Whether weights are packed at all; the BLAS takes them as they are. */
static bool packs(const bs_model *m, bs_precision precision)
{
    return precision != BS_FLOAT32 || m->kernels->fp32_product != NULL;
}

bool bs_model_fresh(const bs_model *m, bs_precision precision, bool backward)
{
    return !packs(m, precision) ||
           bs_weights_fresh(&m->packed[precision], m->versions, m->config.num_layers, backward);
}

bs_status bs_model_pack(bs_model *m, bs_precision precision, bool backward, int n_threads,
                        bs_error *e)
{
    if (!packs(m, precision))
        return BS_OK;
    return bs_weights_pack(&m->packed[precision], precision, backward, m->kernels, &m->table,
                           &m->config, m->parameters, m->versions, n_threads, e);
}

size_t bs_model_packed_size(const bs_model *m, bs_precision precision, bool backward)
{
    return packs(m, precision)
               ? bs_weights_size(m->kernels, precision, backward, &m->table, &m->config)
               : 0;
}
