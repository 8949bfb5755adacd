// Sums of the rows of x[outer, count, inner] that share an index, into [outer, n, inner].
// ALONG: the indices are [outer, count, inner], else [count]. A work-item owns `columns`
// columns of a range of rows of the result and walks all indices in order: no two write
// to the same place, and the order of a sum depends on the indices alone.

#include "picks.cl"

kernel void scatter_add(global TYPE *out, global const TYPE *x,
                        global const int *indices, int n, int count, int inner,
                        int columns, int ranges, int total, int per_item)
{
    const int blocks = (inner + columns - 1) / columns, rows = (n + ranges - 1) / ranges;
    const int first = get_global_id(0) * per_item, last = min(first + per_item, total);
    for (int task = first; task < last; task++) {
        const int start = task % blocks * columns, stop = min(start + columns, inner);
        const int low = task / blocks % ranges * rows, high = min(low + rows, n);
        const long outer = task / blocks / ranges;
        global TYPE *to = out + outer * n * inner;
        global const TYPE *from = x + outer * count * inner;
        for (int r = low; r < high; r++)
            for (int i = start; i < stop; i++)
                to[(long)r * inner + i] = 0;
        for (int k = 0; k < count; k++, from += inner) {
#ifdef ALONG
            for (int i = start; i < stop; i++) {
                const int p = place(indices[(outer * count + k) * inner + i], n);
                if (p >= low && p < high)
                    to[(long)p * inner + i] += from[i];
            }
#else
            const int p = place(indices[k], n);
            if (p < low || p >= high)
                continue;
            global TYPE *sums = to + (long)p * inner;
            #pragma clang loop vectorize(assume_safety)
            for (int i = start; i < stop; i++)
                sums[i] += from[i];
#endif
        }
    }
}
