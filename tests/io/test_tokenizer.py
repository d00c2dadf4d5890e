import json
import sys

import numpy as np
import pytest

from tpc_jax.errors import UserError
from tpc_jax.io.tokenizer import END, START, prompt_ids

pytest.importorskip("tokenizers")

LETTERS = [*"abcdefghijklmnopqrstuvwxyz,1Ã©"]
MERGES = ["r e", "re d</w>", "d a", "n c", "da nc", "danc e</w>"]


@pytest.fixture
def folder(tmp_path):
    """CLIP's files with a few merges."""
    tokens = LETTERS + [letter + "</w>" for letter in LETTERS]
    tokens += [merge.replace(" ", "") for merge in MERGES] + [START, END]
    (tmp_path / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(MERGES) + "\n")
    return tmp_path


def vocabulary(folder):
    return json.loads((folder / "vocab.json").read_text())


def expected(folder, *tokens, length=16):
    table = vocabulary(folder)
    row = [table[token] for token in (START, *tokens, END)]
    return row + [table[END]] * (length - len(row))


@pytest.mark.parametrize(
    ("prompt", "tokens"),
    [
        ("", []),
        ("red", ["red</w>"]),
        ("  A\tRED \n dance ", ["a</w>", "red</w>", "dance</w>"]),
        # Words end at punctuation and at every digit; merges go by rank, not from left to right.
        ("red,dance11", ["red</w>", ",</w>", "dance</w>", "1</w>", "1</w>"]),
        ("reda", ["re", "d", "a</w>"]),
        ("it's", ["i", "t</w>", END, "s</w>"]),  # the apostrophe is not in this vocabulary
        ("é", ["Ã", "©</w>"]),  # bytes beyond ASCII stand for themselves by other letters
    ],
)
def test_ids(folder, prompt, tokens):
    ids = prompt_ids(folder, [prompt], 16)
    np.testing.assert_array_equal(ids, [expected(folder, *tokens)])
    assert ids.dtype == np.int32


def test_one_file_or_two_are_the_same(folder, tmp_path):
    from tpc_jax.io import tokenizer

    whole = tmp_path / "whole"
    whole.mkdir()
    built = tokenizer._read(folder)
    built.enable_padding(length=30)
    built.enable_truncation(2)
    built.save(str(whole / "tokenizer.json"))
    prompts = ["a red dance", "", "red, red"]
    np.testing.assert_array_equal(prompt_ids(whole, prompts), prompt_ids(folder, prompts))
    assert prompt_ids(whole, prompts).shape == (3, 77)


def test_a_prompt_may_fill_the_row_but_not_more(folder):
    ids = prompt_ids(folder, ["red " * 14], 16)
    table = vocabulary(folder)
    np.testing.assert_array_equal(ids[0], [table[START], *[table["red</w>"]] * 14, table[END]])
    with pytest.raises(UserError, match="has 15 tokens but only 14 fit"):
        prompt_ids(folder, ["", "red " * 15], 16)


def test_missing_files(tmp_path):
    (tmp_path / "vocab.json").write_text("{}")
    with pytest.raises(UserError, match=r"neither tokenizer\.json nor vocab\.json and merges\.txt"):
        prompt_ids(tmp_path, [""])


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt", "tokenizer.json"])
def test_damaged_files(folder, name):
    (folder / name).write_text('{"a": ')
    with pytest.raises(UserError, match="damaged tokenizer"):
        prompt_ids(folder, [""])


def test_a_tokenizer_of_another_model(folder):
    table = vocabulary(folder)
    table["x y"] = table.pop(START)
    (folder / "vocab.json").write_text(json.dumps(table))
    with pytest.raises(UserError, match="take the text encoder's own files"):
        prompt_ids(folder, [""])


def test_without_the_library(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(UserError, match=r"pip install 'tpc-jax\[text\]'"):
        prompt_ids(folder, [""])
