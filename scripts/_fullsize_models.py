"""What `fullsize.py` needs to know of each model."""

# Module and function with the weights; files by the converter's options; frames, height and width.
MODELS = {
    "magicanimate": (
        "_published_magicanimate", "published",
        {n: n for n in ("sd15", "vae", "magicanimate")}, (4, 256, 256),
    ),
    "animateanyone": (
        "_published_anyone", "published",
        {n: n for n in ("sd15", "vae", "image_encoder", "weights")}, (4, 384, 256),
    ),
    "dreampose": (
        "_published_tokens", "dreampose",
        {
            "sd14": "sd14", "clip": "clip",
            "unet": "dreampose/unet_epoch_20.pth", "adapter": "dreampose/adapter_20.pth",
        },
        (2, 640, 512),
    ),
    "disco": (
        "_published_tokens", "disco",
        {"variations": "variations", "disco": "disco/mp_rank_00_model_states.pt"}, (4, 256, 256),
    ),
}  # fmt: skip
