/* The losses that a training step can minimise, by name. Each row of the table in loss.c says which
 * targets a loss takes and holds their check and the function that computes loss and gradient. */
#ifndef BS_MODEL_LOSS_H
#define BS_MODEL_LOSS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"
#include "model/contrastive.h"
#include "model/windows.h"

typedef struct bs_loss bs_loss;

/* The targets that the logits (N, C) of N texts are compared with. */
typedef struct {
    const bs_loss *loss;       /* says which of the next two it takes */
    const int32_t *ids;        /* (N,) class ids, from 0 to C - 1; beside a matrix also -1: none */
    const float *matrix;       /* (N, C); beside ids, the logits of a teacher */
    const float *weights;      /* (N,) or NULL: ones */
    const float *positive_weights; /* (C,) weight of what a text has, in binary cross-entropy, or
                                    * NULL: ones */
    float label_smoothing;     /* the share of each target that is spread over all classes */
    float temperature;         /* by which logits or cosines are divided before they are compared */
    float teacher_weight;      /* the share of the teacher's part of the loss */
    const bs_windows *windows; /* the N texts; NULL: every sequence is a text */
    double *scratch;           /* (bs_contrastive_scratch(N),) for a loss of the whole step */
} bs_targets;

struct bs_loss {
    const char *name;
    bool takes_ids, takes_matrix; /* if both: class ids, and the logits of a teacher */
    bool whole_step; /* compares texts with each other, so it is computed for all N at once; "logits"
                      * are the vectors of a model that returns these */

    /* Checks targets and label smoothing. The message names the row at fault. */
    bs_status (*check)(const bs_targets *t, int64_t N, int64_t C, bs_error *e);

    /* Returns sum_i w_i loss_i / weight over N rows of C logits and writes its gradient to d_logits
     * (N, C). `weight` is the sum of all weights of the step, of which these rows may be a part. If
     * it is 0, so are loss and gradient. Computed in float64. */
    double (*compute)(float *d_logits, const float *logits, const bs_targets *t, double weight,
                      int64_t N, int64_t C);
};

/* The loss of that name, or NULL. */
const bs_loss *bs_loss_find(const char *name);

/* The i-th loss, or NULL after the last. */
const bs_loss *bs_loss_list(int i);

/* The targets of the texts from `first` on, sharing the memory of `t`. */
bs_targets bs_targets_from(const bs_targets *t, int64_t first, int64_t C);

/* Calls the loss's check, and checks that weights are finite and not negative. */
bs_status bs_targets_check(const bs_targets *t, int64_t N, int64_t C, bs_error *e);

#endif
