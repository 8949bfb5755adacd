// Max-pooling of NHWC images. One work-item does `span` channels of `run` pixels of
// the result: all channels of many pixels on a CPU (the loops over channels become
// vectors), one element on a GPU.

#define GROUPED __attribute__((reqd_work_group_size(GROUP, 1, 1)))

// The maximum and the number of the first tap that has it. A tap is better unless it is
// at most the best so far; so a NaN is better than all but a NaN.
kernel GROUPED void max_pool(global float *restrict out, global uchar *restrict index,
                             global const float *restrict x, int pixels, int channels,
                             int height, int width, int out_height, int out_width,
                             int window_height, int window_width, int stride_height,
                             int stride_width, int top, int left, int span, int run)
{
    const int parts = (channels + span - 1) / span;
    const int channel = get_global_id(0) % parts * span;
    const int count = min(span, channels - channel);
    const int first = get_global_id(0) / parts * run;
    for (int pixel = first; pixel < min(first + run, pixels); pixel++) {
        const int image = pixel / out_width / out_height;
        const int row = pixel / out_width % out_height * stride_height - top;
        const int column = pixel % out_width * stride_width - left;
        const int r_first = max(0, -row), r_last = min(window_height, height - row);
        const int s_first = max(0, -column), s_last = min(window_width, width - column);
        global float *best = out + (size_t)pixel * channels + channel;
        global uchar *at = index + (size_t)pixel * channels + channel;
        for (int c = 0; c < count; c++) {
            best[c] = -INFINITY;
            at[c] = r_first * window_width + s_first;
        }
        for (int r = r_first; r < r_last; r++) {
            for (int s = s_first; s < s_last; s++) {
                const uchar tap = r * window_width + s;
                const size_t line = (size_t)image * height + row + r;
                global const float *from =
                    x + (line * width + column + s) * channels + channel;
                for (int c = 0; c < count; c++) {
                    const bool better = !(from[c] <= best[c]) && best[c] == best[c];
                    best[c] = better ? from[c] : best[c];
                    at[c] = better ? tap : at[c];
                }
            }
        }
    }
}

// Here `pixels` are those of the input: each gathers from the windows that picked it.
kernel GROUPED void max_pool_vjp(global float *restrict dx,
                                 global const float *restrict ct,
                                 global const uchar *restrict index, int pixels,
                                 int channels, int height, int width, int out_height,
                                 int out_width, int window_height, int window_width,
                                 int stride_height, int stride_width, int top, int left,
                                 int span, int run)
{
    const int parts = (channels + span - 1) / span;
    const int channel = get_global_id(0) % parts * span;
    const int count = min(span, channels - channel);
    const int first = get_global_id(0) / parts * run;
    for (int pixel = first; pixel < min(first + run, pixels); pixel++) {
        const int image = pixel / width / height;
        const int row = pixel / width % height + top, column = pixel % width + left;
        const int oh_first =
            max(0, row - window_height + stride_height) / stride_height;
        const int ow_first =
            max(0, column - window_width + stride_width) / stride_width;
        const int oh_last = min(out_height - 1, row / stride_height);
        const int ow_last = min(out_width - 1, column / stride_width);
        global float *sum = dx + (size_t)pixel * channels + channel;
        for (int c = 0; c < count; c++)
            sum[c] = 0;
        for (int oh = oh_first; oh <= oh_last; oh++) {
            for (int ow = ow_first; ow <= ow_last; ow++) {
                const uchar tap = (row - oh * stride_height) * window_width
                    + column - ow * stride_width;
                const size_t from = channel
                    + (((size_t)image * out_height + oh) * out_width + ow) * channels;
                for (int c = 0; c < count; c++)
                    sum[c] += index[from + c] == tap ? ct[from + c] : 0;
            }
        }
    }
}
