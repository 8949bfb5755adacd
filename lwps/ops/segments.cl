// Sums of the rows of x[outer, count, inner] that share an index, into [outer, n, inner],
// where there are many indices. They are sorted, as keys of the row that each names and
// its own number; then a work-item makes one element, from a segment of the keys. ALONG:
// the indices are [outer, count, inner], in that many rows of keys; else [count].

#include "picks.cl"
#include "merge.cl"

kernel void pack_places(global ulong *keys, global const int *indices, int n, int count,
                        int inner, int total, int per_item)
{
    TASKS {
        const int k = task % count;
#ifdef ALONG
        const int row = task / count;
        const int index = indices[((long)(row / inner) * count + k) * inner + row % inner];
#else
        const int index = indices[k];
#endif
        keys[task] = (ulong)(uint)place(index, n) << 32 | (uint)k;  // -1 comes last
    }
}

kernel void add_segments(global TYPE *out, global const TYPE *x, global const ulong *keys,
                         int n, int count, int inner, int total, int per_item)
{
    TASKS {
        const int i = task % inner, row = task / inner % n, outer = task / inner / n;
#ifdef ALONG
        global const ulong *mine = keys + ((long)outer * inner + i) * count;
#else
        global const ulong *mine = keys;
#endif
        int low = 0, high = count;
        while (low < high) {
            const int middle = (low + high) / 2;
            if (mine[middle] < (ulong)row << 32)
                low = middle + 1;
            else
                high = middle;
        }
        TYPE sum = 0;
        for (; low < count && (int)(mine[low] >> 32) == row; low++)
            sum += x[((long)outer * count + (uint)mine[low]) * inner + i];
        out[task] = sum;
    }
}
