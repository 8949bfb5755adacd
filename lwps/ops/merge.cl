// Rows of keys of 64 bits, no two of them equal, put in order. `rank_chunks`: a work-item
// finds the place of one key in its chunk. `merge`: a work-item makes one piece of the
// merge of two sorted runs.

// The tasks of a work-item.
#define TASKS \
    const int first = get_global_id(0) * per_item, last = min(first + per_item, total); \
    for (int task = first; task < last; task++)

// Writes `count` keys from the merge of a[i..] and b[j..] on, without branches.
static void merge_runs(global ulong *out, global const ulong *a, int i, int a_end,
                       global const ulong *b, int j, int b_end, int count)
{
    int k = 0;
    for (; k < count && i < a_end && j < b_end; k++) {
        const ulong left = a[i], right = b[j];
        const int take = right < left;
        out[k] = take ? right : left;
        i += !take;
        j += take;
    }
    for (; k < count && i < a_end; k++)
        out[k] = a[i++];
    for (; k < count; k++)
        out[k] = b[j++];
}

kernel void rank_chunks(global ulong *out, global const ulong *keys, int n, int total,
                        int per_item)
{
    TASKS {
        const int k = task % n, start = k / CHUNK * CHUNK, stop = min(start + CHUNK, n);
        const ulong key = keys[task];
        global const ulong *row = keys + (task - k);
        int rank = start;
        for (int other = start; other < stop; other++)
            rank += row[other] < key;
        out[task - k + rank] = key;
    }
}

// Runs of `width` keys, two by two. PIECE divides the width: a piece has one pair.
kernel void merge(global ulong *out, global const ulong *keys, int n, int width,
                  int pieces, int total, int per_item)
{
    TASKS {
        const int start = task % pieces * PIECE, count = min(PIECE, n - start);
        const int pair = start / width / 2 * 2 * width;
        const int a_end = min(width, n - pair), b_end = min(width, n - pair - a_end);
        const long row = (long)(task / pieces) * n;
        global const ulong *a = keys + row + pair, *b = a + a_end;
        // of the keys before the piece `low` are from a: found by bisection
        const int before = start - pair;
        int low = max(0, before - b_end), high = min(before, a_end);
        while (low < high) {
            const int middle = (low + high) / 2;
            if (a[middle] < b[before - 1 - middle])
                low = middle + 1;
            else
                high = middle;
        }
        merge_runs(out + row + start, a, low, a_end, b, before - low, b_end, count);
    }
}
