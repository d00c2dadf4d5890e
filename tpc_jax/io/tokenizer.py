"""Prompts as token ids: CLIP's byte-pair encoding, from the files that come with a text encoder."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

from tpc_jax.errors import UserError

START, END = "<|startoftext|>", "<|endoftext|>"
_FILE, _VOCABULARY, _MERGES = "tokenizer.json", "vocab.json", "merges.txt"
# How CLIP cuts a text into words: contractions, letters, single digits, runs of anything else.
_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def prompt_ids(
    folder: Path, prompts: Sequence[str], max_tokens: int = 77
) -> Int[np.ndarray, "prompts tokens"]:
    """Return the ids of prompts: start token, words, end token, then end tokens as padding.

    A prompt that does not fit is refused: cutting it would drop what was asked for in silence.

    Args:
        folder: Holds `tokenizer.json`, or `vocab.json` and `merges.txt`.
        prompts: Texts in any case; white space counts as one blank.
        max_tokens: Length of every row.

    Raises:
        UserError: Files are missing or damaged, a prompt is too long, or the `tokenizers` library
            is not installed.

    Source: transformers `CLIPTokenizerFast`, padded as Stable Diffusion 1.5 does.
    """
    tokenizer = _read(folder)
    start, end = (tokenizer.token_to_id(token) for token in (START, END))
    if start is None or end is None:
        raise UserError(f"{folder}: no tokens {START} and {END}; take the text encoder's own files")
    ids = np.full((len(prompts), max_tokens), end, np.int32)
    ids[:, 0] = start
    for row, prompt in zip(ids, prompts, strict=True):
        words = tokenizer.encode(prompt, add_special_tokens=False).ids
        if len(words) > max_tokens - 2:
            raise UserError(
                f"the prompt has {len(words)} tokens but only {max_tokens - 2} fit; shorten it: "
                f"{prompt[:40]!r}..."
            )
        row[1 : 1 + len(words)] = words
    return ids


def _read(folder: Path):
    try:
        import tokenizers
    except ImportError as error:
        raise UserError(
            "prompts need the tokenizers library; run: pip install 'tpc-jax[text]'"
        ) from error
    whole, parts = folder / _FILE, (folder / _VOCABULARY, folder / _MERGES)
    if not whole.is_file() and not all(path.is_file() for path in parts):
        raise UserError(
            f"{folder}: neither {_FILE} nor {_VOCABULARY} and {_MERGES} there; copy the tokenizer "
            "of Stable Diffusion 1.5 into it"
        )
    try:
        if not whole.is_file():
            return _assemble(*parts)
        tokenizer = tokenizers.Tokenizer.from_file(str(whole))
    except Exception as error:  # The library raises plain exceptions for damaged files.
        raise UserError(f"{folder}: damaged tokenizer ({error}); download it again") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _assemble(vocabulary: Path, merges: Path):
    """Build CLIP's tokenizer from its two tables."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    table, pairs = models.BPE.read_file(str(vocabulary), str(merges))
    bpe = models.BPE(table, pairs, end_of_word_suffix="</w>", unk_token=END)
    tokenizer = Tokenizer(bpe)
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Lowercase(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    return tokenizer
