// Group normalisation of x, images x rows x channels: sums of chunks of rows for each
// channel (moments.cl), their combination in order over the chunks and channels of a
// group, one pass that applies it (moments.cl). A group is `size` channels, side by
// side.

#include "moments.cl"

// --- forward ----------------------------------------------------------------------

// One work-item does a group of an image. Its mean and 1/deviation go to each of its
// channels, and so does the gain scale/deviation. Chunks have means from the first
// element of their channel on; here all are taken from the first one of the group.
KERNEL void combine_group_moments(global float *means_out, global float *inverses,
                                  global float *gains, global const float *means,
                                  global const float *m2s, global const float *x,
                                  global const float *scale, int rows, int channels,
                                  int chunk, int images, int size, float eps)
{
    const int groups = channels / size;
    const int id = get_global_id(0);
    if (id >= images * groups)
        return;
    const int image = id / groups, col = id % groups * size;
    const int chunks = (rows + chunk - 1) / chunk;
    const float total = (float)rows * size;
    x += (size_t)image * rows * channels + col;
    means += (size_t)image * chunks * channels + col;
    m2s += (size_t)image * chunks * channels + col;
    float sum = 0;
    for (int k = 0; k < chunks; k++) {
        const float n = min(chunk, rows - k * chunk);
        for (int c = 0; c < size; c++)
            sum += n * (means[(size_t)k * channels + c] + (x[c] - x[0]));
    }
    const float middle = sum / total;
    float square = sum = 0;  // of distances from the middle, which the sum corrects
    for (int k = 0; k < chunks; k++) {
        const float n = min(chunk, rows - k * chunk);
        for (int c = 0; c < size; c++) {
            const size_t at = (size_t)k * channels + c;
            const float d = means[at] + (x[c] - x[0]) - middle;
            sum += n * d;
            square += m2s[at] + n * (d * d);
        }
    }
    const float mean = x[0] + (middle + sum / total);
    const float inverse = 1 / sqrt(square / total + eps);
    for (int c = col; c < col + size; c++) {
        const size_t at = (size_t)image * channels + c;
        means_out[at] = mean;
        inverses[at] = inverse;
        gains[at] = scale[c] * inverse;
    }
}

// --- vjp --------------------------------------------------------------------------

// One work-item does a group of an image: rows a, b, d of its channels' coefficients,
// of which dx is made, and what the image adds to their dscale and dbias.
KERNEL void combine_group_products(global float *coefficients, global float *dscales,
                                   global float *dbiases, global const float *ct_sums,
                                   global const float *dots, global const float *scale,
                                   global const float *inverses, int rows,
                                   int channels, int chunk, int images, int size)
{
    const int groups = channels / size;
    const int id = get_global_id(0);
    if (id >= images * groups)
        return;
    const int image = id / groups, col = id % groups * size;
    const int chunks = (rows + chunk - 1) / chunk;
    const float total = (float)rows * size;
    const size_t here = (size_t)image * channels + col;
    const float inverse = inverses[here];
    ct_sums += (size_t)image * chunks * channels + col;
    dots += (size_t)image * chunks * channels + col;
    float sum = 0, along = 0;
    for (int c = 0; c < size; c++) {
        float ct_sum = 0, dot = 0;
        for (int k = 0; k < chunks; k++) {
            ct_sum += ct_sums[(size_t)k * channels + c];
            dot += dots[(size_t)k * channels + c];
        }
        dbiases[here + c] = ct_sum;
        dscales[here + c] = dot * inverse;
        sum += scale[col + c] * ct_sum;
        along += scale[col + c] * (dot * inverse);
    }
    global float *a = coefficients + (size_t)image * 3 * channels + col;
    global float *b = a + channels, *d = b + channels;
    for (int c = 0; c < size; c++) {
        a[c] = scale[col + c] * inverse;
        b[c] = -(along / total) * inverse * inverse;
        d[c] = -(sum / total) * inverse;
    }
}

// dscale and dbias: the sums over the images. One work-item does COLUMNS channels.
KERNEL void add_images(global float *dscale, global float *dbias,
                       global const float *dscales, global const float *dbiases,
                       int images, int channels)
{
    const int col = get_global_id(0) * COLUMNS;
    const int width = min(COLUMNS, channels - col);
    float scales[COLUMNS], biases[COLUMNS];
    EACH_COLUMN scales[c] = biases[c] = 0;
    for (int i = 0; i < images; i++) {
        const size_t at = (size_t)i * channels + col;
        EACH_COLUMN scales[c] += dscales[at + c];
        EACH_COLUMN biases[c] += dbiases[at + c];
    }
    EACH_COLUMN dscale[col + c] = scales[c];
    EACH_COLUMN dbias[col + c] = biases[c];
}
