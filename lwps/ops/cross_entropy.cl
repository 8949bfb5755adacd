// Softmax cross-entropy of rows of logits, n classes each; rows.cl says how a row is
// shared out.

#include "rows.cl"

KERNEL void softmax_cross_entropy(global float *losses, global const float *logits,
                                  global const int *labels, int n)
{
    local float shared[GROUP];
    const size_t row = get_group_id(0);
    const int label = labels[row];
    logits += row * n;
    const float top = largest(shared, logits, n);
    const float sum = sum_of_exp(shared, logits, top, n);
    const int known = label >= 0 && label < n;
    if (get_local_id(0) == 0)
        losses[row] = known ? log(sum) - (logits[label] - top) : NAN;
}

// dlogits = ct (softmax(logits) - [class == label])
KERNEL void softmax_cross_entropy_vjp(global float *dlogits, global const float *cts,
                                      global const float *logits,
                                      global const int *labels, int n)
{
    local float shared[GROUP];
    const int lane = get_local_id(0);
    const size_t row = get_group_id(0);
    const int label = labels[row];
    const int known = label >= 0 && label < n;
    const float ct = known ? cts[row] : NAN;
    logits += row * n;
    dlogits += row * n;
    const float top = largest(shared, logits, n);
    const float scale = 1 / sum_of_exp(shared, logits, top, n);
    EACH_VECTOR vstore16(ct * (exp(vload16(c, logits) - top) * scale), c, dlogits);
    EACH_REST dlogits[c] = ct * (exp(logits[c] - top) * scale);
    barrier(CLK_GLOBAL_MEM_FENCE);  // another work-item may have written the label's
    if (lane == 0 && known)
        dlogits[label] -= ct;
}
