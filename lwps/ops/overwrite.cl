// Rows of x[outer, n, inner] overwritten by those of y[outer, count, inner] where the
// indices [count] say. A work-item owns `columns` columns of a range of rows of the
// result and walks all indices in order, so that the last row written stays.

#include "picks.cl"

kernel void overwrite(global TYPE *out, global const TYPE *x, global const TYPE *y,
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
        global const TYPE *old = x + outer * n * inner;
        if (out != x)
            for (int r = low; r < high; r++)
                for (int i = start; i < stop; i++)
                    to[(long)r * inner + i] = old[(long)r * inner + i];
        for (int k = 0; k < count; k++) {
            const int p = place(indices[k], n);
            if (p < low || p >= high)
                continue;
            global const TYPE *from = y + (outer * count + k) * inner;
            for (int i = start; i < stop; i++)
                to[(long)p * inner + i] = from[i];
        }
    }
}

kernel void keep(global TYPE *out, global const TYPE *x)
{
    if (out != x)
        out[get_global_id(0)] = x[get_global_id(0)];
}
