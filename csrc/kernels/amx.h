/* C = A B over packed operands in AMX tiles: 32 x 32 of C at a time in four of the eight tile
 * registers; two more hold A and two hold B. Rows of A stay in the first-level cache for all
 * panels, so B is loaded with a hint to bypass it. */

typedef struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} amx_layout;

/* All eight tiles: 16 rows of 64 bytes each. */
static const amx_layout amx_whole = {
    .palette = 1,
    .bytes = {64, 64, 64, 64, 64, 64, 64, 64},
    .rows = {16, 16, 16, 16, 16, 16, 16, 16},
};

/* A tile instruction followed by eight nops. If the other thread of the core is busy, tiles seem to
 * run at half rate, and tile instructions that follow each other closely stall: a chunk of
 * parts_block took 581 ns without nops, 442 ns with five and 356 ns with seven or more. If the core
 * is otherwise idle, it takes 144 to 149 ns with any number. No manual explains this. */
#define AMX_STEP(INSTRUCTION)                                                                     \
    do {                                                                                          \
        INSTRUCTION;                                                                              \
        __asm__ volatile("nop; nop; nop; nop; nop; nop; nop; nop");                               \
    } while (0)

/* Reading the configuration takes a twelfth of the time of loading it. */
static inline void amx_begin(void)
{
    amx_layout now;
    _tile_storeconfig(&now);
    if (_mm512_cmpneq_epi32_mask(_mm512_loadu_si512(&now), _mm512_loadu_si512(&amx_whole)) != 0)
        _tile_loadconfig(&amx_whole);
}

/* Releases the tiles: suspending a thread costs more while they are in use. */
static void amx_end(void)
{
    _tile_release();
}

/* Copies the 4-byte elements of a corner of C. */
static inline void amx_copy(void *to, int64_t ld_to, const void *from, int64_t ld_from,
                            int64_t rows, int64_t cols)
{
    for (int64_t i = 0; i < rows; i++)
        memcpy((char *)to + 4 * i * ld_to, (const char *)from + 4 * i * ld_from,
               (size_t)(4 * cols));
}

/* Loads four tiles of C, `high` x `wide` elements of 4 bytes in rows ldc elements apart, or zeroes
 * them without `add`. Tiles that reach beyond C go through `corner`, which is 32 x 32. */
static inline __attribute__((always_inline)) void amx_open(const void *c, int64_t ldc, void *corner,
                                                           int64_t high, int64_t wide, bool add)
{
    const bool whole = wide == 32 && high == 32;
    const char *from = whole ? c : corner;
    const int64_t ld = whole ? 4 * ldc : 4 * 32;
    if (!add) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        return;
    }
    if (!whole)
        amx_copy(corner, 32, c, ldc, high, wide);
    _tile_loadd(0, from, ld);
    _tile_loadd(1, from + 64, ld);
    _tile_loadd(2, from + 16 * ld, ld);
    _tile_loadd(3, from + 16 * ld + 64, ld);
}

/* Stores them. */
static inline __attribute__((always_inline)) void amx_close(void *c, int64_t ldc, void *corner,
                                                            int64_t high, int64_t wide)
{
    const bool whole = wide == 32 && high == 32;
    char *to = whole ? c : corner;
    const int64_t ld = whole ? 4 * ldc : 4 * 32;
    _tile_stored(0, to, ld);
    _tile_stored(1, to + 64, ld);
    _tile_stored(2, to + 16 * ld, ld);
    _tile_stored(3, to + 16 * ld + 64, ld);
    if (!whole)
        amx_copy(c, ldc, corner, 32, high, wide);
}

/* One function per product, as the operation is part of the instruction. */
#define AMX_PRODUCT(NAME, TYPE, DOT)                                                              \
    static void NAME(TYPE *c, int64_t ldc, const void *a, int64_t lda, const void *b,             \
                     int64_t ld_panel, int64_t rows, int64_t cols, int64_t groups, bool add)      \
    {                                                                                             \
        /* The result of a short product is attention's scratch, in the first-level cache. */      \
        const bool far = add || groups > 4 * BS_PACKED_GROUPS;                                    \
        TYPE corner[32 * 32];                                                                     \
        amx_begin();                                                                              \
        for (int64_t i = 0; i < rows; i += 32) {                                                  \
            const int64_t high = rows - i < 32 ? rows - i : 32;                                   \
            for (int64_t j = 0; j < cols; j += 32) {                                              \
                const int64_t wide = cols - j < 32 ? cols - j : 32;                               \
                const bool whole = wide == 32 && high == 32;                                      \
                const bool second_row = high > 16, second_col = wide > 16;                        \
                TYPE *out = c + i * ldc + j;                                                      \
                for (int64_t r = 0; whole && far && r < 32; r++) {                                \
                    __builtin_prefetch((const char *)(out + r * ldc), 1);                         \
                    __builtin_prefetch((const char *)(out + r * ldc) + 64, 1);                    \
                }                                                                                 \
                amx_open(out, ldc, corner, high, wide, add);                                      \
                const char *left = (const char *)a + i * lda;                                     \
                const char *right = (const char *)b + j / PANEL_COLUMNS * ld_panel;               \
                for (int64_t g = 0; g < groups; g += BS_PACKED_GROUPS) {                          \
                    AMX_STEP(_tile_stream_loadd(6, right, 4 * PANEL_COLUMNS));                    \
                    AMX_STEP(_tile_loadd(4, left, lda));                                          \
                    AMX_STEP(DOT(0, 4, 6));                                                       \
                    if (second_col) {                                                             \
                        AMX_STEP(_tile_stream_loadd(7, right + 64, 4 * PANEL_COLUMNS));           \
                        AMX_STEP(DOT(1, 4, 7));                                                   \
                    }                                                                             \
                    if (second_row) {                                                             \
                        AMX_STEP(_tile_loadd(5, left + 16 * lda, lda));                           \
                        AMX_STEP(DOT(2, 5, 6));                                                   \
                        if (second_col)                                                           \
                            AMX_STEP(DOT(3, 5, 7));                                               \
                    }                                                                             \
                    left += 64;                                                                   \
                    right += 64 * PANEL_COLUMNS;                                                  \
                }                                                                                 \
                amx_close(out, ldc, corner, high, wide);                                          \
            }                                                                                     \
        }                                                                                         \
    }
