/* Products of fp32 in AMX tiles, which multiply bfloat16 only. Each operand is the sum of three
 * bfloat16 numbers, as 3 x 8 bits hold the 24 of a float (Henry, Tang and Heinecke, Leveraging the
 * bfloat16 Artificial Intelligence Datatype For Higher-Precision Computations, ARITH 2019). Of the
 * nine products of parts the six largest are summed. The other three add up to at most 2^-24 of the
 * product, no more than the rounding error of fp32. Values below 2^-126 count as 0 in each part,
 * and an infinite element gives NaN.
 *
 * A chunk is 32 elements along k, the depth of a tile, stored as three parts one after the
 * other. */
#define PARTS BS_PARTS
#define PARTS_CHUNK 32
/* Chunks of 32 rows that are split at a time. They stay in the first-level cache for all panels;
 * the chunks of the panels stay in the second, beside a tile of C. */
#define PARTS_DEPTH 3
/* Bytes of one part of a chunk of 32 rows or 32 columns. */
#define PARTS_SIZE (32 * 2 * PARTS_CHUNK)

_Static_assert(PANEL_COLUMNS == 32, "a panel is two tiles wide");

/* Splits 16 floats into three parts, largest first, in the upper halves of their lanes. Each part
 * is rounded to nearest, ties away from 0, so that the remainder is exact; the last part is what
 * remains. */
static inline __attribute__((always_inline)) void parts_of(__m512i part[PARTS], __m512 x)
{
    const __m512i half = _mm512_set1_epi32(0x8000), upper = _mm512_set1_epi32(-0x10000);
    for (int p = 0; p < PARTS - 1; p++) {
        part[p] = _mm512_and_si512(_mm512_add_epi32((__m512i)x, half), upper);
        x = _mm512_sub_ps(x, (__m512)part[p]);
    }
    part[PARTS - 1] = (__m512i)x;
}

/* Each part of 32 floats, in order. */
static inline __attribute__((always_inline)) void parts_in_a_row(__m512i part[PARTS], __m512 first,
                                                                 __m512 second)
{
    const __m512i odd = _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37,
                                         35, 33, 31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7,
                                         5, 3, 1);
    __m512i other[PARTS];
    parts_of(part, first);
    parts_of(other, second);
    for (int p = 0; p < PARTS; p++)
        part[p] = _mm512_permutex2var_epi16(part[p], odd, other[p]);
}

/* Each part of 16 groups, which hold elements of the row at x and of the next row. There are `rows`
 * rows and n columns. */
static inline __attribute__((always_inline)) void parts_in_pairs(__m512i part[PARTS],
                                                                 const float *x, int64_t ld,
                                                                 int64_t rows, int64_t n)
{
    __m512i other[PARTS];
    parts_of(part, rows > 0 ? bf16_some(x, n) : _mm512_setzero_ps());
    parts_of(other, rows > 1 ? bf16_some(x + ld, n) : _mm512_setzero_ps());
    for (int p = 0; p < PARTS; p++)
        part[p] = _mm512_mask_blend_epi16(0xaaaaaaaa, _mm512_srli_epi32(part[p], 16), other[p]);
}

/* ---- the right operand ---- */

static void parts_panel(void *out, const float *x, int64_t k, int64_t n, int64_t ld)
{
    char *to = out;
    for (int64_t i = 0; i < k; i += PARTS_CHUNK, to += PARTS * PARTS_SIZE)
        for (int64_t g = 0; g < BS_PACKED_GROUPS; g++)
            for (int64_t j = 0; j < PANEL_COLUMNS; j += 16) {
                const int64_t row = i + 2 * g;
                __m512i part[PARTS];
                parts_in_pairs(part, x + row * ld + j, ld, k - row, n - j);
                for (int p = 0; p < PARTS; p++)
                    _mm512_storeu_si512(to + p * PARTS_SIZE + g * 4 * PANEL_COLUMNS + 4 * j,
                                        part[p]);
            }
}

static void parts_panel_transposed(void *out, const float *x, int64_t n, int64_t k, int64_t ld)
{
    char *to = out;
    for (int64_t i = 0; i < k; i += PARTS_CHUNK, to += PARTS * PARTS_SIZE)
        for (int64_t j = 0; j < PANEL_COLUMNS; j += 16) {
            __m512i r[PARTS][16] = {0};
            for (int64_t q = 0; q < 16 && j + q < n; q++) {
                const float *row = x + (j + q) * ld + i;
                __m512i part[PARTS];
                parts_in_a_row(part, bf16_some(row, k - i), bf16_some(row + 16, k - i - 16));
                for (int p = 0; p < PARTS; p++)
                    r[p][q] = part[p];
            }
            for (int p = 0; p < PARTS; p++) {
                packed_transpose(r[p]);
                for (int g = 0; g < BS_PACKED_GROUPS; g++)
                    _mm512_storeu_si512(to + p * PARTS_SIZE + g * 4 * PANEL_COLUMNS + 4 * j,
                                        r[p][g]);
            }
        }
}

