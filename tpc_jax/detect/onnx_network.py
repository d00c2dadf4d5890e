"""Run a network of an `.onnx` file that looks at one picture, on the CPU."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from tpc_jax.detect.tflite import num_cpus
from tpc_jax.errors import UserError

_FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
# Least and greatest side of a picture in pixels.
_SIDES = (32, 4096)
# What else is found under a name that ends in `.onnx`, by its first bytes.
_OTHERS = {
    b"PK": "is a zip or a PyTorch file; give the .onnx file itself",
    b"<": "is a web page; download the file again",
    b"version https://git-lfs": "is a pointer of Git LFS; download the file that it points to",
}


class OnnxNetwork:
    """A network that takes one picture, channels first, and gives arrays.

    Attributes:
        name: The file.
        size: (height, width) of the picture that it takes.
        output_shapes: What it gave for a black picture.
    """

    def __init__(
        self, path: str | Path, default: tuple[int, int], num_threads: int | None = None
    ) -> None:
        """Load a network and run it once.

        Args:
            path: `.onnx` file.
            default: Height and width where the file leaves them open.
            num_threads: Threads of the CPU to use; all that the process may use by default.

        Raises:
            UserError: The package that runs it is not installed; the file is missing, damaged or
                no network of one picture.
        """
        self.name = str(path)
        self._session, inputs = _open(Path(path), num_threads or num_cpus())
        self._input, kind, shape = inputs[0] if len(inputs) == 1 else ("", "", [])
        if kind not in _FLOATS or not _is_picture(shape):
            taken = " and ".join(f"{kind} {shape}" for _, kind, shape in inputs)
            raise UserError(
                f"{path}: takes {taken}, not one picture of [1, 3, height, width]; give YOLOX or "
                "RTMPose as they are published"
            )
        self._dtype = _FLOATS[kind]
        height, width = (
            length if isinstance(length, int) else usual
            for length, usual in zip(shape[2:], default, strict=True)
        )
        self.size: tuple[int, int] = (height, width)
        outputs = self(np.zeros((1, 3, height, width), np.float32))
        self.output_shapes = [output.shape for output in outputs]

    def __call__(self, x: Float32[np.ndarray, "..."]) -> list[Float32[np.ndarray, "..."]]:
        """Return the outputs in the order of the file.

        Raises:
            UserError: The network does not run, or gives no numbers.
        """
        try:
            outputs = self._session.run(None, {self._input: x.astype(self._dtype)})
        except Exception as error:  # its errors share no other base
            raise UserError(
                f"{self.name}: cannot be run ({_reason(error)}); download it again"
            ) from error
        if not all(map(_is_finite, outputs)):
            raise UserError(f"{self.name}: gives no finite numbers; download it again")
        return [np.asarray(y, np.float32) for y in outputs]

    def unlike(self, expected: str) -> UserError:
        """Return the error that says what the network is, and what is expected instead."""
        gives = ", ".join(str(list(shape)) for shape in self.output_shapes)
        return UserError(f"{self.name}: takes {[1, 3, *self.size]} and gives {gives}; {expected}")


def _open(path: Path, num_threads: int) -> tuple[Any, list[tuple[str, str, list]]]:
    """Return a session, and name, type and shape of what it takes."""
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(
            "finding whole bodies in pictures takes the package onnxruntime; install it with: "
            "pip install 'tpc-jax[wholebody]'"
        ) from error
    _require_onnx(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.log_severity_level = 4  # what goes wrong is raised, too
    try:
        # By path, for large networks keep their weights in a file beside it.
        session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"], enable_fallback=False
        )
        return session, [(x.name, x.type, x.shape) for x in session.get_inputs()]
    except Exception as error:  # its errors share no other base
        raise UserError(
            f"{path}: is no readable ONNX network ({_reason(error)}); download it again"
        ) from error


def _require_onnx(path: Path) -> None:
    """Refuse what is surely something else; ONNX files have no mark of their own."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; check the path")
    try:
        with path.open("rb") as file:
            head = file.read(32).lstrip()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check it") from error
    if not head:
        raise UserError(f"{path}: is empty; download it again")
    for start, what in _OTHERS.items():
        if head.startswith(start):
            raise UserError(f"{path}: {what}")


def _is_picture(shape: list) -> bool:
    """Tell whether a shape is (1, 3, height, width), where open lengths are no numbers."""
    expected = ((1, 1), (3, 3), _SIDES, _SIDES)
    return len(shape) == 4 and all(
        not isinstance(length, int) or least <= length <= most
        for length, (least, most) in zip(shape, expected, strict=True)
    )


def _is_finite(output: Any) -> bool:
    is_number = isinstance(output, np.ndarray) and output.dtype.kind in "biuf"
    return is_number and bool(np.isfinite(output).all())


def _reason(error: Exception) -> str:
    """Return the last part of a message of the runtime, on one line."""
    lines = str(error).strip().splitlines() or ["no reason given"]
    return lines[-1].rsplit("failed:", 1)[-1].strip()[:200]
