// Convolution as products of register tiles (matmul.cl) with packed weights. A window
// is a number of runs of `flat` floats, `wide` of them side by side: where its taps
// touch, a run is a whole row of the window (width * channels floats); where they are
// dilated, or where a group has only some of the channels, a run is one tap. So a
// result is a sum of as many dot products as the window has runs.
#include "matmul.cl"
#include "chunks.cl"

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

// Where run number `run` of a window begins.
static inline size_t run_offset(int run, int wide, int row_step, int column_step)
{
    return (size_t)(run / wide) * row_step + (size_t)(run % wide) * column_step;
}

static inline size_t offset(place p, size_t image, int image_step, int row_step,
                            int column_step)
{
    return image * image_step + (size_t)p.row * row_step
        + (size_t)p.column * column_step;
}

// One work-item does `tiles` tiles of MR pixels x COLUMNS channels of the result, of
// group get_global_id(2).
kernel GROUPED void conv2d(global float *out, global const float *x,
                           global const float *panels, int pixels, int height,
                           int width, int x_first, int x_image, int x_row, int x_column,
                           int out_first, int out_image, int out_row, int out_column,
                           int panels_first, int runs, int wide, int row_step,
                           int column_step, int flat, int x_channels, int channels,
                           int tiles)
{
    const int lane = get_global_id(0) % LANES;
    const int channel = get_global_id(1) * PANEL + lane * COLUMNS;
    const int first = get_global_id(0) / LANES * tiles * MR;
    const int last = min(first + tiles * MR, pixels);
    const size_t group = get_global_id(2);
    panels += panels_first
        + (group * get_global_size(1) + get_global_id(1)) * runs * flat * PANEL;
    global const vec *panel = (global const vec *)panels + lane * NV;
    x += x_first + group * x_channels;
    out += out_first + group * channels + channel;
    const int together = max(1, TERMS / max(1, flat));  // runs that one sum takes
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
        // once at least: without runs the result is zero
        for (int r = 0; r == 0 || r < runs; r += together) {
            for (int k = 0; k == 0 || k < flat; k += TERMS) {
                clear(acc);
                for (int q = r; q < min(r + together, runs); q++)
                    multiply(acc, a, run_offset(q, wide, row_step, column_step) + k, 1,
                             panel + ((size_t)q * flat + k) * NV * LANES,
                             min(TERMS, flat - k));
                #pragma unroll
                for (int i = 0; i < MR; i++) {
                    if (pixel + i < last)
                        add_row(out + to[i], acc[i], channels - channel, r + k == 0);
                }
            }
        }
    }
}

// The weights' gradient: row m = (run, k) of the result is a sum over all pixels, which
// come in `pieces`: lines, or parts of `length` pixels where lines are longer. Chunk
// get_global_id(2) of `chunk` pieces gives one of the partial results. One work-item
// takes `block` pieces (few enough to stay in cache) through all of its `tiles` tiles,
// then the next, with the sums kept in `parts`.
kernel GROUPED void conv2d_weight_vjp(global float *parts, global const float *x,
                                      global const float *panels, int rows, int wide,
                                      int row_step, int column_step, int flat,
                                      int x_channels, int channels, int groups,
                                      int pieces, int length, int height, int width,
                                      int x_image, int x_line, int x_column, int chunk,
                                      int block, int tiles)
{
    const int lane = get_global_id(0) % LANES;
    const int panels_a_group = get_global_size(1) / groups;
    const size_t group = get_global_id(1) / panels_a_group;
    const int channel = get_global_id(1) % panels_a_group * PANEL + lane * COLUMNS;
    const int first = get_global_id(0) / LANES * tiles * MR;
    const int last = min(first + tiles * MR, rows);
    const int begin = get_global_id(2) * chunk;
    const int end = min(begin + chunk, pieces);
    const int a_line = (width + length - 1) / length;
    const size_t lines = pieces / a_line;
    panels += get_global_id(1) * lines * width * PANEL;
    global const vec *panel = (global const vec *)panels + lane * NV;
    x += group * x_channels;
    parts += get_global_id(2) * (size_t)rows * groups * channels + group * channels
        + channel;
    for (int start = begin; start == begin || start < end; start += block) {
        for (int row = first; row < last; row += MR) {
            vec acc[MR][NV];
            global const float *a[MR];
            #pragma unroll
            for (int i = 0; i < MR; i++) {
                const int m = min(row + i, last - 1);
                a[i] = x + run_offset(m / flat, wide, row_step, column_step) + m % flat;
            }
            clear(acc);
            for (int piece = start; piece < min(start + block, end); piece++) {
                const size_t line = piece / a_line;
                const int column = piece % a_line * length;
                multiply(acc, a,
                         line / height * x_image + line % height * x_line
                             + (size_t)column * x_column,
                         x_column, panel + (line * width + column) * NV * LANES,
                         min(length, width - column));
            }
            #pragma unroll
            for (int i = 0; i < MR; i++) {
                if (row + i < last)
                    add_row(parts + (size_t)(row + i) * groups * channels, acc[i],
                            channels - channel, start == begin);
            }
        }
    }
}