/* ---- the left operand: up to 32 rows and PARTS_DEPTH chunks, 64 bytes for each row of a part of a
 * chunk ---- */

static void parts_left(char *out, const float *a, int64_t lda, int64_t rows, int64_t k)
{
    for (int64_t i = 0; i < rows; i++) {
        char *to = out + 64 * i;
        for (int64_t j = 0; j < k; j += PARTS_CHUNK, to += PARTS * PARTS_SIZE) {
            const float *x = a + i * lda + j;
            __m512i part[PARTS];
            parts_in_a_row(part, bf16_some(x, k - j), bf16_some(x + 16, k - j - 16));
            for (int p = 0; p < PARTS; p++)
                _mm512_store_si512(to + p * PARTS_SIZE, part[p]);
        }
    }
}

/* The same for a transposed operand: (k, rows). */
static void parts_left_transposed(char *out, const float *a, int64_t lda, int64_t rows, int64_t k)
{
    for (int64_t j = 0; j < k; j += PARTS_CHUNK, out += PARTS * PARTS_SIZE)
        for (int64_t i = 0; i < rows; i += 16) {
            __m512i r[PARTS][16];
            for (int g = 0; g < BS_PACKED_GROUPS; g++) {
                const int64_t at = j + 2 * g;
                __m512i part[PARTS];
                parts_in_pairs(part, a + at * lda + i, lda, k - at, rows - i);
                for (int p = 0; p < PARTS; p++)
                    r[p][g] = part[p];
            }
            for (int p = 0; p < PARTS; p++) {
                packed_transpose(r[p]);
                for (int q = 0; q < 16; q++)
                    _mm512_store_si512(out + p * PARTS_SIZE + 64 * (i + q), r[p][q]);
            }
        }
}

/* ---- the product ---- */

/* Part p of both tiles of rows; of both tiles of columns; their four products. */
#define PARTS_ROWS(p)                                                                             \
    do {                                                                                          \
        AMX_STEP(_tile_loadd(4, left + PARTS_SIZE * (p), 64));                                    \
        if (second_row)                                                                           \
            AMX_STEP(_tile_loadd(5, left + PARTS_SIZE * (p) + PARTS_SIZE / 2, 64));               \
    } while (0)
#define PARTS_COLUMNS(p)                                                                          \
    do {                                                                                          \
        AMX_STEP(_tile_stream_loadd(6, right + PARTS_SIZE * (p), 4 * PANEL_COLUMNS));             \
        AMX_STEP(_tile_stream_loadd(7, right + PARTS_SIZE * (p) + 64, 4 * PANEL_COLUMNS));        \
    } while (0)
#define PARTS_MULTIPLY()                                                                          \
    do {                                                                                          \
        AMX_STEP(_tile_dpbf16ps(0, 4, 6));                                                        \
        AMX_STEP(_tile_dpbf16ps(1, 4, 7));                                                        \
        if (second_row) {                                                                         \
            AMX_STEP(_tile_dpbf16ps(2, 5, 6));                                                    \
            AMX_STEP(_tile_dpbf16ps(3, 5, 7));                                                    \
        }                                                                                         \
    } while (0)

/* Lines to prefetch into the second-level cache while a block is multiplied: fetched all at once,
 * they would have to be waited for. They may be past the end. */
typedef struct {
    uintptr_t at;
    int64_t ld, rows, bytes;
} parts_ahead;

static inline void parts_fetch(const parts_ahead *a)
{
    for (int64_t i = 0; i < a->rows; i++)
        for (int64_t j = 0; j < a->bytes; j += 64)
            __builtin_prefetch((const void *)(a->at + (uintptr_t)(i * a->ld + j)), 0, 2);
}

/* c (high, wide) += or = the product of `chunks` chunks. */
static inline __attribute__((always_inline)) void parts_block(
    float *c, int64_t ldc, const char *left, const char *right, int64_t chunks, int64_t high,
    int64_t wide, bool add, const parts_ahead ahead[2], const bool second_row)
{
    float corner[32 * 32];
    for (int64_t r = 0; r < high; r++) { /* prefetch C for the next panel */
        __builtin_prefetch(c + r * ldc + 32, 1);
        __builtin_prefetch(c + r * ldc + 48, 1);
    }
    amx_open(c, ldc, corner, high, wide, add);
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        PARTS_COLUMNS(0);
        PARTS_ROWS(2);
        PARTS_MULTIPLY();
        PARTS_ROWS(1);
        PARTS_MULTIPLY();
        PARTS_ROWS(0);
        PARTS_MULTIPLY();
        PARTS_COLUMNS(2);
        PARTS_MULTIPLY();
        PARTS_COLUMNS(1);
        PARTS_MULTIPLY();
        PARTS_ROWS(1);
        PARTS_MULTIPLY();
        left += PARTS * PARTS_SIZE;
        right += PARTS * PARTS_SIZE;
    }
    parts_fetch(&ahead[0]);
    parts_fetch(&ahead[1]);
    amx_close(c, ldc, corner, high, wide);
}

