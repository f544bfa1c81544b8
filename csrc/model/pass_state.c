#include "model/pass_state.h"

bool bs_pass_drops(const bs_pass *p, int64_t layer)
{
    const bs_pass_options *o = &p->options;
    return o->training && !(o->freeze_dropout && o->freeze > 0 && layer < o->freeze);
}

const float *bs_pass_mask(const bs_pass *p, float *mask, float rate, int64_t layer, int site,
                          int64_t row, int64_t n)
{
    if (!bs_pass_drops(p, layer) || rate <= 0.0f)
        return NULL;
    const int64_t s = p->sequence_of[row];
    const bs_dropout_row r = {
        .key = p->sequence_keys[s],
        .row = (uint32_t)(row - p->first_rows[s]),
        .site = (uint32_t)(layer + 1) << 8 | (uint32_t)site,
        .threshold = bs_dropout_threshold(rate),
    };
    p->model->kernels->dropout_mask(mask, &r, n);
    return mask;
}
