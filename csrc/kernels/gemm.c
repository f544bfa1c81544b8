#include "kernels/gemm.h"

#include "core/arena.h"
#include "core/pool.h"
#include "kernels/blas.h"

/* A tile of C and its panels of A and B are worked on in the second-level cache. Larger tiles waste
 * less time on packing; smaller ones balance the load better. */
#define TILE_ROWS 512
#define TILE_COLS 768
#define MIN_TILES 8
#define MIN_SIDE 64

void bs_gemm_small(const bs_kernels *kernels, const bs_small_product *g)
{
    if (kernels->small_product != NULL)
        kernels->small_product(g);
    else
        bs_blas_product(g);
}

/* For packed operands. The kernel table gives the number of rows. */
#define PACKED_TILE_COLS 384 /* cuts may be wider by almost a panel: within BS_GEMM_TILE_COLS */
/* For fp32 in parts, where each cut of the columns splits the rows of A again. In shorter products
 * the result itself dominates time and cache. */
#define PARTS_TILE_COLS 576
/* Rows of a transient result that are computed at a time. */
#define STRIP_ROWS (BS_GEMM_TILE / BS_GEMM_TILE_COLS)
/* Rows of A or columns of B that one task converts. */
#define CONVERSION_UNIT 64

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Whether no operand is packed: our kernels then compute the tiles as small products, or the BLAS
 * does. */
static bool is_unpacked(const bs_kernels *kernels, const bs_gemm *g)
{
    return g->precision == BS_FLOAT32 && g->packed == NULL &&
           !(g->packs && kernels->fp32_product != NULL);
}

/* Whether the product is fp32 in parts of bfloat16. */
static bool in_parts(const bs_kernels *kernels, const bs_gemm *g)
{
    return g->precision == BS_FLOAT32 && kernels->parts_product != NULL && !is_unpacked(kernels, g);
}

/* Rows before tile i. The first tile has `largest` rows; later ones shrink to half of that, each
 * taking a share of the remaining rows. */
static int64_t rows_before(int64_t m, int64_t largest, int64_t i)
{
    const int64_t least = largest / 2;
    int64_t row = 0;
    for (; i > 0 && row < m; i--) {
        const int64_t share = (m - row) / 3;
        const int64_t rows = share > largest ? largest : share < least ? least : share;
        row += bs_round_up(rows, BS_PACKED_ROWS);
    }
    return row < m ? row : m;
}

/* Cuts evenly, halving the longer side until there are enough tiles to share out. In parts, whose
 * tiles are large, rows are cut first, and the last tiles get smaller and smaller. */
