"""Run a small network of a `.tflite` file on the CPU."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from tpc_jax.errors import UserError


@runtime_checkable
class Network(Protocol):
    """A network with one input and several outputs, all float32 with a leading axis of 1."""

    input_shape: tuple[int, ...]
    output_shapes: list[tuple[int, ...]]

    def __call__(self, x: Float32[np.ndarray, "..."]) -> list[Float32[np.ndarray, "..."]]:
        """Return copies of the outputs."""
        ...


class TFLiteNetwork:
    """A network held by the LiteRT interpreter; not to be called by two threads at once."""

    def __init__(self, data: bytes, name: str, num_threads: int | None = None) -> None:
        """Load a network.

        Args:
            data: Contents of a `.tflite` file.
            name: What to call the file in errors.
            num_threads: Threads of the CPU to use; all that the process may use by default.

        Raises:
            UserError: The interpreter is not installed, or the data is no network for it.
        """
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise UserError(
                "finding people in pictures takes the package ai-edge-litert; "
                "install it with: pip install 'tpc-jax[pose]'"
            ) from error
        try:
            with _quiet():
                # The interpreter reads the bytes where they are, so it keeps them.
                self._runtime = Interpreter(
                    model_content=data, num_threads=num_threads or num_cpus()
                )
                self._runtime.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise UserError(f"{name}: is no readable network; download it again") from error
        inputs, outputs = self._runtime.get_input_details(), self._runtime.get_output_details()
        if len(inputs) != 1 or any(x["dtype"] != np.float32 for x in (*inputs, *outputs)):
            raise UserError(f"{name}: is not a network of BlazePose; give MediaPipe's pose model")
        self._input, self._outputs = inputs[0]["index"], [x["index"] for x in outputs]
        self.input_shape = tuple(inputs[0]["shape"].tolist())
        self.output_shapes = [tuple(x["shape"].tolist()) for x in outputs]

    def __call__(self, x: Float32[np.ndarray, "..."]) -> list[Float32[np.ndarray, "..."]]:
        """Return copies of the outputs, in the order of `output_shapes`."""
        self._runtime.set_tensor(self._input, x)
        self._runtime.invoke()
        return [self._runtime.get_tensor(index) for index in self._outputs]


def num_cpus() -> int:
    """Return how many CPUs the process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the interpreter's greeting, which no setting turns off, away from the terminal."""
    sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:  # no such descriptor: nothing to keep quiet
        yield
        return
    try:
        with open(os.devnull, "w") as sink:
            os.dup2(sink.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
