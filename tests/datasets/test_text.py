"""Word problems, the format of GSM8K, tokenizers and windows."""

import json
import re
import sys
from decimal import Decimal

import pytest

from vssl.commands.data import main
from vssl.datasets.text import Difficulty, distractor, final_number, load_tokenizer, read_gsm8k, word_problem
from vssl.datasets.text.windows import read_texts

# Two problems in GSM8K's own form: calculator annotations in the answer, thousands separators, several lines.
MINIATURE = [
    {
        "question": "Natalia sold clips to 48 friends in April, and half as many in May. How many in all?",
        "answer": "In May she sold 48/2 = <<48/2=24>>24 clips.\nIn all 48+24 = <<48+24=72>>72 clips.\n#### 72",
    },
    {
        "question": "A house costs $1,000, a car half of it. Both?",
        "answer": "1000+500=<<1000+500=1500>>\n#### 1,500",
    },
]


def lines(path, entries):
    path.write_text("\n".join(json.dumps(entry) for entry in entries) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("difficulty", [Difficulty(), Difficulty(largest=9, steps=4, names=2, things=2)])
def test_every_problem_is_solved_rightly_and_within_its_difficulty(difficulty):
    for number in range(300):
        problem = word_problem(3, "x", number, difficulty)
        numbers = [int(n) for n in re.findall(r"\d+", problem.question)]
        have = numbers[0]
        verbs = re.findall(r"\. \w+ (\w+) \d+", problem.question)
        assert len(verbs) == len(numbers) - 1 <= difficulty.steps
        for verb, change in zip(verbs, numbers[1:], strict=True):
            have += change if verb in ("gets", "finds", "buys", "wins") else -change
        assert final_number(problem.answer) == have
        assert 0 <= have <= difficulty.largest and max(numbers) <= difficulty.largest
        for left, sign, right, result in re.findall(r"(\d+) ([+-]) (\d+) = (\d+)", problem.answer):
            assert int(left) + (1 if sign == "+" else -1) * int(right) == int(result)


def test_problems_and_distractors_depend_on_their_arguments_alone():
    assert word_problem(0, "a", 5, Difficulty()) == word_problem(0, "a", 5, Difficulty())
    assert word_problem(0, "a", 5, Difficulty()) != word_problem(1, "a", 5, Difficulty())
    assert distractor(0, "a", 5) == distractor(0, "a", 5) != distractor(0, "a", 6)
    assert not re.search(r"\d", distractor(0, "a", 5))


@pytest.mark.parametrize(("key", "value"), [("largest", 1), ("steps", 5), ("names", 1), ("things", 13)])
def test_a_difficulty_outside_its_range_is_refused_by_its_key(key, value):
    with pytest.raises(ValueError, match=f"{key}={value}: give a whole number"):
        Difficulty(**{key: value})


@pytest.mark.parametrize(
    ("text", "number"),
    [("#### 72", "72"), ("x\n#### 1,500", "1500"), ("####-3", "-3"), ("#### $4.50", "4.50"), ("#### 7.", "7")],
)
def test_the_verifier_reads_numbers_as_gsm8k_writes_them(text, number):
    assert final_number(text) == Decimal(number)


@pytest.mark.parametrize("text", ["72", "#### many", "#### ,"])
def test_the_verifier_finds_no_number_where_there_is_none(text):
    assert final_number(text) is None


def test_gsm8k_is_read_as_it_is_published(tmp_path):
    problems = read_gsm8k(lines(tmp_path / "train.jsonl", MINIATURE))
    assert [p.number for p in problems] == [72, 1500]
    assert problems[0].question == MINIATURE[0]["question"] and problems[0].answer == MINIATURE[0]["answer"]
    assert len(read_gsm8k(tmp_path / "train.jsonl", limit=1)) == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2 is not JSON"),
        ('["a"]', "line 2 needs the keys"),
        ('{"question": "?"}', "line 2 needs the keys"),
        ('{"question": "?", "answer": "72"}', "line 2: the answer does not end with '#### N'"),
    ],
)
def test_a_line_that_is_no_problem_is_named(tmp_path, line, said):
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps(MINIATURE[0]) + "\n" + line + "\n")
    with pytest.raises(ValueError, match=re.escape(said)):
        read_gsm8k(path)


