// out = the sum of partial results, in order. One work-item does `span` elements.
kernel __attribute__((reqd_work_group_size(GROUP, 1, 1)))
void add_parts(global float *restrict out, global const float *restrict parts, int size,
               int count, int span)
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
