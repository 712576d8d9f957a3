"""Text: arithmetic word problems that are written here, GSM8K as it is published, and tokens for a language model."""

from vssl.datasets.text.answers import Answers
from vssl.datasets.text.gsm8k import SolvedProblem, final_number, read_gsm8k
from vssl.datasets.text.problem_files import write_word_problems
from vssl.datasets.text.problems import Difficulty, WordProblem, distractor, word_problem
from vssl.datasets.text.tokens import end_of_text, load_tokenizer, train_tokenizer
from vssl.datasets.text.windows import TokenWindows

__all__ = [
    "Answers",
    "Difficulty",
    "SolvedProblem",
    "TokenWindows",
    "WordProblem",
    "distractor",
    "end_of_text",
    "final_number",
    "load_tokenizer",
    "read_gsm8k",
    "train_tokenizer",
    "word_problem",
    "write_word_problems",
]
