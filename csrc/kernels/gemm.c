#include "kernels/gemm.h"

#include "core/arena.h"
#include "core/pool.h"
#include "kernels/blas.h"

/* A tile of C with its panels of A and B is worked on in the second-level cache.
 * Larger tiles waste less on packing, smaller ones share out better. */
#define TILE_ROWS 512
#define TILE_COLS 768
#define MIN_TILES 8
#define MIN_SIDE 64

void bs_gemm_small(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha,
                   const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                   int64_t ldc)
{
    bs_fork_hold(); /* the BLAS takes a lock to find its buffers */
    BS_BLAS(cblas_sgemm)
    (BS_BLAS_ROW_MAJOR, trans_a ? BS_BLAS_TRANSPOSED : BS_BLAS_PLAIN,
     trans_b ? BS_BLAS_TRANSPOSED : BS_BLAS_PLAIN, (int)m, (int)n, (int)k, alpha, a, (int)lda, b,
     (int)ldb, beta, c, (int)ldc);
    bs_fork_release();
}

/* Over packed operands; for how many rows the kernel table says. */
#define LOW_TILE_COLS 384 /* a cut may add a panel but one column: within BS_GEMM_TILE_COLS */
/* In parts, where rows of A are split anew for each cut of the columns; of shorter products the
 * result itself is what takes time, and the cache. */
#define PARTS_TILE_COLS 576
/* Rows of a transient result that a tile makes at a time. */
#define LOW_STRIP (BS_GEMM_TILE / BS_GEMM_TILE_COLS)
/* Rows of A or columns of B that one task converts. */
#define LOW_UNIT 64

static int64_t parts_of(int64_t size, int64_t part)
{
    return (size + part - 1) / part;
}

static bool by_blas(const bs_kernels *kernels, const bs_gemm *g)
{
    return g->precision == BS_FLOAT32 && g->packed == NULL &&
           !(g->packs && kernels->fp32_product != NULL);
}

/* Whether the product is one of fp32 in parts of bfloat16. */
static bool in_parts(const bs_kernels *kernels, const bs_gemm *g)
{
    return g->precision == BS_FLOAT32 && kernels->parts_product != NULL && !by_blas(kernels, g);
}

/* Rows that tiles have before tile i, of which the first has `largest` and later ones down to half of
 * it: a share of those that are left. */
static int64_t rows_before(int64_t m, int64_t largest, int64_t i)
{
    const int64_t least = largest / 2;
    int64_t row = 0;
    for (; i > 0 && row < m; i--) {
        const int64_t share = (m - row) / 3;
        const int64_t rows = share > largest ? largest : share < least ? least : share;
        row += bs_round_up(rows, BS_LOW_ROWS);
    }
    return row < m ? row : m;
}

/* Even cuts, halving the longer side until there are enough to share out; in parts, whose tiles are
 * large, rows first, and what is worked on last in smaller and smaller ones. */
static void cut(const bs_kernels *kernels, bs_gemm *g, bool last)
{
    const bool low = !by_blas(kernels, g), parts = in_parts(kernels, g);
    g->tiles_m = parts_of(g->m, low ? kernels->tile_rows : TILE_ROWS);
    const bool wide = parts && !g->transient && g->k >= PARTS_TILE_COLS;
    g->tiles_n = parts_of(g->n, wide ? PARTS_TILE_COLS : low ? LOW_TILE_COLS : TILE_COLS);
    while (g->tiles_m * g->tiles_n < (parts ? MIN_TILES / 2 : MIN_TILES)) {
        const int64_t rows = g->m / g->tiles_m, cols = g->n / g->tiles_n;
        if (rows < 2 * MIN_SIDE && cols < 2 * MIN_SIDE)
            break;
        if (rows >= cols || (parts && rows >= 2 * MIN_SIDE))
            g->tiles_m *= 2;
        else
            g->tiles_n *= 2;
    }
    g->tiles_last = g->tiles_m;
    if (last && parts)
        while (rows_before(g->m, kernels->tile_rows, g->tiles_last) < g->m)
            g->tiles_last++;
}

