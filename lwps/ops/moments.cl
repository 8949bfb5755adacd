// Sums over fixed chunks of rows of x, images x rows x channels, and the pass that
// applies what is made of them; batch_norm.cl (one image) and group_norm.cl combine
// the sums in between.
//
// A work-item does a tile of `chunk` rows x COLUMNS channels of image get_global_id(1).
// COLUMNS is wide on a CPU (the inner loops become vectors) and 1 on a GPU (neighbours
// read neighbours).

#define KERNEL kernel __attribute__((reqd_work_group_size(GROUP, 1, 1)))
#define EACH_COLUMN for (int c = 0; c < width; c++)

typedef struct {
    int col, width;   // the first channel and how many there are
    int row, stop;    // the rows: none behind the last tile
    size_t image;     // where the image's first row lies at these channels
    size_t channel;   // where the image's numbers for these channels lie
    size_t partial;   // where the chunk's sums for these channels lie
} tile;

tile my_tile(int rows, int channels, int chunk)
{
    const int blocks = (channels + COLUMNS - 1) / COLUMNS;
    const int chunks = (rows + chunk - 1) / chunk;
    const int id = get_global_id(0);
    const int k = id / blocks;
    const size_t image = get_global_id(1);
    tile t;
    t.col = id % blocks * COLUMNS;
    t.width = min(COLUMNS, channels - t.col);
    t.row = min((long)k * chunk, (long)rows);
    t.stop = min((long)t.row + chunk, (long)rows);
    t.image = image * rows * channels + t.col;
    t.channel = image * channels + t.col;
    t.partial = (image * chunks + k) * channels + t.col;
    return t;
}

// --- forward ----------------------------------------------------------------------

// Of x - shift, mean over a chunk and sum of squared distances from it. The shift is
// the image's first row: numbers far from zero keep their digits, and a constant has
// exactly no variance. x points at the tile.
inline void tile_moments(global float *mean, global float *m2, global const float *x,
                         global const float *shift, int n, size_t stride, int width)
{
    float sum[COLUMNS], square[COLUMNS];
    EACH_COLUMN sum[c] = square[c] = 0;
    for (int r = 0; r < n; r++)
        EACH_COLUMN sum[c] += x[r * stride + c] - shift[c];
    EACH_COLUMN sum[c] /= n;
    for (int r = 0; r < n; r++)
        EACH_COLUMN {
            const float d = x[r * stride + c] - shift[c] - sum[c];
            square[c] += d * d;
        }
    EACH_COLUMN mean[c] = sum[c];
    EACH_COLUMN m2[c] = square[c];
}

KERNEL void chunk_moments(global float *means, global float *m2s, global const float *x,
                          int rows, int channels, int chunk)
{
    const tile t = my_tile(rows, channels, chunk);
    const int n = t.stop - t.row;
    if (n <= 0)
        return;
    global const float *shift = x + t.image;
    x = shift + (size_t)t.row * channels;
    means += t.partial;
    m2s += t.partial;
    if (t.width == COLUMNS)  // a known width keeps the sums in registers
        tile_moments(means, m2s, x, shift, n, channels, COLUMNS);
    else
        tile_moments(means, m2s, x, shift, n, channels, t.width);
}

// y = (x - mean) gain + bias, with a mean and a gain for each channel of each image
KERNEL void normalise(global float *y, global const float *x, global const float *mean,
                      global const float *gain, global const float *bias, int rows,
                      int channels, int chunk)
{
    const tile t = my_tile(rows, channels, chunk);
    const int width = t.width;
    mean += t.channel;
    gain += t.channel;
    bias += t.col;
    for (int r = t.row; r < t.stop; r++) {
        const size_t at = t.image + (size_t)r * channels;
#pragma clang loop vectorize(assume_safety)  // y may lie on x, element on same element
        EACH_COLUMN
            y[at + c] = (x[at + c] - mean[c]) * gain[c] + bias[c];
    }
}

// --- vjp --------------------------------------------------------------------------

// Rows that one sum adds up before it joins the chunk's: dx must add up to zero over a
// channel, and what is missing there is seen by the layers below as a gradient.
#define TERMS 16

// Sums over a chunk of ct and of ct (x - mean).
inline void tile_products(global float *ct_sum, global float *dot,
                          global const float *ct, global const float *x,
                          global const float *mean, int n, size_t stride, int width)
{
    float sums[COLUMNS], products[COLUMNS];
    EACH_COLUMN sums[c] = products[c] = 0;
    for (int first = 0; first < n; first += TERMS) {
        float sum[COLUMNS], product[COLUMNS];
        EACH_COLUMN sum[c] = product[c] = 0;
        for (int r = first; r < min(first + TERMS, n); r++)
            EACH_COLUMN {
                const float g = ct[r * stride + c];
                sum[c] += g;
                product[c] += g * (x[r * stride + c] - mean[c]);
            }
        EACH_COLUMN sums[c] += sum[c];
        EACH_COLUMN products[c] += product[c];
    }
    EACH_COLUMN ct_sum[c] = sums[c];
    EACH_COLUMN dot[c] = products[c];
}

KERNEL void chunk_products(global float *ct_sums, global float *dots,
                           global const float *ct, global const float *x,
                           global const float *mean, int rows, int channels, int chunk)
{
    const tile t = my_tile(rows, channels, chunk);
    const int n = t.stop - t.row;
    if (n <= 0)
        return;
    const size_t first = t.image + (size_t)t.row * channels;
    ct_sums += t.partial;
    dots += t.partial;
    ct += first;
    x += first;
    mean += t.channel;
    if (t.width == COLUMNS)
        tile_products(ct_sums, dots, ct, x, mean, n, channels, COLUMNS);
    else
        tile_products(ct_sums, dots, ct, x, mean, n, channels, t.width);
}

// dx = a ct + b (x - mean) + d; each image has rows a, b, d of coefficients
KERNEL void normalise_vjp(global float *dx, global const float *ct,
                          global const float *x, global const float *mean,
                          global const float *coefficients, int rows, int channels,
                          int chunk)
{
    const tile t = my_tile(rows, channels, chunk);
    const int width = t.width;
    global const float *a = coefficients + 3 * (t.channel - t.col) + t.col;
    global const float *b = a + channels, *d = b + channels;
    mean += t.channel;
    for (int r = t.row; r < t.stop; r++) {
        const size_t at = t.image + (size_t)r * channels;
#pragma clang loop vectorize(assume_safety)  // dx may lie on ct or x
        EACH_COLUMN
            dx[at + c] = a[c] * ct[at + c] + b[c] * (x[at + c] - mean[c]) + d[c];
    }
}
