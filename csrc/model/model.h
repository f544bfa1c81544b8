/* A model: its numbers, where its parameters are, and the kernels it runs on. */
#ifndef BS_MODEL_MODEL_H
#define BS_MODEL_MODEL_H

#include "model/batch.h"
#include "model/config.h"
#include "model/parameters.h"

typedef struct {
    bs_config config;
    bs_parameter_table table;
    const bs_kernels *kernels;
    float *parameters; /* (table.total,), the caller's */
} bs_model;

#endif