static int64_t tiles_of(const bs_gemm *g)
{
    return g->tiles_m * (g->tiles_n - 1) + g->tiles_last;
}

/* Where part i of `parts` of `size` begins: a multiple of `grain`, but for the end. */
static int64_t boundary(int64_t size, int64_t parts, int64_t i, int64_t grain)
{
    if (i >= parts)
        return size;
    const int64_t at = size * i / parts;
    return at - at % grain;
}

/* ---- over packed operands ---- */

size_t bs_packed_size(const bs_kernels *kernels, bs_precision precision, int64_t k, int64_t n)
{
    return (size_t)(bs_panel_groups(kernels, precision, k) * 4 * bs_round_up(n, kernels->columns));
}

/* Takes room for the operands. */
static void lay_out(const bs_kernels *kernels, bs_gemm *g, bs_arena *scratch)
{
    g->low.units_a = g->low.units_b = 0;
    if (by_blas(kernels, g))
        return;
    g->low.groups = bs_low_groups(bs_low_elements(kernels, g->precision), g->k);
    g->low.ld_panel = 4 * bs_panel_groups(kernels, g->precision, g->k) * kernels->columns;
    if (g->precision == BS_FLOAT32) {
        g->low.a = (char *)g->a;
        g->low.lda = 4 * g->lda;
    } else if (g->ready.data != NULL) {
        g->low.a = g->ready.data;
        g->low.lda = g->ready.ld;
    } else {
        g->low.lda = bs_low_ld(g->low.groups);
        g->low.units_a = parts_of(g->m, LOW_UNIT);
        g->low.a = bs_arena_take(scratch, (size_t)(g->low.lda * bs_round_up(g->m, BS_LOW_ROWS)), 1);
    }
    if (g->precision == BS_INT8) {
        g->low.row_scale = bs_arena_floats(scratch, g->m);
        g->low.row_offset = bs_arena_floats(scratch, g->m);
    }
    if (g->packed != NULL) {
        g->low.b = g->packed->panels;
        return;
    }
    g->low.units_b = bs_panels(kernels, g->n);
    g->low.b = bs_arena_take(scratch, bs_packed_size(kernels, g->precision, g->k, g->n), 1);
}

size_t bs_gemm_scratch(const bs_kernels *kernels, const bs_gemm *g)
{
    bs_gemm counting = *g;
    bs_arena nowhere = {0};
    lay_out(kernels, &counting, &nowhere);
    return nowhere.used;
}

typedef struct {
    const bs_gemm_workers *workers;
    bs_gemm *group;
} gemm_job;

/* One unit of one operand of one product of the group. */
static void convert(void *job_, int64_t task, int worker)
{
    const gemm_job *job = job_;
    const bs_kernels *k = job->workers->kernels;
    const bs_gemm *g = job->group;
    (void)worker;
    while (task >= g->low.units_a + g->low.units_b) {
        task -= g->low.units_a + g->low.units_b;
        g++;
    }
    if (task < g->low.units_a) {
        const int64_t row = task * LOW_UNIT;
        const int64_t rows = g->m - row < LOW_UNIT ? g->m - row : LOW_UNIT;
        char *to = g->low.a + row * g->low.lda;
        if (g->precision == BS_INT8)
            k->int8_rows(to, g->low.lda, g->low.row_scale + row, g->low.row_offset + row,
                         g->a + row * g->lda, rows, g->k, g->lda);
        else if (g->trans_a)
            k->bf16_rows_transposed(to, g->low.lda, g->a + row, g->k, rows, g->lda);
        else
            k->bf16_rows(to, g->low.lda, g->a + row * g->lda, rows, g->k, g->lda);
        return;
    }
    const int64_t panel = task - g->low.units_a, col = panel * k->columns;
    const int64_t cols = bs_panel_columns(k, g->n, col);
    char *to = g->low.b + panel * g->low.ld_panel;
    const bs_panel_kernel pack = bs_panel_of(k, g->precision, g->trans_b);
    if (g->trans_b)
        pack(to, g->b + col * g->ldb, cols, g->k, g->ldb);
    else
        pack(to, g->b + col, g->k, cols, g->ldb);
}

