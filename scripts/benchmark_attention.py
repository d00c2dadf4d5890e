"""Time self-attention against PyTorch's fused attention on a CPU.

Both run in turn in one process, and the least of several calls counts, so that other work on the
machine disturbs both alike. Needs torch (the `dev` extra).
"""

import dataclasses
import time

import jax
import jax.numpy as jnp
import numpy as np
import torch
import tyro

from tpc_jax.model.attention import attend


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Sizes; the defaults are the finest level of Stable Diffusion at 512 x 512.

    Attributes:
        images: Pictures per call.
        tokens: Tokens per picture.
        heads: Attention heads.
        head_dim: Width of a head.
        calls: Timed calls of each.
        threads: Threads of torch; JAX takes as many as there are cores.
    """

    images: int = 2
    tokens: int = 4096
    heads: int = 8
    head_dim: int = 40
    calls: int = 10
    threads: int = torch.get_num_threads()


def main(args: Arguments) -> None:
    """Print the least time of either and their ratio."""
    torch.set_num_threads(args.threads)
    rng = np.random.default_rng(0)
    shape = (args.images, args.tokens, args.heads, args.head_dim)
    inputs = [rng.normal(size=shape).astype(np.float32) for _ in range(3)]
    query, key, value = (torch.from_numpy(x).transpose(1, 2).contiguous() for x in inputs)
    ours = [jnp.asarray(x) for x in inputs]
    compiled = jax.jit(attend)

    def run_jax():
        return np.asarray(compiled(*ours))

    def run_torch():
        attended = torch.nn.functional.scaled_dot_product_attention(query, key, value)
        return attended.transpose(1, 2).numpy()

    difference = np.abs(run_jax() - run_torch()).max()
    seconds: dict[str, list[float]] = {"jax": [], "torch": []}
    for _ in range(args.calls):
        for name, run in [("jax", run_jax), ("torch", run_torch)]:
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    best = {name: min(times) for name, times in seconds.items()}
    print(f"{shape} float32 on {jax.default_backend()}: largest difference {difference:.1e}")
    print(
        f"jax {best['jax']:.3f} s, torch {best['torch']:.3f} s: {best['jax'] / best['torch']:.2f}"
    )


if __name__ == "__main__":
    main(tyro.cli(Arguments))
