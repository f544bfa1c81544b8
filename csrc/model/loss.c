#include "model/loss.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

/* The weight of row i in the mean over the step. */
static double share_of(const bs_targets *t, int64_t i, double weight)
{
    return weight > 0.0 ? (t->weights != NULL ? t->weights[i] : 1.0) / weight : 0.0;
}

/* ---- softmax cross-entropy ---- */

/* Checks class ids from `least` on. */
static bs_status check_ids(const bs_targets *t, int32_t least, int64_t N, int64_t C, bs_error *e)
{
    if (C < 2)
        return bs_error_set(e, BS_ERR_VALUE, -1, "%s needs at least 2 classes, the model has %lld",
                            t->loss->name, (long long)C);
    if (!(t->label_smoothing >= 0.0f && t->label_smoothing < 1.0f))
        return bs_error_set(e, BS_ERR_VALUE, -1,
                            "label_smoothing is %g, expected a number from 0 to below 1",
                            (double)t->label_smoothing);
    for (int64_t i = 0; i < N; i++)
        if (t->ids[i] < least || t->ids[i] >= C)
            return bs_error_set(e, BS_ERR_INDEX, i,
                                "row %lld: label %d is out of range, expected %d to %lld",
                                (long long)i, (int)t->ids[i], (int)least, (long long)C - 1);
    return BS_OK;
}

static bs_status cross_entropy_check(const bs_targets *t, int64_t N, int64_t C, bs_error *e)
{
    return check_ids(t, 0, N, C, e);
}

/* log sum_j exp(z_j / temperature). */
static double log_sum_exp(const float *z, double temperature, int64_t C)
{
    double high = z[0] / temperature, sum = 0.0;
    for (int64_t j = 1; j < C; j++)
        high = z[j] / temperature > high ? z[j] / temperature : high;
    for (int64_t j = 0; j < C; j++)
        sum += exp(z[j] / temperature - high);
    return high + log(sum);
}

/* -sum_j q_j log softmax(z)_j with q = (1 - smoothing) onehot + smoothing / C, of row i. */
static double label_loss(const bs_targets *t, int64_t i, const float *z, double lse, int64_t C)
{
    const double smoothing = t->label_smoothing;
    double all = 0.0;
    for (int64_t j = 0; j < C; j++)
        all += z[j];
    return lse - (1.0 - smoothing) * z[t->ids[i]] - smoothing / (double)C * all;
}

/* Its derivative at z_j. */
static double label_slope(const bs_targets *t, int64_t i, const float *z, double lse, int64_t j,
                          int64_t C)
{
    const double smoothing = t->label_smoothing;
    return exp(z[j] - lse) - (1.0 - smoothing) * (j == t->ids[i]) - smoothing / (double)C;
}

static double cross_entropy(float *d_logits, const float *logits, const bs_targets *t,
                            double weight, int64_t N, int64_t C)
{
    double loss = 0.0;
    for (int64_t i = 0; i < N; i++, logits += C, d_logits += C) {
        const double share = share_of(t, i, weight), lse = log_sum_exp(logits, 1.0, C);
        loss += share * label_loss(t, i, logits, lse, C);
        for (int64_t j = 0; j < C; j++)
            d_logits[j] = (float)(share * label_slope(t, i, logits, lse, j, C));
    }
    return loss;
}

/* ---- cumulative cross-entropy ---- */

/* log(exp(a) + exp(b)); either may be -infinity. */
static double log_add(double a, double b)
{
    const double high = a > b ? a : b, low = a > b ? b : a;
    return isinf(high) ? high : high + log1p(exp(low - high));
}

/* The target of the event that the class of row i is above k. */
static double above_target(const bs_targets *t, int64_t i, int64_t k, int64_t C)
{
    const double smoothing = t->label_smoothing;
    return (1.0 - smoothing) * (t->ids[i] > k) + smoothing * (double)(C - 1 - k) / (double)C;
}

/* The mean over k < C - 1 of the binary cross-entropy of the event that the class is above k, whose
 * probability is the sum of softmax(z)_j over j > k (the ranked ignorance score of Toedter & Ahrens
 * 2012). Sums are kept as logarithms, so none of them underflows. The slope at z_j needs the sums
 * over k < j and over k >= j of what each event adds to it; the latter is computed anew for each j,
 * because subtraction would cancel. */
