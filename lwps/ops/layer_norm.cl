// Layer normalisation (with CENTER) and RMS normalisation (without) over rows of n
// elements; rows.cl says how a row is shared out. A work-group does `chunk` rows one
// after the other, so that the sums over rows that the vjp needs have a fixed order.

#include "rows.cl"

#ifdef CENTER
#define AND(argument) , argument
#define PLUS(x) + (x)
#else
#define AND(argument)
#define PLUS(x)
#endif

// What normalises a row: u = ((x - shift) - mean) * gain. The shift is the row's first
// element: numbers far from zero keep their digits, and a constant has no variance.
typedef struct {
    float shift, mean, gain;
} moments;

#ifdef CENTER
#define CENTERED(x, m) ((x) - (m).shift - (m).mean)

inline moments moments_of(local float *shared, global const float *x, int n, float eps)
{
    const int lane = get_local_id(0);
    moments m = {x[0], 0, 0};
    float16 sums = 0;
    float sum = 0;
    EACH_VECTOR sums += vload16(c, x) - m.shift;
    EACH_REST sum += x[c] - m.shift;
    m.mean = group_sum(shared, sum + add_up(sums)) / n;
    float16 squares = sums = 0;  // of distances, and what the mean is still wrong by
    float square = sum = 0;
    EACH_VECTOR {
        const float16 d = CENTERED(vload16(c, x), m);
        sums += d;
        squares += d * d;
    }
    EACH_REST {
        const float d = CENTERED(x[c], m);
        sum += d;
        square += d * d;
    }
    const float error = group_sum(shared, sum + add_up(sums)) / n;
    const float var = group_sum(shared, square + add_up(squares)) / n;
    m.mean += error;
    m.gain = 1 / sqrt(var + eps);
    return m;
}
#else
#define CENTERED(x, m) (x)

inline moments moments_of(local float *shared, global const float *x, int n, float eps)
{
    const int lane = get_local_id(0);
    float16 squares = 0;
    float square = 0;
    EACH_VECTOR {
        const float16 v = vload16(c, x);
        squares += v * v;
    }
    EACH_REST square += x[c] * x[c];
    const float mean = group_sum(shared, square + add_up(squares)) / n;
    const moments m = {0, 0, 1 / sqrt(mean + eps)};
    return m;
}
#endif

KERNEL void normalise(global float *y, global const float *x, global const float *scale
                      AND(global const float *bias), int rows, int n, int chunk,
                      float eps)
{
    local float shared[GROUP];
    const int lane = get_local_id(0);
    const int first = get_group_id(0) * chunk, last = min(first + chunk, rows);
    x += (size_t)first * n;
    y += (size_t)first * n;
    for (int row = first; row < last; row++, x += n, y += n) {
        const moments m = moments_of(shared, x, n, eps);
        EACH_VECTOR {
            const float16 u = CENTERED(vload16(c, x), m) * m.gain;
            vstore16(u * vload16(c, scale) PLUS(vload16(c, bias)), c, y);
        }
        EACH_REST y[c] = CENTERED(x[c], m) * m.gain * scale[c] PLUS(bias[c]);
    }
}

// With g = ct scale: dx = gain (g - mean(g) - u mean(g u)), where mean(g) is there
// only with CENTER; and this chunk's rows of dscales, sums of ct u, and of dbiases,
// sums of ct.
KERNEL void normalise_vjp(global float *dx, global float *dscales
                          AND(global float *dbiases), global const float *ct,
                          global const float *x, global const float *scale, int rows,
                          int n, int chunk, float eps)
{
    local float shared[GROUP];
    const int lane = get_local_id(0), k = get_group_id(0);
    const int first = k * chunk, last = min(first + chunk, rows);
    dscales += (size_t)k * n;
    EACH_VECTOR vstore16(0, c, dscales);
    EACH_REST dscales[c] = 0;
#ifdef CENTER
    dbiases += (size_t)k * n;
    EACH_VECTOR vstore16(0, c, dbiases);
    EACH_REST dbiases[c] = 0;
#endif
    x += (size_t)first * n;
    ct += (size_t)first * n;
    dx += (size_t)first * n;
    for (int row = first; row < last; row++, x += n, ct += n, dx += n) {
        const moments m = moments_of(shared, x, n, eps);
        float16 sums = 0, dots = 0;
        float sum = 0, dot = 0;
        EACH_VECTOR {
            const float16 g = vload16(c, ct) * vload16(c, scale);
            sums += g;
            dots += g * (CENTERED(vload16(c, x), m) * m.gain);
        }
        EACH_REST {
            const float g = ct[c] * scale[c];
            sum += g;
            dot += g * (CENTERED(x[c], m) * m.gain);
        }
        const float along = group_sum(shared, dot + add_up(dots)) / n;
#ifdef CENTER
        const float mean = group_sum(shared, sum + add_up(sums)) / n;
#else
        const float mean = 0;
#endif
        EACH_VECTOR {
            const float16 g = vload16(c, ct), u = CENTERED(vload16(c, x), m) * m.gain;
            vstore16(vload16(c, dscales) + g * u, c, dscales);
#ifdef CENTER
            vstore16(vload16(c, dbiases) + g, c, dbiases);
#endif
            vstore16((g * vload16(c, scale) - mean - u * along) * m.gain, c, dx);
        }
        EACH_REST {
            const float g = ct[c], u = CENTERED(x[c], m) * m.gain;
            dscales[c] += g * u;
#ifdef CENTER
            dbiases[c] += g;
#endif
            dx[c] = (g * scale[c] - mean - u * along) * m.gain;
        }
    }
}

// The sums over all chunks, in order. A work-item adds up WIDTH columns.
kernel void add_chunks(global float *sums, global const float *partial, int chunks,
                       int n)
{
    const int column = get_global_id(0) * WIDTH, width = min(WIDTH, n - column);
    float sum[WIDTH];
    for (int c = 0; c < WIDTH; c++)
        sum[c] = 0;
    for (int k = 0; k < chunks; k++)
        for (int c = 0; c < width; c++)
            sum[c] += partial[(size_t)k * n + column + c];
    for (int c = 0; c < width; c++)
        sums[column + c] = sum[c];
}
