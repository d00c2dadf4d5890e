"""One deterministic DDIM step (Song et al. 2021, eta 0)."""

from jaxtyping import Array, Float


def to_sample_and_noise(
    prediction: Float[Array, "*shape"],
    latents: Float[Array, "*shape"],
    signal: Float[Array, ""],
    noise: Float[Array, ""],
    prediction_type: str,
) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    """Split noisy latents `signal * sample + noise * noise` by the network's prediction.

    Args:
        prediction: The network's output, float32.
        latents: Noisy latents, float32.
        signal: Signal level; may be 0 unless the network predicts noise.
        noise: Noise level; may be 0 unless the network predicts the sample.
        prediction_type: "epsilon", "v_prediction" or "sample".

    Raises:
        ValueError: Unknown prediction type.
    """
    if prediction_type == "epsilon":
        return (latents - noise * prediction) / signal, prediction
    if prediction_type == "v_prediction":
        return signal * latents - noise * prediction, signal * prediction + noise * latents
    if prediction_type == "sample":
        return prediction, (latents - signal * prediction) / noise
    raise ValueError(
        f"prediction_type must be epsilon, v_prediction or sample, got {prediction_type}"
    )


def ddim_step(
    prediction: Float[Array, "*shape"],
    latents: Float[Array, "*shape"],
    signal: Float[Array, ""],
    noise: Float[Array, ""],
    next_signal: Float[Array, ""],
    next_noise: Float[Array, ""],
    prediction_type: str,
) -> Float[Array, "*shape"]:
    """Move latents from one noise level to the next.

    Args:
        prediction: The network's output, float32.
        latents: Latents at (signal, noise), float32.
        signal: Signal level before the step.
        noise: Noise level before the step.
        next_signal: Signal level after the step.
        next_noise: Noise level after the step.
        prediction_type: What the network predicts.
    """
    sample, direction = to_sample_and_noise(prediction, latents, signal, noise, prediction_type)
    return next_signal * sample + next_noise * direction
