"""What `fullsize.py` needs to know of each model."""

# Files by the converter's options; frames, height and width.
MODELS = {
    "magicanimate": ({n: n for n in ("sd15", "vae", "magicanimate")}, (4, 256, 256)),
    "animateanyone": (
        {n: n for n in ("sd15", "vae", "image_encoder", "weights")}, (4, 384, 256),
    ),
    "dreampose": (
        {
            "sd14": "sd14", "clip": "clip",
            "unet": "dreampose/unet_epoch_20.pth", "adapter": "dreampose/adapter_20.pth",
        },
        (2, 640, 512),
    ),
    "disco": (
        {"variations": "variations", "disco": "disco/mp_rank_00_model_states.pt"}, (4, 256, 256),
    ),
}  # fmt: skip