static double cumulative_cross_entropy(float *d_logits, const float *logits, const bs_targets *t,
                                       double weight, int64_t N, int64_t C)
{
    double loss = 0.0;
    for (int64_t i = 0; i < N; i++, logits += C, d_logits += C) {
        const double share = share_of(t, i, weight) / (double)(C - 1);
        const double lse = log_sum_exp(logits, 1.0, C);
        double below = -INFINITY, up_to = -INFINITY;
        for (int64_t j = 0; j < C; j++) {
            const double z = logits[j];
            double above = -INFINITY, sum = up_to;
            for (int64_t k = j; k < C - 1; k++) {
                sum = log_add(sum, logits[k]); /* log sum of exp(z_0) to exp(z_k) */
                above = log_add(above, log(1.0 - above_target(t, i, k, C)) - sum);
            }
            d_logits[j] = (float)(share * ((double)(C - 1) * exp(z - lse) - exp(z + below) -
                                           exp(z + above)));
            up_to = log_add(up_to, z);
            if (j < C - 1) {
                const double target = above_target(t, i, j, C);
                const double rest = log_sum_exp(logits + j + 1, 1.0, C - 1 - j);
                below = log_add(below, log(target) - rest);
                loss += share * (target * (lse - rest) + (1.0 - target) * (lse - up_to));
            }
        }
    }
    return loss;
}

/* ---- mean squared error ---- */

static bs_status check_matrix(const bs_targets *t, const char *what, int64_t N, int64_t C,
                              bs_error *e)
{
    for (int64_t i = 0; i < N * C; i++)
        if (!isfinite(t->matrix[i]))
            return bs_error_set(e, BS_ERR_VALUE, i / C, "row %lld: %s %g is not finite",
                                (long long)(i / C), what, (double)t->matrix[i]);
    return BS_OK;
}

/* For losses whose targets are any numbers. */
static bs_status number_check(const bs_targets *t, int64_t N, int64_t C, bs_error *e)
{
    if (t->label_smoothing != 0.0f)
        return bs_error_set(e, BS_ERR_VALUE, -1,
                            "label_smoothing is %g, expected 0: %s has no classes",
                            (double)t->label_smoothing, t->loss->name);
    return check_matrix(t, "target", N, C, e);
}

/* The mean over j of (z_j - t_j)^2. */
static double squared_error(float *d_logits, const float *logits, const bs_targets *t,
                            double weight, int64_t N, int64_t C)
{
    const float *target = t->matrix;
    double loss = 0.0;
    for (int64_t i = 0; i < N; i++, logits += C, d_logits += C, target += C) {
        const double share = share_of(t, i, weight) / (double)C;
        for (int64_t j = 0; j < C; j++) {
            const double error = (double)logits[j] - (double)target[j];
            loss += share * error * error;
            d_logits[j] = (float)(share * 2.0 * error);
        }
    }
    return loss;
}

/* ---- Huber loss ---- */

/* The mean over j of e^2 / 2 for errors |e| <= 1 and |e| - 1/2 for larger ones (Huber 1964). */
static double huber(float *d_logits, const float *logits, const bs_targets *t, double weight,
                    int64_t N, int64_t C)
{
    const float *target = t->matrix;
    double loss = 0.0;
    for (int64_t i = 0; i < N; i++, logits += C, d_logits += C, target += C) {
        const double share = share_of(t, i, weight) / (double)C;
        for (int64_t j = 0; j < C; j++) {
            const double error = (double)logits[j] - (double)target[j];
            const double slope = error > 1.0 ? 1.0 : error < -1.0 ? -1.0 : error;
            loss += share * slope * (error - 0.5 * slope);
            d_logits[j] = (float)(share * slope);
        }
    }
    return loss;
}

/* ---- binary cross-entropy ---- */

static bs_status binary_cross_entropy_check(const bs_targets *t, int64_t N, int64_t C, bs_error *e)
{
    if (!(t->label_smoothing >= 0.0f && t->label_smoothing < 1.0f))
        return bs_error_set(e, BS_ERR_VALUE, -1,
                            "label_smoothing is %g, expected a number from 0 to below 1",
                            (double)t->label_smoothing);
    for (int64_t j = 0; j < C && t->positive_weights != NULL; j++)
        if (!(t->positive_weights[j] >= 0.0f && isfinite(t->positive_weights[j])))
            return bs_error_set(e, BS_ERR_VALUE, j,
                                "label %lld: positive weight %g, expected a finite number >= 0",
                                (long long)j, (double)t->positive_weights[j]);
    for (int64_t i = 0; i < N * C; i++)
        if (!(t->matrix[i] >= 0.0f && t->matrix[i] <= 1.0f))
            return bs_error_set(e, BS_ERR_VALUE, i / C, "row %lld: target %g is not from 0 to 1",
                                (long long)(i / C), (double)t->matrix[i]);
    return BS_OK;
}

