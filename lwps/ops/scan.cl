// Running sums and products of [outer, n, inner] along the middle, in the chunks of
// reduce.cl. `totals` holds what each chunk came to, [outer, chunks, inner]; carry_totals
// makes of it what stands before each chunk, and the scan of a chunk begins with that.
// CPU: a work-item does `per_item` chunks, all columns of each. GPU: a work-group does a
// chunk of one column (scan_row), or a work-item does (scan_columns).

#include "reduce.cl"

#define PLACE(k, n) (reverse ? (n) - 1 - (k) : (k))  // of the k-th in order

// One task: all chunks of one column, in order.
kernel void carry_totals(global OUT *totals, int chunks_of_all, int inner,
                         int reverse, int tasks, int per_item)
{
    const int first_task = get_global_id(0) * per_item;
    const int last_task = min(first_task + per_item, tasks);
    for (int task = first_task; task < last_task; task++) {
        global OUT *column = totals + (long)(task / inner) * chunks_of_all * inner + task % inner;
        ACC before = START;
        for (int k = 0; k < chunks_of_all; k++) {
            global OUT *at = column + (long)PLACE(k, chunks_of_all) * inner;
            const ACC own = *at;
            *at = before;
            before = FOLD(before, own);
        }
    }
}

// One task: one chunk, row by row; its first row takes in what stands before.
kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void scan_rows(global OUT *out, global const IN *x, global const OUT *totals, int n,
               int inner, int chunk, int reverse, int tasks, int per_item)
{
    TASKS
    for (int task = first_task; task < last_task; task++) {
        const int start = task % chunks * chunk, count = min(chunk, n - start);
        const long from = ((long)(task / chunks) * n + start) * inner;
        global const OUT *before = totals + (long)task * inner;
        for (int k = 0; k < count; k++) {
            const long row = from + (long)PLACE(k, count) * inner;
            global OUT *to = out + row;
            global const IN *own = x + row;
            #pragma clang loop vectorize(assume_safety)
            for (int c = 0; c < inner; c++) {
                const ACC sum = before[c], v = own[c];
                to[c] = FOLD(sum, v);
            }
            before = to;
        }
    }
}

// One task: one chunk of a single column, which stays in a register.
kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void scan_column(global OUT *out, global const IN *x, global const OUT *totals, int n,
                 int inner, int chunk, int reverse, int tasks, int per_item)
{
    TASKS
    for (int task = first_task; task < last_task; task++) {
        const int start = task % chunks * chunk, count = min(chunk, n - start);
        const long from = (long)(task / chunks) * n + start;
        ACC sum = totals[task];
        for (int k = 0; k < count; k++) {
            const long at = from + PLACE(k, count);
            const ACC v = x[at];
            out[at] = sum = FOLD(sum, v);
        }
    }
}

kernel void scan_columns(global OUT *out, global const IN *x, global const OUT *totals,
                         int n, int inner, int chunk, int reverse, int tasks, int per_item)
{
    TASKS
    if (first_task >= last_task)
        return;
    const int at = first_task / inner, start = at % chunks * chunk;
    const int count = min(chunk, n - start);
    const long from = ((long)(at / chunks) * n + start) * inner + first_task % inner;
    ACC sum = totals[first_task];
    for (int k = 0; k < count; k++) {
        const long place = from + (long)PLACE(k, count) * inner;
        const ACC v = x[place];
        out[place] = sum = FOLD(sum, v);
    }
}

#ifdef GROUP
// GROUP elements at a time: each item adds the one 1, 2, 4, ... before it.
kernel __attribute__((reqd_work_group_size(GROUP, 1, 1)))
void scan_row(global OUT *out, global const IN *x, global const OUT *totals, int n,
              int chunk, int reverse)
{
    local ACC part[GROUP];
    const int chunks = (n + chunk - 1) / chunk;
    const int task = get_group_id(0), lane = get_local_id(0);
    const int start = task % chunks * chunk, count = min(chunk, n - start);
    const long from = (long)(task / chunks) * n + start;
    ACC before = totals[task];
    for (int base = 0; base < count; base += GROUP) {
        const int k = base + lane;
        const long at = from + PLACE(k, count);
        ACC sum = START;
        if (k < count)
            sum = x[at];
        part[lane] = sum;
        for (int step = 1; step < GROUP; step *= 2) {
            barrier(CLK_LOCAL_MEM_FENCE);
            const ACC other = lane >= step ? part[lane - step] : (ACC)START;
            barrier(CLK_LOCAL_MEM_FENCE);
            sum = FOLD(other, sum);
            part[lane] = sum;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        if (k < count)
            out[at] = FOLD(before, sum);
        before = FOLD(before, part[GROUP - 1]);
        barrier(CLK_LOCAL_MEM_FENCE);
    }
}
#endif
