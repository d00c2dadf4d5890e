"""Fine-tune a converted DreamPose on pictures of one person; a stopped run goes on.

python scripts/finetune_dreampose.py --model models/dreampose --pictures person.png \
        --poses poses --out models/person
"""

import argparse
import sys
import tomllib
from pathlib import Path

from tpc_jax.errors import UserError


def main() -> None:
    """Read the inputs, train both stages and store the model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="folder of the converted model")
    parser.add_argument("--pictures", type=Path, required=True, help="a picture, folder or video")
    parser.add_argument("--poses", type=Path, required=True, help="DensePose coordinates (npy)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the finished model")
    parser.add_argument("--runs", type=Path, default=Path("runs/dreampose"), help="working folder")
    parser.add_argument("--config", type=Path, help="TOML file with overrides of FinetuneConfig")
    try:
        run(parser.parse_args())
    except UserError as error:
        print(f"finetune_dreampose: {error}", file=sys.stderr)
        sys.exit(2)


def run(options: argparse.Namespace) -> None:
    """Fine-tune as the options say."""
    # The heavy imports are here, so that --help is quick.
    from tpc_jax.animators.dreampose import DreamPoseAnimator
    from tpc_jax.animators.load import load
    from tpc_jax.io.images import IMAGE_SUFFIXES, read_image
    from tpc_jax.io.uv_files import read_uv
    from tpc_jax.io.video import read_video
    from tpc_jax.model.checkpoint import save_checkpoint
    from tpc_jax.studies.training.dreampose import FinetuneConfig, finetune

    if options.out.exists():
        raise UserError(f"{options.out}: exists already; remove it or choose another folder")
    is_picture = options.pictures.suffix.lower() in IMAGE_SUFFIXES
    source = options.pictures
    pictures = read_image(source)[None] if is_picture else read_video(source).frames
    uv = read_uv(options.poses)
    if pictures.shape[:3] != uv.shape[:3]:
        raise UserError(
            f"{options.poses}: poses have shape {list(uv.shape[:3])} (pictures, height, width), "
            f"{source} has {list(pictures.shape[:3])}; make the poses from these pictures"
        )
    try:
        values = tomllib.loads(options.config.read_text()) if options.config else {}
        config = FinetuneConfig.from_dict(values)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{options.config}: {error}") from error
    animator, params, _ = load(options.model)
    if not isinstance(animator, DreamPoseAnimator):
        raise UserError(f"{options.model}: is no DreamPose")
    params = finetune(animator, params, pictures, uv, config, options.runs)
    save_checkpoint(options.out, {"animator": "dreampose", **animator.config.to_dict()}, params)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