/* The mean over j of -p_j q_j log s(z_j) - (1 - q_j) log s(-z_j), where s is the logistic function,
 * p_j the positive weight, and q = (1 - smoothing) t + smoothing / 2. */
static double binary_cross_entropy(float *d_logits, const float *logits, const bs_targets *t,
                                   double weight, int64_t N, int64_t C)
{
    const double smoothing = t->label_smoothing;
    const float *target = t->matrix;
    double loss = 0.0;
    for (int64_t i = 0; i < N; i++, logits += C, d_logits += C, target += C) {
        const double share = share_of(t, i, weight) / (double)C;
        for (int64_t j = 0; j < C; j++) {
            const double z = logits[j], q = (1.0 - smoothing) * target[j] + 0.5 * smoothing;
            const double positive = (t->positive_weights != NULL ? t->positive_weights[j] : 1.0) * q;
            const double small = exp(-fabs(z)), log_sum = log1p(small);
            const double yes = (z >= 0.0 ? 1.0 : small) / (1.0 + small), no = 1.0 - q;
            const double other = (z >= 0.0 ? small : 1.0) / (1.0 + small); /* 1 - yes */
            loss += share * (positive * (log_sum + (z < 0.0 ? -z : 0.0)) +
                             no * (log_sum + (z > 0.0 ? z : 0.0)));
            d_logits[j] = (float)(share * (no * yes - positive * other));
        }
    }
    return loss;
}

/* ---- distillation ---- */

static bs_status distillation_check(const bs_targets *t, int64_t N, int64_t C, bs_error *e)
{
    if (!(t->temperature > 0.0f && isfinite(t->temperature)))
        return bs_error_set(e, BS_ERR_VALUE, -1, "temperature is %g, expected a number above 0",
                            (double)t->temperature);
    if (!(t->teacher_weight >= 0.0f && t->teacher_weight <= 1.0f))
        return bs_error_set(e, BS_ERR_VALUE, -1,
                            "teacher_weight is %g, expected a number from 0 to 1",
                            (double)t->teacher_weight);
    if (check_ids(t, -1, N, C, e) != BS_OK)
        return e->status;
    return check_matrix(t, "logit of the teacher", N, C, e);
}

/* The weight of the label's part of row i, which is 0 if there is no label. */
static double label_weight(const bs_targets *t, int64_t i)
{
    return t->ids[i] < 0 ? 0.0 : 1.0 - (double)t->teacher_weight;
}

/* (1 - w) label_loss + w T^2 KL(softmax(teacher / T) || softmax(z / T)), where T is the temperature
 * and w the weight of the teacher (Hinton et al. 2015). Without a label, the first part is 0. */
static double distillation_kl(float *d_logits, const float *logits, const bs_targets *t,
                              double weight, int64_t N, int64_t C)
{
    const double T = t->temperature, soft = t->teacher_weight;
    const float *teacher = t->matrix;
    double loss = 0.0;
    for (int64_t i = 0; i < N; i++, logits += C, d_logits += C, teacher += C) {
        const double share = share_of(t, i, weight), hard = label_weight(t, i);
        const double lse = log_sum_exp(logits, 1.0, C), lse_T = log_sum_exp(logits, T, C);
        const double teacher_lse = log_sum_exp(teacher, T, C);
        double divergence = 0.0;
        for (int64_t j = 0; j < C; j++) {
            const double log_q = logits[j] / T - lse_T, log_p = teacher[j] / T - teacher_lse;
            double slope = soft * T * (exp(log_q) - exp(log_p));
            divergence += exp(log_p) * (log_p - log_q);
            if (hard > 0.0)
                slope += hard * label_slope(t, i, logits, lse, j, C);
            d_logits[j] = (float)(share * slope);
        }
        loss += share * soft * T * T * divergence;
        if (hard > 0.0)
            loss += share * hard * label_loss(t, i, logits, lse, C);
    }
    return loss;
}

