// Convolution as products of register tiles (matmul.cl) with packed weights: a window
// of a row of x is one run of `flat` = window width * channels floats, so a result is a
// sum of as many dot products as the window has rows ("taps").
#include "matmul.cl"

// Copies images into a frame of zeros (or cuts off what lies outside of it). Widths
// count floats. One work-item does `span` floats of `rows` rows of the frame.
kernel GROUPED void pad_images(global float *restrict out,
                               global const float *restrict x, int height, int width,
                               int out_height, int out_width, int top, int left,
                               int images, int span, int rows)
{
    const int first = get_global_id(0) * span;
    const int last = min(first + span, out_width);
    const int lines = images * out_height;
    const int end = min((int)get_global_id(1) * rows + rows, lines);
    for (int line = get_global_id(1) * rows; line < end; line++) {
        const int row = line % out_height - top;
        const bool inside = row >= 0 && row < height;
        const int begin = clamp(left, first, last);  // of what comes from x
        const int stop = inside ? clamp(left + width, begin, last) : begin;
        global float *to = out + (size_t)line * out_width;
        global const float *from =
            x + ((long)(line / out_height) * height + row) * width - left;
        for (int k = first; k < begin; k++)
            to[k] = 0;
        for (int k = begin; k < stop; k++)
            to[k] = from[k];
        for (int k = stop; k < last; k++)
            to[k] = 0;
    }
}

// Walks over images of height x width pixels in two arrays at once.
typedef struct {
    int row, column;
    size_t x, out;  // offsets of the pixel in the arrays
} place;

static inline size_t offset(place p, size_t image, int image_step, int row_step,
                            int column_step)
{
    return image * image_step + (size_t)p.row * row_step
        + (size_t)p.column * column_step;
}

// One work-item does `tiles` tiles of MR pixels x COLUMNS channels of the result.
kernel GROUPED void conv2d(global float *out, global const float *x,
                           global const float *panels, int pixels, int height,
                           int width, int x_first, int x_image, int x_row, int x_column,
                           int out_first, int out_image, int out_row, int out_column,
                           int panels_first, int taps, int tap_step, int flat,
                           int channels, int tiles)
{
    const int lane = get_global_id(0) % LANES;
    const int channel = get_global_id(1) * PANEL + lane * COLUMNS;
    const int first = get_global_id(0) / LANES * tiles * MR;
    const int last = min(first + tiles * MR, pixels);
    panels += panels_first + get_global_id(1) * (size_t)taps * flat * PANEL;
    global const vec *panel = (global const vec *)panels + lane * NV;
    x += x_first;
    out += out_first + channel;
    const size_t image = first / width / height;
    place p = {first / width % height, first % width, 0, 0};
    p.x = offset(p, image, x_image, x_row, x_column);
    p.out = offset(p, image, out_image, out_row, out_column);
    for (int pixel = first; pixel < last; pixel += MR) {
        vec acc[MR][NV];
        global const float *a[MR];
        size_t to[MR];
        #pragma unroll
        for (int i = 0; i < MR; i++) {
            a[i] = x + p.x;
            to[i] = p.out;
            if (pixel + i + 1 < last) {
                p.x += x_column;
                p.out += out_column;
                if (++p.column == width) {
                    p.column = 0;
                    p.x += x_row - (long)width * x_column;
                    p.out += out_row - (long)width * out_column;
                    if (++p.row == height) {
                        p.row = 0;
                        p.x += x_image - (long)height * x_row;
                        p.out += out_image - (long)height * out_row;
                    }
                }
            }
        }
        // once at least: without taps the result is zero
        for (int r = 0; r == 0 || r < taps; r++) {
            for (int k = 0; k == 0 || k < flat; k += TERMS) {
                clear(acc);
                if (r < taps)
                    multiply(acc, a, (size_t)r * tap_step + k, 1,
                             panel + ((size_t)r * flat + k) * NV * LANES, min(TERMS, flat - k));
                #pragma unroll
                for (int i = 0; i < MR; i++) {
                    if (pixel + i < last)
                        add_row(out + to[i], acc[i], channels - channel, r + k == 0);
                }
            }
        }
    }
}

// The weights' gradient: row m = (tap, k) of the result is a sum over all lines of
// pixels. Chunk get_global_id(2) of `chunk` lines gives one of the partial results.
// One work-item takes `block` lines (few enough to stay in cache) through all of its
// `tiles` tiles, then the next, with the sums kept in `parts`.
kernel GROUPED void conv2d_weight_vjp(global float *parts, global const float *x,
                                      global const float *panels, int rows, int flat,
                                      int channels, int lines, int height, int width,
                                      int x_image, int x_row, int x_line, int x_column,
                                      int chunk, int block, int tiles)
{
    const int lane = get_global_id(0) % LANES;
    const int channel = get_global_id(1) * PANEL + lane * COLUMNS;
    const int first = get_global_id(0) / LANES * tiles * MR;
    const int last = min(first + tiles * MR, rows);
    const int begin = get_global_id(2) * chunk;
    const int end = min(begin + chunk, lines);
    panels += get_global_id(1) * (size_t)lines * width * PANEL;
    global const vec *panel = (global const vec *)panels + lane * NV;
    parts += get_global_id(2) * (size_t)rows * channels + channel;
    for (int start = begin; start == begin || start < end; start += block) {
        for (int row = first; row < last; row += MR) {
            vec acc[MR][NV];
            global const float *a[MR];
            #pragma unroll
            for (int i = 0; i < MR; i++) {
                const int m = min(row + i, last - 1);
                a[i] = x + (size_t)(m / flat) * x_row + m % flat;
            }
            clear(acc);
            for (int line = start; line < min(start + block, end); line++) {
                const size_t image = line / height, row_of_image = line % height;
                multiply(acc, a, image * x_image + row_of_image * x_line, x_column,
                         panel + (size_t)line * width * NV * LANES, width);
            }
            #pragma unroll
            for (int i = 0; i < MR; i++) {
                if (row + i < last)
                    add_row(parts + (size_t)(row + i) * channels, acc[i],
                            channels - channel, start == begin);
            }
        }
    }
}

// out = the sum of partial results, in order. One work-item does `span` elements.
kernel GROUPED void add_parts(global float *restrict out,
                              global const float *restrict parts, int size, int count,
                              int span)
{
    const int first = get_global_id(0) * span;
    const int last = min(first + span, size);
    for (int k = first; k < last; k++)
        out[k] = parts[k];
    for (int p = 1; p < count; p++) {
        for (int k = first; k < last; k++)
            out[k] += parts[(size_t)p * size + k];
    }
}
