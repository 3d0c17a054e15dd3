"""onnxruntime or DeepSparse in a process of its own: ``python engine_child.py onnxruntime``.

Imports nothing of this library, so that it runs in a Python where only numpy, ``onnx`` and the
engine are installed. Requests and answers are JSON lines::

    {"load": key, "weight": file.npy, "samples": file.npy, "threads": 1, "result": file.npy}
    {"turn": key, "calls": 10}       {"drop": key}
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from turns import turn  # beside this file


def as_model(weight: np.ndarray, batch: int) -> bytes:
    """y = x W' as an ONNX file: the weight dense, with its zeros."""
    rows, inputs = weight.shape
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, inputs])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, rows])
    node = helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)
    graph = helper.make_graph([node], "product", [x], [y], [numpy_helper.from_array(weight, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    return model.SerializeToString()


def onnxruntime_run(model: bytes, x: np.ndarray, threads: int) -> Callable[[], np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.force_spinning_stop", "1")  # others wait for cores
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": x})[0]


def deepsparse_run(model: bytes, x: np.ndarray, threads: int) -> Callable[[], np.ndarray]:
    import tempfile

    import deepsparse

    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        file.write(model)
        file.flush()
        engine = deepsparse.Engine(model=file.name, batch_size=len(x), num_cores=threads)
    return lambda: engine.run([x], val_inp=False)[0]


ENGINES: dict[str, Callable[..., Callable[[], np.ndarray]]] = {
    "onnxruntime": onnxruntime_run,
    "deepsparse": deepsparse_run,
}


def answer(request: dict[str, Any], engine: str, runs: dict[str, Callable]) -> dict[str, Any]:
    if "load" in request:
        x = np.load(request["samples"])
        model = as_model(np.load(request["weight"]), len(x))
        run = runs[request["load"]] = ENGINES[engine](model, x, request["threads"])
        np.save(request["result"], run())
        return {}
    if "turn" in request:
        return {"times": turn(runs[request["turn"]], request["calls"])}
    del runs[request["drop"]]
    return {}


def main(engine: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the engine prints is no answer
    version = __import__(engine).__version__
    print(json.dumps({"version": version}), file=answers, flush=True)
    runs: dict[str, Callable] = {}
    for line in sys.stdin:
        try:
            said = answer(json.loads(line), engine, runs)
        except Exception as error:
            said = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(said), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