def test_missing_and_empty_files_say_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"tools/prepare_data\.py word_problems"):
        read_gsm8k(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(ValueError, match="holds no problems"):
        read_gsm8k(tmp_path / "empty.jsonl")
    with pytest.raises(FileNotFoundError, match=r"no \.jsonl or \.txt"):
        read_texts(tmp_path / "folder")
    with pytest.raises(ValueError, match="line 1: a line is"):
        read_texts(lines(tmp_path / "bad.jsonl", [{"words": "x"}]))


COUNTS = ["--documents", "60", "--train", "20", "--test", "10", "--start", "25", "--validation", "15"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("tokenizers")
    out = tmp_path_factory.mktemp("text") / "problems"
    assert main(["word_problems", "--out", str(out), *COUNTS]) == 0
    return out


class TestTokens:
    """What needs the package tokenizers (extra language)."""

    def test_files_hold_what_was_asked_for_and_share_no_question(self, folder):
        parts = [read_gsm8k(folder / f"{part}.jsonl") for part in ("train", "test", "validation")]
        texts = read_texts(folder / "stream.jsonl")
        streamed = {text.split("\n")[0] for text in texts if "####" in text}
        asked = [{p.question for p in problems} for problems in parts]
        assert [len(a) for a in asked] == [20, 10, 15] and len(texts) == 60 and len(streamed) == 30
        begun = {text.split("\n")[0] for text in read_texts(folder / "start.jsonl")}
        assert len(set.union(*asked, streamed, begun)) == 20 + 10 + 15 + 30 + 25
        assert json.loads((folder / "dataset.json").read_text())["distractors"] == 0.5

    def test_the_same_options_write_the_same_bytes(self, folder, tmp_path):
        main(["word_problems", "--out", str(tmp_path), *COUNTS])
        for file in folder.iterdir():
            assert (tmp_path / file.name).read_bytes() == file.read_bytes(), file.name

    def test_validation_problems_change_no_other_file(self, folder, tmp_path):
        main(["word_problems", "--out", str(tmp_path), *COUNTS[:-1], "3"])
        for name in ("stream.jsonl", "train.jsonl", "test.jsonl", "tokenizer.json"):
            assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name

    def test_tokens_decode_to_the_text(self, folder):
        from vssl.datasets.text import load_tokenizer

        tokenizer = load_tokenizer(folder)
        for text in read_texts(folder / "stream.jsonl"):
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            assert tokenizer.decode(ids) == text and tokenizer.token_to_id("<unk>") not in ids

    def test_windows_predict_every_token_once(self, folder):
        import torch

        from vssl.datasets.text import TokenWindows, end_of_text, load_tokenizer

        windows, tokenizer = TokenWindows(folder / "stream.jsonl", folder, length=32), load_tokenizer(folder)
        assert windows[0].shape == (33,) and windows[0].dtype == torch.int64
        predicted = torch.cat([windows[i, 99][1:] for i in range(len(windows))])
        first = tokenizer.encode(read_texts(folder / "stream.jsonl")[0], add_special_tokens=False).ids
        assert predicted[: len(first)].tolist() == [*first[1:], end_of_text(tokenizer)]
        assert torch.equal(predicted, torch.from_numpy(windows.tokens[1 : 1 + len(predicted)]).long())
        with pytest.raises(ValueError, match="a window needs"):
            TokenWindows(folder / "stream.jsonl", folder, length=10**6)

    def test_a_labeled_pool_holds_question_and_answer_apart(self, folder):
        from vssl.datasets.text import Answers, load_tokenizer

        pool, tokenizer = Answers(folder / "train.jsonl", folder), load_tokenizer(folder)
        for i, problem in enumerate(read_gsm8k(folder / "train.jsonl")):
            question, answer = (row[row >= 0].tolist() for row in pool[i, 0])
            assert tokenizer.decode(question) == problem.question + "\n"
            assert tokenizer.decode(answer, skip_special_tokens=False) == problem.answer + "<eos>"
        assert len(Answers(folder / "train.jsonl", folder, limit=3)) == 3
        with pytest.raises(ValueError, match=r"must hold \{question\}"):
            Answers(folder / "train.jsonl", folder, prompt="Q:")

    @pytest.mark.slow
    def test_options_outside_their_range_are_one_line(self, folder, tmp_path, capsys):
        assert main(["word_problems", "--out", str(tmp_path), "--distractors", "1"]) == 1
        assert "distractors=1.0: give a share" in capsys.readouterr().err
        assert main(["word_problems", "--out", str(tmp_path), "--largest", "2", "--names", "2", "--things", "2"]) == 1
        assert "different problems were found" in capsys.readouterr().err


def test_without_tokenizers_one_line_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ImportError, match=r"^a tokenizer needs tokenizers: python -m pip install 'vssl\[language\]'$"):
        load_tokenizer(tmp_path)
