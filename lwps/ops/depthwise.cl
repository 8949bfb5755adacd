// Depthwise convolution of NHWC images: every channel has a window of its own.
//
// Vectors of VEC channels; where the channels are no multiple, the last vector overlaps
// the one before. Taps beside the image are left out. A CPU work-item does all vectors
// of many pixels, a GPU's has one channel (VEC is 1 there).
#include "chunks.cl"

#define GROUPED __attribute__((reqd_work_group_size(GROUP, 1, 1)))
// Vectors are read and written through a type that may lie anywhere: some compilers
// make vloadN a call, which spills all sums.
#if VEC == 1
typedef float vec;
typedef float loose;
#else
#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
typedef CAT(float, VEC) vec;
typedef CAT(float, VEC) loose __attribute__((aligned(4)));
#endif
#define LOAD(from) (*(global const loose *)(from))
#define STORE(value, to) (*(global loose *)(to) = (value))

// Not min and max: where those are calls, they spill all sums.
static inline int smaller(int a, int b)
{
    return a < b ? a : b;
}

static inline int larger(int a, int b)
{
    return a < b ? b : a;
}

// The first tap, and the one behind the last, of those `step` apart from position
// `at` on that lie within `size` positions.
static inline int first_tap(int at, int step)
{
    return larger(0, (step - 1 - at) / step);
}

static inline int end_tap(int at, int step, int size, int taps)
{
    return at < size ? smaller(taps, (size - 1 - at) / step + 1) : 0;
}

// acc[p] = the sum over these taps of x[p * pixel_step] * w
static inline void sum_taps(vec *acc, int pixels, global const float *x,
                            global const float *w, int pixel_step, int r, int r_end,
                            int s_first, int s_end, int x_row, int x_column, int w_row,
                            int w_column)
{
    #pragma unroll
    for (int p = 0; p < pixels; p++)
        acc[p] = 0;
    for (; r < r_end; r++) {
        for (int s = s_first; s < s_end; s++) {
            const vec weight = LOAD(w + (long)r * w_row + s * w_column);
            global const float *from = x + (long)r * x_row + (long)s * x_column;
            #pragma unroll
            for (int p = 0; p < pixels; p++)
                acc[p] += LOAD(from + (long)p * pixel_step) * weight;
        }
    }
}

// Pixel (i, j) of rows x columns of the result is the sum over taps (r, s) of weight
// (r, s) times x[row_first + i * row_stride + r * row_step, likewise of columns].
// A tile is PIXELS pixels of a row; one work-item does `blocks` vectors of `tiles`.
kernel GROUPED void depthwise_conv2d(
    global float *restrict out, global const float *restrict x,
    global const float *restrict w, int lines, int channels, int rows, int columns,
    int out_first, int out_image, int out_row, int out_column, int height, int width,
    int row_first, int row_stride, int row_step, int column_first, int column_stride,
    int column_step, int taps_high, int taps_wide, int w_first, int w_row, int w_column,
    int blocks, int tiles)
{
    const int parts = ((channels + VEC - 1) / VEC + blocks - 1) / blocks;
    const int begin = get_global_id(0) % parts * blocks * VEC;
    const int end = smaller(begin + blocks * VEC, channels);
    const int a_row = (columns + PIXELS - 1) / PIXELS;
    const long first = get_global_id(0) / parts * tiles;
    const long all = (long)lines * a_row;
    const long last = first + tiles < all ? first + tiles : all;
    const int x_row = row_step * width * channels, x_column = column_step * channels;
    const int pixel_step = column_stride * channels;
    for (long tile = first; tile < last; tile++) {
        const int line = tile / a_row, j = tile % a_row * PIXELS;
        const int image = line / rows, i = line % rows;
        const int y = row_first + i * row_stride, at = column_first + j * column_stride;
        const int r = first_tap(y, row_step);
        const int r_end = end_tap(y, row_step, height, taps_high);
        const int right =
            at + (PIXELS - 1) * column_stride + (taps_wide - 1) * column_step;
        const bool whole = at >= 0 && right < width && j + PIXELS <= columns;
        for (int block = begin; block < end; block += VEC) {
            const int channel = smaller(block, channels - VEC);
            global const float *from = x + channel
                + (((long)image * height + y) * width + at) * channels;
            global const float *weights = w + w_first + channel;
            global float *to = out + out_first + (long)image * out_image
                + (long)i * out_row + (long)j * out_column + channel;
            vec acc[PIXELS];
            if (whole) {
                sum_taps(acc, PIXELS, from, weights, pixel_step, r, r_end, 0, taps_wide,
                         x_row, x_column, w_row, w_column);
                #pragma unroll
                for (int p = 0; p < PIXELS; p++)
                    STORE(acc[p], to + (long)p * out_column);
            } else {
                const int count = smaller(PIXELS, columns - j);
                for (int p = 0; p < count; p++) {
                    const int here = at + p * column_stride;
                    sum_taps(acc, 1, from + (long)p * pixel_step, weights, 0, r, r_end,
                             first_tap(here, column_step),
                             end_tap(here, column_step, width, taps_wide), x_row,
                             x_column, w_row, w_column);
                    STORE(acc[0], to + (long)p * out_column);
                }
            }
        }
    }
}

