// Images x[N, H, W, C] in another size, out[N, h, w, C], and the transpose of that.
// `tables`: a work-item finds the pixel before the centre of one row or column of `out`,
// and the weight of the next one. `*_rows`: a CPU work-item makes `per_item` rows of the
// result; `*_each`: a GPU work-item makes one element. In a transpose `x` is what is
// made: a work-item walks all pixels of `out` that its own went into.

kernel void tables(global int *before, global float *weights, int H, int W, int h, int w)
{
    const int k = get_global_id(0);
    const int i = k < h ? k : k - h, n = k < h ? H : W, m = k < h ? h : w;
#ifdef NEAREST
    before[k] = (2 * i + 1) * n / (2 * m);
    weights[k] = 0;
#else
    const int place = (2 * i + 1) * n - m;  // in 2m-ths of a pixel
    before[k] = place < 0 ? -1 : place / (2 * m);
    weights[k] = (float)(place - before[k] * 2 * m) / (float)(2 * m);
#endif
}

#define SIZES \
    global const int *before, global const float *weights, int H, int W, int h, int w, \
    int channels
#define SIZES_GIVEN before, weights, H, W, h, w, channels

// Channels `start` to `stop` of pixel (row, j) of out[N * h, w, C].
static void pixel(global TYPE *out, global const TYPE *x, SIZES, int row, int j,
                  int start, int stop)
{
    const int i = row % h, C = channels;
    global const TYPE *image = x + (long)(row / h) * H * W * C;
    global TYPE *to = out + ((long)row * w + j) * C;
#ifdef NEAREST
    global const TYPE *from = image + ((long)before[i] * W + before[h + j]) * C;
    for (int c = start; c < stop; c++)
        to[c] = from[c];
#else
    const int top = max(before[i], 0), bottom = min(before[i] + 1, H - 1);
    const int left = max(before[h + j], 0), right = min(before[h + j] + 1, W - 1);
    const float u = weights[i], v = weights[h + j];
    global const float *a = image + ((long)top * W + left) * C;
    global const float *b = image + ((long)top * W + right) * C;
    global const float *c = image + ((long)bottom * W + left) * C;
    global const float *d = image + ((long)bottom * W + right) * C;
    #pragma clang loop vectorize(assume_safety)
    for (int k = start; k < stop; k++)
        to[k] = (a[k] * (1 - u) + c[k] * u) * (1 - v) + (b[k] * (1 - u) + d[k] * u) * v;
#endif
}

kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void resize_rows(global TYPE *out, global const TYPE *x, SIZES, int total, int per_item)
{
    const int first = get_global_id(0) * per_item, last = min(first + per_item, total);
    for (int row = first; row < last; row++)
        for (int j = 0; j < w; j++)
            pixel(out, x, SIZES_GIVEN, row, j, 0, channels);
}

kernel void resize_each(global TYPE *out, global const TYPE *x, SIZES, int total)
{
    const int e = get_global_id(0), c = e % channels;
    if (e < total)
        pixel(out, x, SIZES_GIVEN, e / channels / w, e / channels % w, c, c + 1);
}

// The first of m pixels whose pixel before is at least `least`, of n.
static int first_from(int least, int n, int m)
{
#ifdef NEAREST
    const int place = 2 * m * least - n;
#else
    const int place = m * (2 * least + 1) - n;
#endif
    return place <= 0 ? 0 : min(m, (place + 2 * n - 1) / (2 * n));
}

// From which of m pixels on, and up to which, pixel `i` of n has a part.
#ifdef NEAREST
#define BEGIN(i, n, m) first_from(i, n, m)
#else
#define BEGIN(i, n, m) ((i) == 0 ? 0 : first_from((i) - 1, n, m))
#endif
#define END(i, n, m) ((i) == (n) - 1 ? (m) : first_from((i) + 1, n, m))

// The part that pixel `i` of n has in one with these pixels before and behind it.
static float part(int i, int before, float weight, int n)
{
#ifdef NEAREST
    return 1;
#else
    return (max(before, 0) == i ? 1 - weight : 0)
         + (min(before + 1, n - 1) == i ? weight : 0);
#endif
}

static void pixel_transpose(global float *x, global const float *out, SIZES, int row,
                            int column, int start, int stop)
{
    const int r = row % H, C = channels;
    global const float *image = out + (long)(row / H) * h * w * C;
    global float *to = x + ((long)row * W + column) * C;
    const int i_end = END(r, H, h), j_begin = BEGIN(column, W, w), j_end = END(column, W, w);
    for (int c = start; c < stop; c++)
        to[c] = 0;
    for (int i = BEGIN(r, H, h); i < i_end; i++) {
        const float u = part(r, before[i], weights[i], H);
        for (int j = j_begin; j < j_end; j++) {
            const float scale = u * part(column, before[h + j], weights[h + j], W);
            global const float *from = image + ((long)i * w + j) * C;
            #pragma clang loop vectorize(assume_safety)
            for (int c = start; c < stop; c++)
                to[c] += from[c] * scale;
        }
    }
}

kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void resize_transpose_rows(global float *x, global const float *out, SIZES, int total,
                           int per_item)
{
    const int first = get_global_id(0) * per_item, last = min(first + per_item, total);
    for (int row = first; row < last; row++)
        for (int column = 0; column < W; column++)
            pixel_transpose(x, out, SIZES_GIVEN, row, column, 0, channels);
}

kernel void resize_transpose_each(global float *x, global const float *out, SIZES,
                                  int total)
{
    const int e = get_global_id(0), c = e % channels;
    if (e < total)
        pixel_transpose(x, out, SIZES_GIVEN, e / channels / W, e / channels % W, c, c + 1);
}

kernel void zero(global TYPE *out)
{
    out[get_global_id(0)] = 0;
}
