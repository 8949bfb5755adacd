// Reductions of [outer, n, inner] along the middle, in chunks: one result for each
// chunk, [outer, chunks, inner]. CPU: a work-item folds `per_item` tasks, a task being
// a chunk (`rows`) or COLUMNS columns of one: in registers (`columns`), or in the
// result where they are many (`wide_columns`). GPU: a work-group folds a chunk
// (`row_groups`) or a work-item one column (`each_column`).

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define ACC8 JOIN(ACC, 8)
#define LOAD8(p) JOIN(convert_, ACC8)(vload8(0, p))

#ifdef MAX  // keeps a NaN on either side, as NumPy does
#define FOLD(a, b) ((a) >= (b) || (a) != (a) ? (a) : (b))
#define FOLDV(a, b) select(b, a, ((a) >= (b)) | ((a) != (a)))
#elif defined(MIN)
#define FOLD(a, b) ((a) <= (b) || (a) != (a) ? (a) : (b))
#define FOLDV(a, b) select(b, a, ((a) <= (b)) | ((a) != (a)))
#elif defined(PRODUCT)
#define FOLD(a, b) ((a) * (b))
#define FOLDV(a, b) ((a) * (b))
#else
#define FOLD(a, b) ((a) + (b))
#define FOLDV(a, b) ((a) + (b))
#endif

#define TASKS \
    const int first_task = get_global_id(0) * per_item; \
    const int last_task = min(first_task + per_item, tasks); \
    const int chunks = (n + chunk - 1) / chunk;

// The sum or the product of no elements.
kernel void nothing(global OUT *out)
{
    out[get_global_id(0)] = START;
}

static ACC fold_lanes(ACC8 v)
{
    const JOIN(ACC, 4) v4 = FOLDV(v.lo, v.hi);
    const JOIN(ACC, 2) v2 = FOLDV(v4.lo, v4.hi);
    return FOLD(v2.lo, v2.hi);
}

static ACC fold_row(global const IN *x, int n)
{
    ACC8 a = START, b = START, c = START, d = START;
    int k = 0;
    for (; k + 32 <= n; k += 32) {
        const ACC8 x0 = LOAD8(x + k), x1 = LOAD8(x + k + 8);
        const ACC8 x2 = LOAD8(x + k + 16), x3 = LOAD8(x + k + 24);
        a = FOLDV(a, x0);
        b = FOLDV(b, x1);
        c = FOLDV(c, x2);
        d = FOLDV(d, x3);
    }
    for (; k + 8 <= n; k += 8) {
        const ACC8 x0 = LOAD8(x + k);
        a = FOLDV(a, x0);
    }
    a = FOLDV(a, b);
    c = FOLDV(c, d);
    a = FOLDV(a, c);
    ACC all = fold_lanes(a);
    for (; k < n; k++) {
        const ACC x0 = x[k];
        all = FOLD(all, x0);
    }
    return all;
}

kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void rows(global OUT *out, global const IN *x, int n, int inner, int chunk,
          int tasks, int per_item)
{
    TASKS
    for (int task = first_task; task < last_task; task++) {
        const int row = task / chunks, start = task % chunks * chunk;
        out[task] = fold_row(x + (long)row * n + start, min(chunk, n - start));
    }
}

// Eight columns, or COLUMNS of them in as many registers as that takes.
static void fold_8(global OUT *out, global const IN *x, int n, int inner)
{
    ACC8 acc = START;
    for (int k = 0; k < n; k++) {
        const ACC8 row = LOAD8(x + (long)k * inner);
        acc = FOLDV(acc, row);
    }
    vstore8(JOIN(convert_, JOIN(OUT, 8))(acc), 0, out);
}

static void fold_all(global OUT *out, global const IN *x, int n, int inner)
{
    ACC8 acc[COLUMNS / 8];
    #pragma unroll
    for (int v = 0; v < COLUMNS / 8; v++)
        acc[v] = START;
    for (int k = 0; k < n; k++, x += inner) {
        #pragma unroll
        for (int v = 0; v < COLUMNS / 8; v++) {
            const ACC8 row = LOAD8(x + 8 * v);
            acc[v] = FOLDV(acc[v], row);
        }
    }
    #pragma unroll
    for (int v = 0; v < COLUMNS / 8; v++)
        vstore8(JOIN(convert_, JOIN(OUT, 8))(acc[v]), 0, out + 8 * v);
}

static ACC fold_column(global const IN *x, int n, int inner)
{
    ACC acc = START;
    for (int k = 0; k < n; k++) {
        const ACC x0 = x[(long)k * inner];
        acc = FOLD(acc, x0);
    }
    return acc;
}

kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void columns(global OUT *out, global const IN *x, int n, int inner, int chunk,
             int tasks, int per_item)
{
    TASKS
    const int blocks = (inner + COLUMNS - 1) / COLUMNS;
    for (int task = first_task; task < last_task; task++) {
        const int at = task / blocks, start = at % chunks * chunk;
        const int count = min(chunk, n - start), column = task % blocks * COLUMNS;
        const int width = min(COLUMNS, inner - column);
        global const IN *from = x + ((long)(at / chunks) * n + start) * inner + column;
        global OUT *to = out + (long)at * inner + column;
        int c = 0;
        if (width == COLUMNS) {
            fold_all(to, from, count, inner);
            c = COLUMNS;
        }
        for (; c + 8 <= width; c += 8)
            fold_8(to + c, from + c, count, inner);
        for (; c < width; c++)
            to[c] = fold_column(from + c, count, inner);
    }
}

