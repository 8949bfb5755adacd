// Batch normalisation of x, a matrix of rows x channels, in three launches: partial
// sums of chunks of rows (moments.cl), their combination in order, one pass that
// applies it (moments.cl).

#include "moments.cl"

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
