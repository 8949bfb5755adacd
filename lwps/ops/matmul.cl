// Matrix products of register tiles with packed panels.
//
// A panel holds PANEL columns of the right operand, one row behind the other, zeros
// where columns run out: a stream that every tile of rows reads from its start.
// One work-item computes MR x (NV vectors of VEC) results in registers and does
// `tiles` such tiles; LANES work-items side by side share a panel.
// Panels are dereferenced as vectors, not read by vloadN: they are scratch, so
// aligned, and some compilers make vloadN a call that spills all accumulators.

#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
#define COLUMNS (VEC * NV)
#define PANEL (COLUMNS * LANES)
#define GROUPED __attribute__((reqd_work_group_size(GROUP, 1, 1)))

// Products that one sum adds up before it joins the result: the error of a float32 sum
// grows with its terms, and sums of sums keep it near that of a blocked BLAS.
#define TERMS 256

typedef CAT(float, VEC) vec;

// Results begin anywhere. Some compilers make vloadN and vstoreN calls, which spill all
// accumulators; so where vectors are wide they go through a type that may lie anywhere.
#if LANES == 1
typedef CAT(float, VEC) loose __attribute__((aligned(4)));
#define LOAD(j, from) (((global const loose *)(from))[j])
#define STORE(value, j, to) (((global loose *)(to))[j] = (value))
#else
#define LOAD(j, from) CAT(vload, VEC)(j, from)
#define STORE(value, j, to) CAT(vstore, VEC)(value, j, to)
#endif

// acc[i] += sum over k < depth of a[i][at + k * step] * row k of the panel
static inline void multiply(vec acc[MR][NV], global const float *a[MR], size_t at,
                            size_t step, global const vec *panel, int depth)
{
    for (int k = 0; k < depth; k++) {
        vec b[NV];
        #pragma unroll
        for (int j = 0; j < NV; j++)
            b[j] = panel[j];
        #pragma unroll
        for (int i = 0; i < MR; i++) {
            const vec x = a[i][at];
            #pragma unroll
            for (int j = 0; j < NV; j++)
                acc[i][j] += x * b[j];
        }
        panel += NV * LANES;
        at += step;
    }
}

static inline void clear(vec acc[MR][NV])
{
    #pragma unroll
    for (int i = 0; i < MR; i++) {
        #pragma unroll
        for (int j = 0; j < NV; j++)
            acc[i][j] = 0;
    }
}

// Writes the first `count` of a row's COLUMNS results.
static inline void store_row(global float *to, vec row[NV], int count)
{
    if (count >= COLUMNS) {
        #pragma unroll
        for (int j = 0; j < NV; j++)
            STORE(row[j], j, to);
    } else {
        float elements[COLUMNS];
        #pragma unroll
        for (int j = 0; j < NV; j++)
            CAT(vstore, VEC)(row[j], j, elements);
        for (int k = 0; k < count; k++)
            to[k] = elements[k];
    }
}

// Writes a row's results over what is there, or adds them to it.
static inline void add_row(global float *to, vec row[NV], int count, bool over)
{
    if (!over) {
        if (count >= COLUMNS) {
            #pragma unroll
            for (int j = 0; j < NV; j++)
                row[j] += LOAD(j, to);
        } else {
            float elements[COLUMNS];
            for (int k = 0; k < COLUMNS; k++)
                elements[k] = k < count ? to[k] : 0;
            #pragma unroll
            for (int j = 0; j < NV; j++)
                row[j] += CAT(vload, VEC)(j, elements);
        }
    }
    store_row(to, row, count);
}

// Panel get_global_id(1) of batch entry get_global_id(2). One work-item packs
// `span` rows: all columns of them on a CPU, one column on a GPU. Row (i, j, k) of
// n1 x n2 x n3 begins at first + i * step1 + j * step2 + k * step3.
kernel GROUPED void pack(global float *panels, global const float *x, int panels_first,
                         int x_first, int x_batch, int n1, int n2, int n3, int step1,
                         int step2, int step3, int columns, int column_step, int span)
{
    const int parts = LANES == 1 ? 1 : PANEL;  // work-items that share a row
    const int width = PANEL / parts;
    const int part = get_global_id(0) % parts;
    const int first = get_global_id(0) / parts * span;
    const int rows = n1 * n2 * n3;
    const int last = min(first + span, rows);
    const int column = get_global_id(1) * PANEL + part * width;
    const int present = clamp(columns - column, 0, width);
    const size_t panel = get_global_id(2) * get_global_size(1) + get_global_id(1);
    global float *to =
        panels + panels_first + (panel * rows + first) * PANEL + part * width;
    x += x_first + (long)get_global_id(2) * x_batch + (long)column * column_step;
    for (int row = first; row < last; row++, to += PANEL) {
        const int j = row / n3;
        global const float *from = x + (long)(j / n2) * step1 + (long)(j % n2) * step2
            + (long)(row % n3) * step3;
        if (column_step == 1 && present == width) {
            for (int c = 0; c < width; c++)
                to[c] = from[c];
        } else {
            for (int c = 0; c < width; c++)
                to[c] = c < present ? from[(long)c * column_step] : 0;
        }
    }
}

// out[batch] = transpose of x[batch], rows x columns. One work-item does `span` rows of
// the result from 16 rows of x, so that it writes whole cache lines; `span` columns
// and 16 rows of x are read side by side.
kernel GROUPED void transpose(global float *restrict out,
                              global const float *restrict x, int rows, int columns,
                              int span)
{
    const int first = get_global_id(0) * span;
    const int last = min(first + span, columns);
    const int row = get_global_id(1) * 16;
    const int count = min(16, rows - row);
    const size_t at = get_global_id(2) * (size_t)rows * columns;
    x += at + (size_t)row * columns;
    out += at + row;
    for (int column = first; column < last; column++) {
        global float *to = out + (size_t)column * rows;
        if (count == 16) {
            #pragma unroll
            for (int k = 0; k < 16; k++)
                to[k] = x[(size_t)k * columns + column];
        } else {
            for (int k = 0; k < count; k++)
                to[k] = x[(size_t)k * columns + column];
        }
    }
}

// out[batch], rows x columns, = x[batch], rows x depth, times the panels.
kernel GROUPED void matmul(global float *out, global const float *x,
                           global const float *panels, int rows, int depth, int columns,
                           int x_batch, int panels_batch, int tiles)
{
    const int lane = get_global_id(0) % LANES;
    const int column = get_global_id(1) * PANEL + lane * COLUMNS;
    const int first = get_global_id(0) / LANES * tiles * MR;
    const int last = min(first + tiles * MR, rows);
    const size_t batch = get_global_id(2);
    panels += batch * panels_batch + get_global_id(1) * (size_t)depth * PANEL;
    out += batch * rows * columns + column;
    x += batch * x_batch;
    for (int row = first; row < last; row += MR) {
        vec acc[MR][NV];
        global const float *a[MR];
        #pragma unroll
        for (int i = 0; i < MR; i++)
            a[i] = x + (size_t)min(row + i, last - 1) * depth;
        for (int k = 0; k == 0 || k < depth; k += TERMS) {
            clear(acc);
            multiply(acc, a, k, 1, (global const vec *)(panels + (size_t)k * PANEL) + lane * NV,
                     min(TERMS, depth - k));
            #pragma unroll
            for (int i = 0; i < MR; i++) {
                if (row + i < last)
                    add_row(out + (size_t)(row + i) * columns, acc[i], columns - column, k == 0);
            }
        }
    }
}