// Folds two times two rows into the result's row: four streams that are read in order.
static void fold_4_rows(global OUT *out, global const IN *x, int width, int inner)
{
    global const IN *x1 = x + inner, *x2 = x1 + inner, *x3 = x2 + inner;
    #pragma clang loop vectorize(assume_safety)
    for (int c = 0; c < width; c++) {
        const ACC a0 = x[c], a1 = x1[c], a2 = x2[c], a3 = x3[c];
        const ACC low = FOLD(a0, a1), high = FOLD(a2, a3), acc = out[c];
        const ACC both = FOLD(low, high);
        out[c] = FOLD(acc, both);
    }
}

kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void wide_columns(global OUT *out, global const IN *x, int n, int inner, int chunk,
                  int tasks, int per_item)
{
    TASKS
    const int blocks = (inner + MANY_COLUMNS - 1) / MANY_COLUMNS;
    for (int task = first_task; task < last_task; task++) {
        const int at = task / blocks, start = at % chunks * chunk;
        const int count = min(chunk, n - start), column = task % blocks * MANY_COLUMNS;
        const int width = min(MANY_COLUMNS, inner - column);
        global const IN *from = x + ((long)(at / chunks) * n + start) * inner + column;
        global OUT *to = out + (long)at * inner + column;
        for (int c = 0; c < width; c++)
            to[c] = from[c];
        int k = 1;
        for (; k + 4 <= count; k += 4)
            fold_4_rows(to, from + (long)k * inner, width, inner);
        for (; k < count; k++) {
            global const IN *row = from + (long)k * inner;
            #pragma clang loop vectorize(assume_safety)
            for (int c = 0; c < width; c++) {
                const ACC acc = to[c], x0 = row[c];
                to[c] = FOLD(acc, x0);
            }
        }
    }
}

kernel void each_column(global OUT *out, global const IN *x, int n, int inner, int chunk,
                        int tasks, int per_item)
{
    TASKS
    if (first_task >= last_task)
        return;
    const int at = first_task / inner, start = at % chunks * chunk;
    x += ((long)(at / chunks) * n + start) * inner + first_task % inner;
    out[first_task] = fold_column(x, min(chunk, n - start), inner);
}

#ifdef GROUP
kernel __attribute__((reqd_work_group_size(GROUP, 1, 1)))
void row_groups(global OUT *out, global const IN *x, int n, int inner, int chunk)
{
    local ACC partial[GROUP];
    const int chunks = (n + chunk - 1) / chunk;
    const int task = get_group_id(0), lane = get_local_id(0);
    const int start = task % chunks * chunk, count = min(chunk, n - start);
    x += (long)(task / chunks) * n + start;
    ACC acc = START;
    for (int k = lane; k < count; k += GROUP) {
        const ACC x0 = x[k];
        acc = FOLD(acc, x0);
    }
    partial[lane] = acc;
    for (int half_ = GROUP / 2; half_ > 0; half_ /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (lane < half_)
            partial[lane] = FOLD(partial[lane], partial[lane + half_]);
    }
    if (lane == 0)
        out[task] = partial[0];
}
#endif

// A NaN is picked before any number, and the first of equals stays.
#ifdef MIN
#define PICKED(v, best) ((v) < (best) || ((v) != (v) && (best) == (best)))
#else
#define PICKED(v, best) ((v) > (best) || ((v) != (v) && (best) == (best)))
#endif

// One task: the place of the largest (smallest) of a chunk of one column.
kernel void place(global int *out, global const IN *x, int n, int inner, int chunk,
                   int tasks, int per_item)
{
    TASKS
    for (int task = first_task; task < last_task; task++) {
        const int at = task / inner, start = at % chunks * chunk;
        const int stop = min(start + chunk, n);
        global const IN *column = x + (long)(at / chunks) * n * inner + task % inner;
        int best = start;
        IN top = column[(long)start * inner];
        for (int k = start + 1; k < stop; k++) {
            const IN v = column[(long)k * inner];
            if (PICKED(v, top)) {
                top = v;
                best = k;
            }
        }
        out[task] = best;
    }
}

// One task: of the places that the chunks of a column gave, the one to keep.
kernel void place_of_chunks(global int *out, global const IN *x, global const int *places,
                             int n, int inner, int chunk, int tasks, int per_item)
{
    TASKS
    for (int task = first_task; task < last_task; task++) {
        const int row = task / inner, c = task % inner;
        global const IN *column = x + (long)row * n * inner + c;
        int best = places[(long)row * chunks * inner + c];
        for (int k = 1; k < chunks; k++) {
            const int place = places[((long)row * chunks + k) * inner + c];
            if (PICKED(column[(long)place * inner], column[(long)best * inner]))
                best = place;
        }
        out[task] = best;
    }
}
