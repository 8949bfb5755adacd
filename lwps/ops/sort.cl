// Sorting rows of x[outer, n, inner] along the middle by keys of 64 bits: the element as
// an unsigned integer of the same order, then its index. No two keys are equal, so that
// a row has one order only. Rows of keys lie one behind the other, [outer, inner, n].
// `sort_chunks`: a CPU work-item sorts chunks; `pack`: a GPU work-item makes one key.
// `first_elements`, `first_keys`: a work-item keeps the first k of a chunk in order.
// `unpack`: the indices.

#include "merge.cl"

// In bits of `mask` the key is the other way round: the sign of integers, all if the
// largest element comes first.
static ulong key_of(TYPE x, uint mask, int index)
{
    uint upper = x;
#ifdef FLOAT
    const uint size = upper & 0x7fffffffu;
    if (size > 0x7f800000u)
        upper = 0xffffffffu;  // NaN
    else if (size == 0)
        upper = 0x80000000u;  // -0.0 too
    else
        upper ^= upper >> 31 ? 0xffffffffu : 0x80000000u;
#endif
    return (ulong)(upper ^ mask) << 32 | (uint)index;
}

// Where element 0 of a row is in x[outer, n, inner].
#define START(row) ((long)((row) / inner) * n * inner + (row) % inner)

#define RUN 16  // keys that are sorted by insertion

static void sort_run(global ulong *keys, int count)
{
    for (int k = 1; k < count; k++) {
        const ulong key = keys[k];
        int to = k;
        for (; to > 0 && keys[to - 1] > key; to--)
            keys[to] = keys[to - 1];
        keys[to] = key;
    }
}

static void sort_chunk(global ulong *keys, global ulong *other, int count)
{
    for (int k = 0; k < count; k += RUN)
        sort_run(keys + k, min(RUN, count - k));
    global ulong *from = keys, *to = other;
    for (int width = RUN; width < count; width *= 2) {
        for (int k = 0; k < count; k += 2 * width) {
            const int a = min(width, count - k), b = min(width, count - k - a);
            merge_runs(to + k, from + k, 0, a, from + k + a, 0, b, a + b);
        }
        global ulong *swap = from;
        from = to;
        to = swap;
    }
    if (from != keys)
        for (int k = 0; k < count; k++)
            keys[k] = other[k];
}

kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void sort_chunks(global ulong *keys, global ulong *other, global const TYPE *x,
                 uint mask, int n, int inner, int chunks, int total, int per_item)
{
    TASKS {
        const int row = task / chunks, start = task % chunks * CHUNK;
        const int count = min(CHUNK, n - start);
        const long at = (long)row * n + start;
        global const TYPE *from = x + START(row);
        for (int k = 0; k < count; k++)
            keys[at + k] = key_of(from[(long)(start + k) * inner], mask, start + k);
        sort_chunk(keys + at, other + at, count);
    }
}

kernel void pack(global ulong *keys, global const TYPE *x, uint mask, int n, int inner,
                 int total, int per_item)
{
    TASKS {
        const int row = task / n, k = task % n;
        keys[task] = key_of(x[START(row) + (long)k * inner], mask, k);
    }
}

#define NONE 0xffffffffffffffffUL  // after every key

// Puts a key into `best`, k keys in order, and gives the last of them.
static ulong keep(global ulong *best, int k, ulong key)
{
    int to = k - 1;
    for (; to > 0 && best[to - 1] > key; to--)
        best[to] = best[to - 1];
    best[to] = key;
    return best[k - 1];
}

kernel void first_elements(global ulong *out, global const TYPE *x, uint mask, int n,
                           int inner, int k, int chunks, int length, int total,
                           int per_item)
{
    TASKS {
        const int start = task % chunks * length, stop = min(start + length, n);
        global const TYPE *from = x + START(task / chunks);
        global ulong *best = out + (long)task * k;
        for (int e = 0; e < k; e++)
            best[e] = NONE;
        ulong worst = NONE;
        for (int e = start; e < stop; e++) {
            const ulong key = key_of(from[(long)e * inner], mask, e);
            if (key < worst)
                worst = keep(best, k, key);
        }
    }
}

kernel void first_keys(global ulong *out, global const ulong *keys, int n, int k,
                       int chunks, int length, int total, int per_item)
{
    TASKS {
        const int start = task % chunks * length, stop = min(start + length, n);
        global const ulong *from = keys + (long)(task / chunks) * n;
        global ulong *best = out + (long)task * k;
        for (int e = 0; e < k; e++)
            best[e] = NONE;
        ulong worst = NONE;
        for (int e = start; e < stop; e++)
            if (from[e] < worst)
                worst = keep(best, k, from[e]);
    }
}

kernel void unpack(global int *out, global const ulong *keys, int stride, int count,
                   int inner, int total, int per_item)
{
    TASKS {
        const int row = task / count, k = task % count;
        out[((long)(row / inner) * count + k) * inner + row % inner] =
            (int)(uint)keys[(long)row * stride + k];
    }
}
