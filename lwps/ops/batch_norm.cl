// Batch normalisation of x, a matrix of rows x channels, in three launches: partial
// sums of chunks of rows, their combination in order, one pass that applies it.
//
// A work-item does a tile of `chunk` rows x COLUMNS channels. COLUMNS is wide on a CPU
// (the inner loops become vectors) and 1 on a GPU (neighbours read neighbours).

#define KERNEL kernel __attribute__((reqd_work_group_size(GROUP, 1, 1)))
#define EACH_COLUMN for (int c = 0; c < width; c++)

typedef struct {
    int col, width;   // the first channel and how many there are
    int row, stop;    // the rows: none behind the last tile
    size_t partial;   // where a chunk's sums for these channels lie
} tile;

tile my_tile(int rows, int channels, int chunk)
{
    const int blocks = (channels + COLUMNS - 1) / COLUMNS;
    const int id = get_global_id(0);
    const int k = id / blocks;
    tile t;
    t.col = id % blocks * COLUMNS;
    t.width = min(COLUMNS, channels - t.col);
    t.row = min((long)k * chunk, (long)rows);
    t.stop = min((long)t.row + chunk, (long)rows);
    t.partial = (size_t)k * channels + t.col;
    return t;
}

// --- forward ----------------------------------------------------------------------

// Of x - shift, mean over a chunk and sum of squared distances from it. The shift is
// the first row of all: numbers far from zero keep their digits, and a constant has
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
    global const float *shift = x + t.col;
    x = shift + (size_t)t.row * channels;
    means += t.partial;
    m2s += t.partial;
    if (t.width == COLUMNS)  // a known width keeps the sums in registers
        tile_moments(means, m2s, x, shift, n, channels, COLUMNS);
    else
        tile_moments(means, m2s, x, shift, n, channels, t.width);
}

// One work-item does COLUMNS channels: moments of all rows, whose mean the second pass
// corrects, and the gain scale/std.
KERNEL void combine_moments(global float *mean, global float *var, global float *gain,
                            global const float *means, global const float *m2s,
                            global const float *x, global const float *scale, int rows,
                            int channels, int chunk, float eps)
{
    const int col = get_global_id(0) * COLUMNS;
    const int width = min(COLUMNS, channels - col);
    float sum[COLUMNS], square[COLUMNS], middle[COLUMNS];
    EACH_COLUMN sum[c] = 0;
    for (int r = 0; r < rows; r += chunk) {
        const size_t at = (size_t)(r / chunk) * channels + col;
        const float n = min(chunk, rows - r);
        EACH_COLUMN sum[c] += n * means[at + c];
    }
    EACH_COLUMN middle[c] = sum[c] / rows;
    EACH_COLUMN sum[c] = square[c] = 0;
    for (int r = 0; r < rows; r += chunk) {
        const size_t at = (size_t)(r / chunk) * channels + col;
        const float n = min(chunk, rows - r);
        EACH_COLUMN {
            const float d = means[at + c] - middle[c];
            sum[c] += n * d;
            square[c] += m2s[at + c] + n * (d * d);
        }
    }
    EACH_COLUMN {
        const float variance = square[c] / rows;
        mean[col + c] = x[col + c] + (middle[c] + sum[c] / rows);
        var[col + c] = variance;
        gain[col + c] = scale[col + c] / sqrt(variance + eps);
    }
}

KERNEL void normalise(global float *y, global const float *x, global const float *mean,
                      global const float *gain, global const float *bias, int rows,
                      int channels, int chunk)
{
    const tile t = my_tile(rows, channels, chunk);
    const int col = t.col, width = t.width;
    for (int r = t.row; r < t.stop; r++) {
        const size_t at = (size_t)r * channels + col;
#pragma clang loop vectorize(assume_safety)  // y may lie on x, element on same element
        EACH_COLUMN
            y[at + c] = (x[at + c] - mean[col + c]) * gain[col + c] + bias[col + c];
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
    ct_sums += t.partial;
    dots += t.partial;
    ct += (size_t)t.row * channels + t.col;
    x += (size_t)t.row * channels + t.col;
    mean += t.col;
    if (t.width == COLUMNS)
        tile_products(ct_sums, dots, ct, x, mean, n, channels, COLUMNS);
    else
        tile_products(ct_sums, dots, ct, x, mean, n, channels, t.width);
}

// One work-item does COLUMNS channels: dscale, dbias and the rows a, b, d of
// `coefficients` of which dx is made.
KERNEL void combine_products(global float *dscale, global float *dbias,
                             global float *coefficients, global const float *ct_sums,
                             global const float *dots, global const float *scale,
                             global const float *var, int rows, int channels, int chunk,
                             float eps)
{
    const int col = get_global_id(0) * COLUMNS;
    const int width = min(COLUMNS, channels - col);
    float sum[COLUMNS], product[COLUMNS];
    EACH_COLUMN sum[c] = product[c] = 0;
    for (int r = 0; r < rows; r += chunk) {
        const size_t at = (size_t)(r / chunk) * channels + col;
        EACH_COLUMN sum[c] += ct_sums[at + c];
        EACH_COLUMN product[c] += dots[at + c];
    }
    EACH_COLUMN {
        const float std = sqrt(var[col + c] + eps);
        const float gain = scale[col + c] / std;
        dbias[col + c] = sum[c];
        dscale[col + c] = product[c] / std;
        coefficients[col + c] = gain;
        coefficients[channels + col + c] = -gain * (product[c] / std) / std / rows;
        coefficients[2 * channels + col + c] = -gain * sum[c] / rows;
    }
}

// dx = a ct + b (x - mean) + d
KERNEL void normalise_vjp(global float *dx, global const float *ct,
                          global const float *x, global const float *mean,
                          global const float *coefficients, int rows, int channels,
                          int chunk)
{
    const tile t = my_tile(rows, channels, chunk);
    const int width = t.width;
    global const float *a = coefficients + t.col;
    global const float *b = a + channels, *d = b + channels;
    mean += t.col;
    for (int r = t.row; r < t.stop; r++) {
        const size_t at = (size_t)r * channels + t.col;
#pragma clang loop vectorize(assume_safety)  // dx may lie on ct or x
        EACH_COLUMN
            dx[at + c] = a[c] * ct[at + c] + b[c] * (x[at + c] - mean[c]) + d[c];
    }
}
