/* The time that each stage of a pass takes, measured by a clock that is read after each stage. */
#ifndef BS_MODEL_STAGES_H
#define BS_MODEL_STAGES_H

#include <stddef.h>
#include <time.h>

/* The stages of a step, in order. Stages of the backward pass are named after what they reverse. */
#define BS_STAGES(X)                                                                             \
    X(PACK, "pack")                                                                              \
    X(EMBEDDINGS, "embeddings")                                                                  \
    X(STORED, "stored")                                                                          \
    X(QKV, "qkv")                                                                                \
    X(ATTENTION, "attention")                                                                    \
    X(ATTENTION_OUTPUT, "attention_output")                                                      \
    X(NORM1, "norm1")                                                                            \
    X(UP, "up")                                                                                  \
    X(DOWN, "down")                                                                              \
    X(NORM2, "norm2")                                                                            \
    X(HEAD, "head")                                                                              \
    X(HEAD_BACKWARD, "head_backward")                                                            \
    X(NORM2_BACKWARD, "norm2_backward")                                                          \
    X(DOWN_BACKWARD, "down_backward")                                                            \
    X(UP_BACKWARD, "up_backward")                                                                \
    X(NORM1_BACKWARD, "norm1_backward")                                                          \
    X(ATTENTION_OUTPUT_BACKWARD, "attention_output_backward")                                    \
    X(ATTENTION_BACKWARD, "attention_backward")                                                  \
    X(QKV_BACKWARD, "qkv_backward")                                                              \
    X(EMBEDDINGS_BACKWARD, "embeddings_backward")                                                \
    X(OPTIMIZER, "optimizer")                                                                    \
    X(OTHER, "other")

#define BS_STAGE_ID(id, name) BS_STAGE_##id,
typedef enum { BS_STAGES(BS_STAGE_ID) BS_STAGE_COUNT } bs_stage;
#undef BS_STAGE_ID

/* For one call at a time. */
typedef struct {
    double seconds[BS_STAGE_COUNT];
    double last; /* when the previous stage ended */
} bs_stage_clock;

/* Adds the time since the last mark to `stage`. Does nothing without a clock. */
static inline void bs_stage_mark(bs_stage_clock *clock, bs_stage stage)
{
    struct timespec now;
    if (clock == NULL)
        return;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const double at = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    clock->seconds[stage] += at - clock->last;
    clock->last = at;
}

/* Starts the clock: time before this counts to no stage. */
static inline void bs_stage_begin(bs_stage_clock *clock)
{
    if (clock == NULL)
        return;
    const double others = clock->seconds[BS_STAGE_OTHER];
    bs_stage_mark(clock, BS_STAGE_OTHER);
    clock->seconds[BS_STAGE_OTHER] = others;
}

#endif