// The weights' gradient: tap (r, s) of a channel is the sum over all pixels of x under
// that tap times ct. Pixels come in `pieces`: lines, or parts of `length` pixels where
// lines are longer; chunk number k of `chunk` pieces gives one of the partial results.
// Up to TAPS taps of a row of the window are summed side by side: a bundle. One
// work-item does `bundles` bundles of `blocks` vectors of one chunk.
kernel GROUPED void depthwise_weight_vjp(
    global float *restrict parts, global const float *restrict x,
    global const float *restrict ct, int channels, int rows, int columns, int height,
    int width, int row_stride, int row_step, int top, int column_stride,
    int column_step, int left, int taps_high, int taps_wide, int pieces, int length,
    int chunk, int chunks, int blocks, int bundles)
{
    const int block_parts = ((channels + VEC - 1) / VEC + blocks - 1) / blocks;
    const int wide = (taps_wide + TAPS - 1) / TAPS;  // bundles of a row of the window
    const int bundle_parts = (taps_high * wide + bundles - 1) / bundles;
    const int begin = get_global_id(0) % block_parts * blocks * VEC;
    const int end = smaller(begin + blocks * VEC, channels);
    const int first = get_global_id(0) / block_parts % bundle_parts * bundles;
    const int last = smaller(first + bundles, taps_high * wide);
    const int k = get_global_id(0) / block_parts / bundle_parts;
    if (k >= chunks)
        return;
    const int a_line = (columns + length - 1) / length;
    const int piece_end = smaller(k * chunk + chunk, pieces);
    const long step = (long)column_stride * channels;
    for (int block = begin; block < end; block += VEC) {
        const int channel = smaller(block, channels - VEC);
        for (int bundle = first; bundle < last; bundle++) {
            const int r = bundle / wide, s = bundle % wide * TAPS;
            const int count = smaller(TAPS, taps_wide - s);
            vec sum[TAPS];
            #pragma unroll
            for (int t = 0; t < TAPS; t++)
                sum[t] = 0;
            for (int piece = k * chunk; piece < piece_end; piece++) {
                const int line = piece / a_line;
                const int y = line % rows * row_stride - top + r * row_step;
                if (y < 0 || y >= height)
                    continue;
                const int j_first = piece % a_line * length;
                const int j_end = smaller(j_first + length, columns);
                global const float *g = ct + (long)line * columns * channels + channel;
                global const float *x_line = x + channel
                    + ((long)(line / rows) * height + y) * width * channels;
                global const float *a[TAPS];  // taps beyond the last repeat it
                #pragma unroll
                for (int t = 0; t < TAPS; t++)
                    a[t] = x_line
                        + ((s + smaller(t, count - 1)) * column_step - left) * channels;
                // columns in which all taps of the bundle are on the image
                int low = first_tap(s * column_step - left, column_stride);
                int high = end_tap((s + count - 1) * column_step - left, column_stride,
                                   width, columns);
                low = larger(low, j_first);
                high = smaller(high, j_end);
                if (low >= high)
                    low = high = j_end;
                vec acc[TAPS];
                #pragma unroll
                for (int t = 0; t < TAPS; t++)
                    acc[t] = 0;
                for (int j = low; j < high; j++) {
                    const vec b = LOAD(g + (long)j * channels);
                    #pragma unroll
                    for (int t = 0; t < TAPS; t++)
                        acc[t] += LOAD(a[t] + j * step) * b;
                }
                #pragma unroll
                for (int t = 0; t < TAPS; t++) {
                    if (t >= count)
                        continue;
                    const int at = (s + t) * column_step - left;
                    const int to =
                        smaller(end_tap(at, column_stride, width, columns), j_end);
                    const int before = smaller(low, to);
                    const int from = larger(first_tap(at, column_stride), j_first);
                    for (int j = from; j < before; j++)
                        acc[t] += LOAD(a[t] + j * step) * LOAD(g + (long)j * channels);
                    for (int j = high; j < to; j++)
                        acc[t] += LOAD(a[t] + j * step) * LOAD(g + (long)j * channels);
                    sum[t] += acc[t];
                }
            }
            #pragma unroll
            for (int t = 0; t < TAPS; t++) {
                if (t < count) {
                    const long tap = ((long)k * taps_high + r) * taps_wide + s + t;
                    STORE(sum[t], parts + tap * channels + channel);
                }
            }
        }
    }
}
