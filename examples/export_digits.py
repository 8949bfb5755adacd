"""From training to another runtime: a small network on the digits, exported as ONNX and run by ONNX Runtime.

pip install 'lwps[onnx]' onnxruntime && python examples/export_digits.py
"""

from pathlib import Path

import numpy as np

import lwps
from lwps import nn
from lwps.data import digits
from lwps.train import Settings, train


def network():
    return nn.serial(
        conv1=nn.conv2d(16, 3), bn1=nn.batch_norm(), relu1=nn.relu(), pool=nn.max_pool(2),
        conv2=nn.conv2d(32, 3), bn2=nn.batch_norm(), relu2=nn.relu(),
        mean=nn.global_avg_pool(), fc=nn.linear(10),
    )  # fmt: skip


def main(epochs=6, path="digits.onnx", placement="auto"):
    data, model = digits(), network()
    result = train(model, data, Settings(batch=64, epochs=epochs, lr=0.2, placement=placement))

    def logits(params, state, images):
        return model.apply(params, state, images, train=False)[0]

    # what is an array is stored in the model, what is an aval comes in
    aval = lwps.ShapedArray((1, 8, 8, 1), "float32")
    proto = lwps.export.to_onnx(logits, result.params, result.state, aval, path=path, dynamic_batch=True)
    ops = [node.op_type for node in proto.graph.node]
    print(f"{path}: {Path(path).stat().st_size} bytes, {' '.join(ops)}")

    try:
        import onnxruntime
    except ModuleNotFoundError:
        print("to run it here: pip install onnxruntime")
        return ops, None
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {"images": data.test_images})
    accuracy = float(np.mean(scores.argmax(-1) == data.test_labels))
    print(f"test accuracy: {result.test_accuracy:.2%} here, {accuracy:.2%} in ONNX Runtime {onnxruntime.__version__}")
    return ops, accuracy


if __name__ == "__main__":
    main()
