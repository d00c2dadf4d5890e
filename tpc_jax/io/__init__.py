"""Files in and out: video, pictures and keypoint files, every write atomic."""

from tpc_jax.io.atomic import atomic_path as atomic_path
from tpc_jax.io.atomic import write_json as write_json
from tpc_jax.io.images import from_uint8 as from_uint8
from tpc_jax.io.images import letterbox as letterbox
from tpc_jax.io.images import letterbox_placement as letterbox_placement
from tpc_jax.io.images import read_image as read_image
from tpc_jax.io.images import to_uint8 as to_uint8
from tpc_jax.io.images import write_image as write_image
from tpc_jax.io.keypoint_files import read_keypoint_file as read_keypoint_file
from tpc_jax.io.keypoint_files import write_keypoint_file as write_keypoint_file
from tpc_jax.io.masks import read_mask as read_mask
from tpc_jax.io.video import Video as Video
from tpc_jax.io.video import read_video as read_video
from tpc_jax.io.video import write_video as write_video