static bs_product_kernel product_of(const bs_kernels *k, bs_precision precision, bool across)
{
    if (precision != BS_FLOAT32)
        return k->bf16_product;
    if (k->parts_product != NULL)
        return across ? k->parts_product_transposed : k->parts_product;
    return across ? k->fp32_product_transposed : k->fp32_product;
}

/* Rows and columns of C from (row, col) on, the first of them at c. */
static void low_tile(const bs_kernels *k, const bs_gemm *g, float *c, int64_t ldc, int64_t row,
                     int64_t rows, int64_t col, int64_t cols)
{
    const bool across = g->precision == BS_FLOAT32 && g->trans_a;
    const int64_t deep = in_parts(k, g) ? g->low.groups : k->tile_groups; /* in parts: cut within */
    for (int64_t at = 0; at < g->low.groups; at += deep) {
        const int64_t left = g->low.groups - at;
        const int64_t groups = left < deep ? left : deep;
        /* fp32 that lies transposed: groups are rows */
        const char *a = across ? g->low.a + 4 * row + at * g->low.lda
                               : g->low.a + row * g->low.lda + 4 * at;
        const char *b = g->low.b + col / k->columns * g->low.ld_panel + 4 * at * k->columns;
        if (g->precision == BS_INT8)
            k->int8_product((int32_t *)c, ldc, a, g->low.lda, b, g->low.ld_panel, rows, cols,
                            groups, at > 0);
        else
            product_of(k, g->precision, across)(c, ldc, a, g->low.lda, b, g->low.ld_panel, rows,
                                                cols, groups, at > 0 || g->beta != 0.0f);
    }
    if (g->precision == BS_INT8)
        k->int8_restore(c, ldc, rows, cols, g->low.row_scale + row, g->low.row_offset + row,
                        g->packed->scale + col, g->packed->sum + col);
}

/* What g->into, or g->c, is of rows and columns from (row, col) on. */
static bs_result part_of(const bs_gemm *g, int64_t row, int64_t col)
{
    if (g->into == NULL)
        return (bs_result){.out = (char *)(g->c + row * g->ldc + col), .ld = 4 * g->ldc};
    bs_result r = *g->into;
    r.out += row * r.ld + (r.low ? 2 : 4) * col;
    r.bias += col;
    r.u = r.u != NULL ? r.u + row * r.ld_u + col : NULL;
    return r;
}

/* Makes it of them in registers; false: no kernel does. */
static bool tile_into(const bs_kernels *k, const bs_gemm *g, int64_t row, int64_t rows, int64_t col,
                      int64_t cols)
{
    const bool low = g->precision == BS_BFLOAT16 && g->into != NULL;
    const bool whole = g->precision == BS_INT8 && (g->into != NULL || g->epilogue == NULL);
    if (g->low.groups > k->tile_groups || !((low && k->bf16_product_into != NULL) ||
                                            (whole && k->int8_product_into != NULL)))
        return false;
    const bs_result r = part_of(g, row, col);
    const char *a = g->low.a + row * g->low.lda;
    const char *b = g->low.b + col / k->columns * g->low.ld_panel;
    if (low) {
        k->bf16_product_into(&r, a, g->low.lda, b, g->low.ld_panel, rows, cols, g->low.groups);
        return true;
    }
    const bs_int8_scales by = {g->low.row_scale + row, g->low.row_offset + row,
                               g->packed->scale + col, g->packed->sum + col};
    k->int8_product_into(&r, &by, a, g->low.lda, b, g->low.ld_panel, rows, cols, g->low.groups);
    return true;
}