/* (1 - w) label_loss + w times the mean over j of (z_j - teacher_j)^2. */
static double distillation_mse(float *d_logits, const float *logits, const bs_targets *t,
                               double weight, int64_t N, int64_t C)
{
    const double soft = (double)t->teacher_weight / (double)C;
    const float *teacher = t->matrix;
    double loss = 0.0;
    for (int64_t i = 0; i < N; i++, logits += C, d_logits += C, teacher += C) {
        const double share = share_of(t, i, weight), hard = label_weight(t, i);
        const double lse = log_sum_exp(logits, 1.0, C);
        for (int64_t j = 0; j < C; j++) {
            const double error = (double)logits[j] - (double)teacher[j];
            double slope = 2.0 * soft * error;
            loss += share * soft * error * error;
            if (hard > 0.0)
                slope += hard * label_slope(t, i, logits, lse, j, C);
            d_logits[j] = (float)(share * slope);
        }
        if (hard > 0.0)
            loss += share * hard * label_loss(t, i, logits, lse, C);
    }
    return loss;
}

/* ---- contrastive ---- */

static bs_status contrastive_check(const bs_targets *t, int64_t N, int64_t C, bs_error *e)
{
    (void)C;
    if (t->label_smoothing != 0.0f)
        return bs_error_set(e, BS_ERR_VALUE, -1, "label_smoothing is %g, expected 0: %s has none",
                            (double)t->label_smoothing, t->loss->name);
    if (!(t->temperature >= 0.01f && isfinite(t->temperature)))
        return bs_error_set(e, BS_ERR_VALUE, -1,
                            "temperature is %g, expected a finite number of at least 0.01",
                            (double)t->temperature);
    for (int64_t i = 0; i < N; i++)
        if (t->ids[i] < 0)
            return bs_error_set(e, BS_ERR_INDEX, i, "row %lld: label %d is out of range, expected "
                                "0 or more", (long long)i, (int)t->ids[i]);
    return BS_OK;
}

static double contrastive(float *d_vectors, const float *vectors, const bs_targets *t,
                          double weight, int64_t N, int64_t C)
{
    const bs_contrast c = {.vectors = vectors, .ids = t->ids, .weights = t->weights,
                           .temperature = (double)t->temperature, .N = N, .H = C};
    (void)weight; /* that of these texts */
    return bs_contrastive(d_vectors, &c, t->scratch);
}

/* ---- the table ---- */

static const bs_loss losses[] = {
    {"cross_entropy", true, false, false, cross_entropy_check, cross_entropy},
    {"cumulative_cross_entropy", true, false, false, cross_entropy_check, cumulative_cross_entropy},
    {"mean_squared_error", false, true, false, number_check, squared_error},
    {"huber", false, true, false, number_check, huber},
    {"binary_cross_entropy", false, true, false, binary_cross_entropy_check,
     binary_cross_entropy},
    {"distillation_kl", true, true, false, distillation_check, distillation_kl},
    {"distillation_mse", true, true, false, distillation_check, distillation_mse},
    {"contrastive", true, false, true, contrastive_check, contrastive},
};

const bs_loss *bs_loss_list(int i)
{
    return i >= 0 && i < (int)(sizeof losses / sizeof *losses) ? &losses[i] : NULL;
}

const bs_loss *bs_loss_find(const char *name)
{
    const bs_loss *loss;
    for (int i = 0; (loss = bs_loss_list(i)) != NULL; i++)
        if (strcmp(loss->name, name) == 0)
            return loss;
    return NULL;
}

bs_targets bs_targets_from(const bs_targets *t, int64_t first, int64_t C)
{
    bs_targets part = *t;
    part.ids = t->ids != NULL ? t->ids + first : NULL;
    part.matrix = t->matrix != NULL ? t->matrix + first * C : NULL;
    part.weights = t->weights != NULL ? t->weights + first : NULL;
    return part;
}

bs_status bs_targets_check(const bs_targets *t, int64_t N, int64_t C, bs_error *e)
{
    if (t->positive_weights != NULL && t->loss->compute != binary_cross_entropy)
        return bs_error_set(e, BS_ERR_VALUE, -1, "positive_weights: %s has none", t->loss->name);
    if (t->loss->check(t, N, C, e) != BS_OK)
        return e->status;
    for (int64_t i = 0; i < N && t->weights != NULL; i++)
        if (!(t->weights[i] >= 0.0f && isfinite(t->weights[i])))
            return bs_error_set(e, BS_ERR_VALUE, i,
                                "row %lld: weight %g, expected a finite number >= 0", (long long)i,
                                (double)t->weights[i]);
    return BS_OK;
}