/* Where share i of n of x begins. */
static inline int64_t parts_share(int64_t x, int64_t i, int64_t n)
{
    return x * i / n;
}

/* Rows of a are lda floats apart; with `across`, a is (k, rows). The product works along k in
 * stretches: a stretch of the right operand stays in the second-level cache for all rows, while the
 * next one is prefetched. After the last stretch that is the first one again, for the rows of the
 * next task. */
static inline __attribute__((always_inline)) void parts_multiply(
    float *c, int64_t ldc, const float *a, int64_t lda, const char *b, int64_t ld_panel,
    int64_t rows, int64_t cols, int64_t k, bool add, const bool across)
{
    enum { STRETCH = PARTS_DEPTH * PARTS_CHUNK, CHUNK_SIZE = PARTS * PARTS_SIZE };
    char left[PARTS_DEPTH * CHUNK_SIZE] __attribute__((aligned(64)));
    const int64_t panels = (cols + PANEL_COLUMNS - 1) / PANEL_COLUMNS, strips = (rows + 31) / 32;
    amx_begin();
    for (int64_t at = 0; at < k; at += STRETCH, add = true) {
        const int64_t deep = k - at < STRETCH ? k - at : STRETCH;
        const int64_t chunks = (deep + PARTS_CHUNK - 1) / PARTS_CHUNK;
        const int64_t then = at + deep < k ? at + deep : 0;
        const int64_t later = k - then < STRETCH ? k - then : STRETCH;
        const int64_t later_size = (later + PARTS_CHUNK - 1) / PARTS_CHUNK * CHUNK_SIZE / 64;
        for (int64_t s = 0; s < strips; s++) {
            const int64_t i = 32 * s, high = rows - i < 32 ? rows - i : 32;
            (across ? parts_left_transposed : parts_left)(
                left, a + (across ? at * lda + i : i * lda + at), lda, high, deep);
            /* the rows that are split next */
            const bool last = s + 1 == strips;
            const int64_t next_at = last ? then : at, next_deep = last ? later : deep;
            const int64_t next_i = !last ? i + 32 : then > 0 ? 0 : rows;
            const int64_t next_high = next_i < rows && rows - next_i < 32 ? rows - next_i : 32;
            const int64_t next = across ? next_at * lda + next_i : next_i * lda + next_at;
            const int64_t lines = across ? next_deep : next_high;
            for (int64_t p = 0; p < panels; p++) {
                const int64_t j = PANEL_COLUMNS * p, wide = cols - j < 32 ? cols - j : 32;
                const char *panel = b + p * ld_panel;
                const char *right = panel + at / PARTS_CHUNK * CHUNK_SIZE;
                const int64_t line = parts_share(lines, p, panels);
                const int64_t from = parts_share(later_size, s, strips);
                const parts_ahead ahead[2] = {
                    {.at = (uintptr_t)a + (uintptr_t)(4 * (next + line * lda)), .ld = 4 * lda,
                     .rows = parts_share(lines, p + 1, panels) - line,
                     .bytes = 4 * (across ? next_high : next_deep)},
                    {.at = (uintptr_t)(panel + then / PARTS_CHUNK * CHUNK_SIZE + 64 * from),
                     .rows = 1, .bytes = 64 * (parts_share(later_size, s + 1, strips) - from)},
                };
                float *to = c + i * ldc + j;
                if (high > 16)
                    parts_block(to, ldc, left, right, chunks, high, wide, add, ahead, true);
                else
                    parts_block(to, ldc, left, right, chunks, high, wide, add, ahead, false);
            }
        }
    }
}

static void parts_product(float *c, int64_t ldc, const void *a, int64_t lda, const void *b,
                          int64_t ld_panel, int64_t rows, int64_t cols, int64_t k, bool add)
{
    parts_multiply(c, ldc, a, lda / 4, b, ld_panel, rows, cols, k, add, false);
}

static void parts_product_transposed(float *c, int64_t ldc, const void *a, int64_t lda,
                                     const void *b, int64_t ld_panel, int64_t rows, int64_t cols,
                                     int64_t k, bool add)
{
    parts_multiply(c, ldc, a, lda / 4, b, ld_panel, rows, cols, k, add, true);
}