/* The same strip by strip in the worker's scratch, each followed by what becomes of it. */
static void transient_tile(const bs_kernels *k, const bs_gemm *g, float *strip, int64_t row,
                           int64_t rows, int64_t col, int64_t cols)
{
    const int64_t end = row + rows, ld = BS_GEMM_TILE_COLS;
    for (; row < end; row += LOW_STRIP) {
        const int64_t some = end - row < LOW_STRIP ? end - row : LOW_STRIP;
        low_tile(k, g, strip, ld, row, some, col, cols);
        if (g->into == NULL) {
            g->epilogue(g->epilogue_arg, strip, ld, row, some, col, cols);
            continue;
        }
        const bs_result r = part_of(g, row, col);
        if (r.of == BS_OF_BIAS)
            k->bf16_bias_rows(r.out, r.ld, strip, ld, r.bias, some, cols);
        else
            k->bf16_bias_activation(r.out, r.ld, r.u, r.ld_u, strip, ld, r.bias, some, cols, r.act);
    }
}

/* ---- all ---- */

static void one_tile(void *job_, int64_t task, int worker)
{
    const gemm_job *job = job_;
    const bs_gemm *g = job->group;
    while (task >= tiles_of(g)) {
        task -= tiles_of(g);
        g++;
    }
    const bs_kernels *k = job->workers->kernels;
    const bool low = !by_blas(k, g);
    const int64_t grain_m = low ? BS_LOW_ROWS : 16, grain_n = low ? k->columns : 16;
    /* In parts B is larger than A: tiles of the same columns follow each other. */
    const bool down = in_parts(k, g);
    int64_t i = down ? task % g->tiles_m : task / g->tiles_n;
    int64_t j = down ? task / g->tiles_m : task % g->tiles_n;
    int64_t row = boundary(g->m, g->tiles_m, i, grain_m);
    int64_t end = boundary(g->m, g->tiles_m, i + 1, grain_m);
    if (g->tiles_last != g->tiles_m && j >= g->tiles_n - 1) {
        i = task - g->tiles_m * (g->tiles_n - 1), j = g->tiles_n - 1;
        row = rows_before(g->m, k->tile_rows, i), end = rows_before(g->m, k->tile_rows, i + 1);
    }
    const int64_t col = boundary(g->n, g->tiles_n, j, grain_n);
    const int64_t rows = end - row, cols = boundary(g->n, g->tiles_n, j + 1, grain_n) - col;
    if (rows <= 0 || cols <= 0)
        return;
    if (low && tile_into(k, g, row, rows, col, cols))
        return;
    if (g->transient) {
        transient_tile(k, g, job->workers->tiles + worker * job->workers->ld_tiles, row, rows, col,
                       cols);
        return;
    }
    float *c = g->c + row * g->ldc + col;
    if (low)
        low_tile(k, g, c, g->ldc, row, rows, col, cols);
    else
        bs_gemm_small(g->trans_a, g->trans_b, rows, cols, g->k, g->alpha,
                      g->a + (g->trans_a ? row : row * g->lda), g->lda,
                      g->b + (g->trans_b ? col * g->ldb : col), g->ldb, g->beta,
                      c, g->ldc);
    if (g->epilogue != NULL)
        g->epilogue(g->epilogue_arg, c, g->ldc, row, rows, col, cols);
}

static void gemm_tile(void *job_, int64_t task, int worker)
{
    const gemm_job *job = job_;
    one_tile(job_, task, worker);
    if (!by_blas(job->workers->kernels, job->group))
        bs_end_products(job->workers->kernels);
}

void bs_gemm_run(const bs_gemm_workers *w, bs_gemm *group, int count)
{
    gemm_job job = {w, group};
    int64_t tasks = 0, conversions = 0;
    bs_arena scratch = {.block = w->scratch};
    for (int i = 0; i < count; i++) {
        cut(w->kernels, &group[i], i + 1 == count);
        tasks += tiles_of(&group[i]);
        lay_out(w->kernels, &group[i], &scratch);
        conversions += group[i].low.units_a + group[i].low.units_b;
    }
    if (conversions > 0)
        bs_pool_run(w->n_threads, conversions, convert, &job);
    bs_pool_run(w->n_threads, tasks, gemm_tile, &job);
}
