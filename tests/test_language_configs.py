"""The configs of the language half: they build, the paper's rows say what is known of them, and GSM8K's probe runs."""

import json
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from vssl.commands.probe import main as probe
from vssl.comparison import read_comparison
from vssl.engine import load_config
from vssl.engine.config import build, check_training_config

ROOT = Path(__file__).parents[1]
# Qwen1.5: width of the hidden states, and what the paper reports (arXiv 2601.22108)
ROWS = {"0_5b": (1024, "19.15", "22.67"), "4b": (2560, "56.48", "58.98"), "7b": (4096, "65.26", "66.17")}
EMBEDDED = (
    "start",
    "next_token",
    "soft_targets",
    "token_weights",
    "word_weights",
    "uniform_smoothing",
    "self_distillation",
)


@pytest.mark.parametrize("name", ROWS)
def test_the_papers_rows(name):
    width, baseline, designed = ROWS[name]
    fixed, whole = (load_config(ROOT / f"configs/language/qwen_{name}{end}.py") for end in ("_fixed", ""))
    for config, score in ((fixed, baseline), (whole, designed)):
        check_training_config(config)
        text = Path(config.filename).read_text()
        assert f"{score} ±" in text and "not run here" in text
    folder = f"data/qwen1.5-{name.replace('_', '.')}"
    assert fixed.backbone.folder == fixed.unlabeled.tokenizer == folder
    assert whole.feedback.pools.gsm8k.dataset.tokenizer == folder and whole.designer.dim == width
    assert whole.feedback.pools.gsm8k.meta == round(0.12 * 7473)


@pytest.mark.slow
@pytest.mark.parametrize("name", EMBEDDED)
def test_the_embedded_configs_build_their_parts(name):
    pytest.importorskip("transformers")
    config = load_config(ROOT / f"configs/language/{name}.py")
    check_training_config(config)
    backbone = build(config.backbone)
    assert sum(p.numel() for p in backbone.parameters()) < 3e6
    designer = build(config.designer, build(config.recipe))
    designer.attach(torch.nn.ModuleDict({"student": backbone}))
    designer.check(build(config.objective, backbone))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["compare", "compare_early", "one_step", "selection"])
def test_a_comparison_is_read_and_every_arm_of_it_is_a_config(name):
    config = Config.fromfile(ROOT / f"configs/language/{name}.py").to_dict()
    comparison = read_comparison({**config, "start": dict(config="start.py")})  # whose file a run has to make first
    for arm in comparison.arms.values():
        check_training_config(load_config(ROOT / arm.config, arm.cfg_options))


def test_gsm8ks_probe_reads_gsm8ks_format(tmp_path, capsys):
    pytest.importorskip("transformers")
    from vssl.datasets.text import train_tokenizer
    from vssl.language import CausalLM

    answer = "In May she sold 48/2 = <<48/2=24>>24 clips.\nIn all 48+24 = <<48+24=72>>72 clips.\n#### 72"
    lines = [{"question": f"Natalia sold {n} clips in April, and half as many in May?", "answer": answer} for n in "48"]
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, lines)))
    train_tokenizer([line["question"] + line["answer"] for line in lines], tmp_path / "tokenizer.json")
    model = CausalLM(
        architecture=dict(
            model_type="qwen2", vocab_size=80, hidden_size=16, intermediate_size=16, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=2,
        ),
        aligned_blocks=1,
    )  # fmt: skip
    model.export(tmp_path / "backbone.safetensors")
    options = [f"probes.gsm8k.root={tmp_path}/test.jsonl", f"probes.gsm8k.tokenizer={tmp_path}"]
    called = ["probes/gsm8k", "--backbone", str(tmp_path), "--cfg-options", *options, "probes.gsm8k.max_new_tokens=4"]
    assert probe(called) == 0
    assert re.search(r"gsm8k +pass_at_1 0", capsys.readouterr().out)
    (result,) = json.loads((tmp_path / "probes" / "gsm8k.json").read_text())
    assert result["card"]["count"] == 2 and result["card"]["prompt"] == "Question: {question}\nAnswer:\n"
