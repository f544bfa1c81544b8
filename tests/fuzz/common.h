/* What all fuzz targets share: checks, memory, and a reader of the input. */
#ifndef BS_FUZZ_COMMON_H
#define BS_FUZZ_COMMON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition, ...)                                                                    \
    do {                                                                                         \
        if (!(condition)) {                                                                      \
            fprintf(stderr, "%s:%d: %s does not hold: ", __FILE__, __LINE__, #condition);        \
            fprintf(stderr, __VA_ARGS__);                                                        \
            fputc('\n', stderr);                                                                 \
            abort();                                                                             \
        }                                                                                        \
    } while (0)

/* The two functions of a target. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* malloc and realloc that abort; `size` may be 0. */
static inline void *must_alloc(void *old, size_t size)
{
    void *data = realloc(old, size == 0 ? 1 : size);
    if (data == NULL)
        abort();
    return data;
}

/* The input, read from its start. Where it ends, zeros follow. */
typedef struct {
    const uint8_t *data;
    size_t size;
} reader;

static inline uint8_t read_byte(reader *r)
{
    if (r->size == 0)
        return 0;
    r->size--;
    return *r->data++;
}

/* A number from 0 to n - 1 <= 255. */
static inline int read_below(reader *r, int n)
{
    return read_byte(r) % n;
}

/* True for one byte in `n`, but not for 0. */
static inline bool read_one_in(reader *r, int n)
{
    return read_byte(r) % n == n - 1;
}

/* Any number of 8 bytes. */
static inline int64_t read_any(reader *r)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | read_byte(r);
    return (int64_t)value;
}

/* Mostly one of those at which arithmetic goes wrong. */
static inline int64_t read_hostile(reader *r)
{
    static const int64_t numbers[] = {
        -1, INT64_MIN, INT64_MAX, INT64_MIN + 1, INT64_MAX - 1, INT64_MAX / 2, INT64_MAX / 16,
        INT32_MIN, INT32_MAX, INT64_C(1) << 31, INT64_C(1) << 32, UINT32_MAX, INT64_C(1) << 40,
        INT64_C(1) << 56, INT64_C(1) << 60, -2, 0, 1, 255, 256, 65535, 65536, 1 << 20, 1 << 24,
        (1 << 24) + 1, -128, -32768,
    };
    enum { COUNT = sizeof numbers / sizeof *numbers };
    const int i = read_byte(r) % (COUNT + 4);
    return i < COUNT ? numbers[i] : i == COUNT ? read_any(r) : (int64_t)(int8_t)read_byte(r);
}

#endif