static void cut(const bs_kernels *kernels, bs_gemm *g, bool last)
{
    const bool packed = !is_unpacked(kernels, g), parts = in_parts(kernels, g);
    g->tiles_m = ceil_div(g->m, packed ? kernels->tile_rows : TILE_ROWS);
    const bool wide = parts && !g->transient && g->k >= PARTS_TILE_COLS;
    g->tiles_n = ceil_div(g->n, wide     ? PARTS_TILE_COLS
                             : packed ? PACKED_TILE_COLS
                                      : TILE_COLS);
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

/* Where cut i of `cuts` of `size` begins: a multiple of `grain`, except at the end. */
static int64_t boundary(int64_t size, int64_t cuts, int64_t i, int64_t grain)
{
    if (i >= cuts)
        return size;
    const int64_t at = size * i / cuts;
    return at - at % grain;
}

/* ---- packed operands ---- */

size_t bs_packed_size(const bs_kernels *kernels, bs_precision precision, int64_t k, int64_t n)
{
    return (size_t)(bs_panel_groups(kernels, precision, k) * 4 * bs_round_up(n, kernels->columns));
}

/* Lays out the operands in the scratch. */
static void lay_out(const bs_kernels *kernels, bs_gemm *g, bs_arena *scratch)
{
    g->operands.units_a = g->operands.units_b = 0;
    if (is_unpacked(kernels, g))
        return;
    g->operands.groups = bs_packed_groups(bs_group_elements(kernels, g->precision), g->k);
    g->operands.ld_panel = 4 * bs_panel_groups(kernels, g->precision, g->k) * kernels->columns;
    if (g->precision == BS_FLOAT32) {
        g->operands.a = (char *)g->a;
        g->operands.lda = 4 * g->lda;
    } else if (g->ready.data != NULL) {
        g->operands.a = g->ready.data;
        g->operands.lda = g->ready.ld;
    } else {
        g->operands.lda = bs_left_ld(g->operands.groups);
        g->operands.units_a = ceil_div(g->m, CONVERSION_UNIT);
        g->operands.a = bs_arena_take(
            scratch, (size_t)(g->operands.lda * bs_round_up(g->m, BS_PACKED_ROWS)), 1);
    }
    if (g->precision == BS_INT8) {
        g->operands.row_scale = bs_arena_floats(scratch, g->m);
        g->operands.row_offset = bs_arena_floats(scratch, g->m);
    }
    if (g->packed != NULL) {
        g->operands.b = g->packed->panels;
        return;
    }
    g->operands.units_b = bs_panels(kernels, g->n);
    g->operands.b = bs_arena_take(scratch, bs_packed_size(kernels, g->precision, g->k, g->n), 1);
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

/* Converts one unit of one operand of one product of the group. */
static void convert(void *job_, int64_t task, int worker)
{
    const gemm_job *job = job_;
    const bs_kernels *k = job->workers->kernels;
    const bs_gemm *g = job->group;
    (void)worker;
    while (task >= g->operands.units_a + g->operands.units_b) {
        task -= g->operands.units_a + g->operands.units_b;
        g++;
    }
    if (task < g->operands.units_a) {
        const int64_t row = task * CONVERSION_UNIT;
        const int64_t rows = g->m - row < CONVERSION_UNIT ? g->m - row : CONVERSION_UNIT;
        char *to = g->operands.a + row * g->operands.lda;
        if (g->precision == BS_INT8)
            k->int8_rows(to, g->operands.lda, g->operands.row_scale + row,
                         g->operands.row_offset + row, g->a + row * g->lda, rows, g->k, g->lda);
        else if (g->trans_a)
            k->bf16_rows_transposed(to, g->operands.lda, g->a + row, g->k, rows, g->lda);
        else
            k->bf16_rows(to, g->operands.lda, g->a + row * g->lda, rows, g->k, g->lda);
        return;
    }
    const int64_t panel = task - g->operands.units_a, col = panel * k->columns;
    const int64_t cols = bs_panel_columns(k, g->n, col);
    char *to = g->operands.b + panel * g->operands.ld_panel;
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

/* Computes rows and columns of C from (row, col) on; c is the first element. */
static void packed_tile(const bs_kernels *k, const bs_gemm *g, float *c, int64_t ldc, int64_t row,
                        int64_t rows, int64_t col, int64_t cols)
{
    const bool across = g->precision == BS_FLOAT32 && g->trans_a;
    /* in parts the kernel cuts */
    const int64_t deep = in_parts(k, g) ? g->operands.groups : k->tile_groups;
    for (int64_t at = 0; at < g->operands.groups; at += deep) {
        const int64_t left = g->operands.groups - at;
        const int64_t groups = left < deep ? left : deep;
        /* Transposed fp32: groups are rows. */
        const char *a = across ? g->operands.a + 4 * row + at * g->operands.lda
                               : g->operands.a + row * g->operands.lda + 4 * at;
        const char *b =
            g->operands.b + col / k->columns * g->operands.ld_panel + 4 * at * k->columns;
        if (g->precision == BS_INT8)
            k->int8_product((int32_t *)c, ldc, a, g->operands.lda, b, g->operands.ld_panel, rows,
                            cols, groups, at > 0);
        else
            product_of(k, g->precision, across)(c, ldc, a, g->operands.lda, b, g->operands.ld_panel,
                                                rows, cols, groups, at > 0 || g->beta != 0.0f);
    }
    if (g->precision == BS_INT8)
        k->int8_restore(c, ldc, rows, cols, g->operands.row_scale + row,
                        g->operands.row_offset + row, g->packed->scale + col, g->packed->sum + col);
}

/* The part of g->into, or of g->c, that begins at (row, col). */
static bs_result result_at(const bs_gemm *g, int64_t row, int64_t col)
{
    if (g->into == NULL)
        return (bs_result){.out = (char *)(g->c + row * g->ldc + col), .ld = 4 * g->ldc};
    bs_result r = *g->into;
    r.out += row * r.ld + (r.bf16 ? 2 : 4) * col;
    r.bias += col;
    r.u = r.u != NULL ? r.u + row * r.ld_u + col : NULL;
    return r;
}

/* Computes that part with its epilogue fused. Returns false if no kernel can. */
static bool tile_into(const bs_kernels *k, const bs_gemm *g, int64_t row, int64_t rows, int64_t col,
                      int64_t cols)
{
    const bool to_bf16 = g->precision == BS_BFLOAT16 && g->into != NULL;
    const bool from_int8 = g->precision == BS_INT8 && (g->into != NULL || g->epilogue == NULL);
    if (g->operands.groups > k->tile_groups || !((to_bf16 && k->bf16_product_into != NULL) ||
                                                 (from_int8 && k->int8_product_into != NULL)))
        return false;
    const bs_result r = result_at(g, row, col);
    const char *a = g->operands.a + row * g->operands.lda;
    const char *b = g->operands.b + col / k->columns * g->operands.ld_panel;
    if (to_bf16) {
        k->bf16_product_into(&r, a, g->operands.lda, b, g->operands.ld_panel, rows, cols,
                             g->operands.groups);
        return true;
    }
    const bs_int8_scales by = {g->operands.row_scale + row, g->operands.row_offset + row,
                               g->packed->scale + col, g->packed->sum + col};
    k->int8_product_into(&r, &by, a, g->operands.lda, b, g->operands.ld_panel, rows, cols,
                         g->operands.groups);
    return true;
}

/* The same, strip by strip in the worker's scratch, each followed by its epilogue. */
static void transient_tile(const bs_kernels *k, const bs_gemm *g, float *strip, int64_t row,
                           int64_t rows, int64_t col, int64_t cols)
{
    const int64_t end = row + rows, ld = BS_GEMM_TILE_COLS;
    for (; row < end; row += STRIP_ROWS) {
        const int64_t some = end - row < STRIP_ROWS ? end - row : STRIP_ROWS;
        packed_tile(k, g, strip, ld, row, some, col, cols);
        if (g->into == NULL) {
            g->epilogue(g->epilogue_arg, strip, ld, row, some, col, cols);
            continue;
        }
        const bs_result r = result_at(g, row, col);
        if (r.of == BS_OF_BIAS)
            k->bf16_bias_rows(r.out, r.ld, strip, ld, r.bias, some, cols);
        else
            k->bf16_bias_activation(r.out, r.ld, r.u, r.ld_u, strip, ld, r.bias, some, cols, r.act);
    }
}

/* ---- all products ---- */

static void one_tile(void *job_, int64_t task, int worker)
{
    const gemm_job *job = job_;
    const bs_gemm *g = job->group;
    while (task >= tiles_of(g)) {
        task -= tiles_of(g);
        g++;
    }
    const bs_kernels *k = job->workers->kernels;
    const bool packed = !is_unpacked(k, g);
    const int64_t grain_m = packed ? BS_PACKED_ROWS : 16, grain_n = packed ? k->columns : 16;
    /* In parts B is larger than A, so tiles of the same columns follow each other. */
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
    if (packed && tile_into(k, g, row, rows, col, cols))
        return;
    if (g->transient) {
        transient_tile(k, g, job->workers->tiles + worker * job->workers->ld_tiles, row, rows, col,
                       cols);
        return;
    }
    float *c = g->c + row * g->ldc + col;
    if (packed)
        packed_tile(k, g, c, g->ldc, row, rows, col, cols);
    else
        bs_gemm_small(k, &(bs_small_product){
                             .trans_a = g->trans_a, .trans_b = g->trans_b, .m = rows, .n = cols,
                             .k = g->k, .alpha = g->alpha, .beta = g->beta,
                             .a = g->a + (g->trans_a ? row : row * g->lda), .lda = g->lda,
                             .b = g->b + (g->trans_b ? col * g->ldb : col), .ldb = g->ldb,
                             .c = c, .ldc = g->ldc});
    if (g->epilogue != NULL)
        g->epilogue(g->epilogue_arg, c, g->ldc, row, rows, col, cols);
}

static void gemm_tile(void *job_, int64_t task, int worker)
{
    const gemm_job *job = job_;
    one_tile(job_, task, worker);
    if (!is_unpacked(job->workers->kernels, job->group))
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
        conversions += group[i].operands.units_a + group[i].operands.units_b;
    }
    if (conversions > 0)
        bs_pool_run(w->n_threads, conversions, convert, &job);
    bs_pool_run(w->n_threads, tasks, gemm_tile, &job);
}
