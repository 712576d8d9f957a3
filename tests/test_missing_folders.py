"""Folders of data that are not there are told before anything that takes long to import."""

import subprocess
import sys
from pathlib import Path

import pytest

from vssl.commands import missing_folders
from vssl.config_files import CONFIGS, read_config
from vssl.options import OptionText

TRAINING = """
from vssl.datasets import SegmentationImages, UnlabeledImages
from vssl.engine.budget import Budget  # any class that needs torch

unlabeled = dict(type=UnlabeledImages, root="{unlabeled}", size=32)
feedback = dict(pools=dict(segmentation=dict(dataset=dict(type=SegmentationImages, root="{labeled}"))))
"""
PROBES = """
from vssl.probes.datasets import SceneSegmentation
from vssl.probes.dense.segmentation import SegmentationProbe
from vssl.probes.image.classification import KNNProbe

images = dict(img_path="images", seg_map_path="labels")
probes = dict(
    masks=dict(type=SegmentationProbe, train=dict(type=SceneSegmentation, data_root="{masks}", data_prefix=images)),
    classes=dict(type=KNNProbe, train="here", val="{val}"),
)
"""
COMPARISON = """
start = dict({start})
arms = dict(fixed=dict(config="mine.py"), other=dict(like="fixed", cfg_options={{"unlabeled.root": "{other}"}}))
cfg_options = {{"unlabeled.root": "here"}}
probes = "probes.py"
work_dir = "runs"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The present folder: data in ``here``; a training config, probes, and a backbone's file."""
    monkeypatch.chdir(tmp_path)
    for part in ("images", "labels"):
        Path("here", part).mkdir(parents=True)
    Path("mine.py").write_text(TRAINING.format(unlabeled="here", labeled="here"))
    Path("probes.py").write_text(PROBES.format(masks="here", val="here"))
    Path("compare.py").write_text(COMPARISON.format(start='config="mine.py"', other="here"))
    Path("b.safetensors").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("command", "changed", "said"),
    [
        ("train mine.py", ("mine.py", TRAINING, dict(unlabeled="nowhere", labeled="here")), "nowhere"),
        ("train mine.py", ("mine.py", TRAINING, dict(unlabeled="here", labeled="far/away")), "far/away"),
        ("train mine.py --cfg-options unlabeled.root=2024", None, "2024"),
        ("advise mine.py --images here", ("mine.py", TRAINING, dict(unlabeled="a", labeled="nowhere")), "nowhere"),
        ("advise run", ("run/config.py", TRAINING, dict(unlabeled="nowhere", labeled="here")), "nowhere"),
        ("probe probes.py --backbone b.safetensors", ("probes.py", PROBES, dict(masks="a", val="here")), "a"),
        ("probe probes.py --backbone b.safetensors", ("probes.py", PROBES, dict(masks="here", val="a/b")), "a/b"),
        ("probe probes.py --backbone b.safetensors --cfg-options probes.classes.val=2024", None, "2024"),
        ("compare compare.py", ("compare.py", COMPARISON, dict(start='config="mine.py"', other="nowhere")), "nowhere"),
        ("sweep sweep.py", ("sweep.py", 'start = dict(config="mine.py")\ntrial = start\nprobes = "no.py"', {}), "gone"),
        ("data clusters --images nowhere --backbone b.safetensors --clusters 3", None, "nowhere"),
        ("data shares --images a=here b=nowhere --like here --backbone b.safetensors", None, "nowhere"),
    ],
)  # fmt: skip
def test_a_command_tells_it_before_torch_is_imported(folder, command, changed, said):
    if changed is not None:
        name, text, values = changed
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text.format(**values))
    if command.startswith("sweep"):
        Path("mine.py").write_text(TRAINING.format(unlabeled="gone", labeled="here"))
    if command == "advise run":
        Path("run/checkpoint.pth").touch()
    program = "import sys; from vssl.commands.main import main; print(main(sys.argv[1:]), 'torch' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program, *command.split()], capture_output=True, text=True)
    assert ended.stderr.startswith(f"error: {said}: no such folder (") and ended.stdout == "1 False\n"
    assert "tools/prepare_data.py" in ended.stderr


def test_options_take_the_place_of_what_a_config_names(folder):
    path = Path("mine.py")
    path.write_text(TRAINING.format(unlabeled="here", labeled="nowhere"))
    for options in (
        {"feedback": "None"},
        {"feedback": None},
        {"feedback.pools.segmentation.dataset.root": OptionText("here")},
        {"feedback.pools.segmentation": dict(dataset=None)},
        {"feedback.pools.segmentation.dataset": OptionText("dict(root='here')")},
        {"feedback.pools.segmentation.dataset": OptionText("dict(type='elsewhere.SegmentationImages', root='a')")},
    ):
        missing_folders.refuse_for_training(path, options)
    for options in (
        {},
        {"feedback.pools.segmentation.train": OptionText("3")},
        {"feedback.pools.segmentation.dataset": OptionText("dict(size=3)")},
    ):
        with pytest.raises(FileNotFoundError, match="nowhere"):
            missing_folders.refuse_for_training(path, options)


def test_every_folder_of_a_mixture_and_of_the_runs_own_probes_is_looked_for(folder):
    mixture = "from vssl.datasets import UnlabeledMixture\nunlabeled = dict(type=UnlabeledMixture, roots={roots})\n"
    for roots in ('"nowhere"', 'dict(a="here", b="nowhere")'):
        Path("mine.py").write_text(mixture.format(roots=roots))
        with pytest.raises(FileNotFoundError, match="nowhere"):
            missing_folders.refuse_for_training(Path("mine.py"), {})
    missing_folders.refuse_for_training(Path("mine.py"), {"unlabeled.roots.b": OptionText("here")})

    Path("probes.py").write_text(PROBES.format(masks="here", val="nowhere"))
    with open("mine.py", "w") as file:
        file.write(mixture.format(roots='"here"') + 'probes = [dict(config="probes.py", only=["masks"], count=2)]\n')
    missing_folders.refuse_for_training(Path("mine.py"), {})
    with pytest.raises(FileNotFoundError, match="nowhere"):
        missing_folders.refuse_for_training(Path("mine.py"), {"probes.0.only": None})


def test_a_probes_parts_are_looked_for_where_its_data_set_is(folder):
    Path("here/labels").rmdir()
    with pytest.raises(FileNotFoundError, match=r"here/labels: no such folder \(here holds: images/\)"):
        missing_folders.refuse_for_probing(Path("probes.py"), {}, None)
    missing_folders.refuse_for_probing(Path("probes.py"), {}, ["classes"])


def test_a_comparison_looks_at_what_it_will_use_and_says_whose_it_is(folder):
    path = Path("compare.py")
    missing_folders.refuse_for_comparing(path, None)
    path.write_text(COMPARISON.format(start='backbone_of="fixed"', other="nowhere"))
    missing_folders.refuse_for_comparing(path, ["fixed"])
    with pytest.raises(FileNotFoundError, match="nowhere") as refused:
        missing_folders.refuse_for_comparing(path, None)
    assert refused.value.__notes__ == ["while loading the config of arm 'other'"]

    shared = 'feedback_options = {"feedback.pools.segmentation.dataset.root": "nowhere"}\n'
    path.write_text(COMPARISON.format(start='backbone_of="fixed"', other="here") + shared)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        missing_folders.refuse_for_comparing(path, ["fixed"])
    path.write_text(path.read_text().replace('config="mine.py"', 'config="mine.py", cfg_options=dict(feedback=None)'))
    missing_folders.refuse_for_comparing(path, ["fixed"])

    path.write_text(COMPARISON.format(start='config="mine.py", cfg_options={"unlabeled.root": "a"}', other="here"))
    with pytest.raises(FileNotFoundError, match=r"^a: ") as refused:
        missing_folders.refuse_for_comparing(path, None)
    assert refused.value.__notes__ == ["while loading the config of the start"]

    Path("probes.py").write_text(PROBES.format(masks="nowhere", val="here"))
    path.write_text(COMPARISON.format(start='config="mine.py"', other="here"))
    with pytest.raises(FileNotFoundError, match="nowhere") as refused:
        missing_folders.refuse_for_comparing(path, None)
    assert refused.value.__notes__ == ["while loading the probes"]


def test_a_config_that_cannot_be_read_is_left_to_who_loads_it(folder):
    for text in ("unlabeled = 1 / 0\n", "arms = 3\n", 'arms = dict(a=dict(like="a"))\nstart = dict()\nprobes = 1\n'):
        Path("mine.py").write_text(text)
        missing_folders.refuse_for_training(Path("mine.py"), {"unlabeled.root.a.b": OptionText("dict(")})
        missing_folders.refuse_for_probing(Path("mine.py"), {}, ["nobody"])
        missing_folders.refuse_for_comparing(Path("mine.py"), ["nobody"])


def _named(node) -> set[str]:
    """Every ``data/…`` below a config's node, but files, tokenizers, and where the `dataset.json` of a card lies."""
    if isinstance(node, dict):
        read_by_classes = {key for key in node if key != "tokenizer" and (key != "data_root" or "data_prefix" in node)}
        return set().union(*(_named(node[key]) for key in read_by_classes))
    if isinstance(node, list | tuple):
        return set().union(*map(_named, node))
    return {node} if isinstance(node, str) and node.startswith("data/") and not Path(node).suffix else set()


CONFIG_FILES = sorted(path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("[!_]*.py"))


@pytest.mark.parametrize("name", [name for name in CONFIG_FILES if name[0] != "_" and not name.startswith("language")])
def test_every_folder_that_the_packages_configs_name_is_looked_for(name):
    """What a new class of data reads fails here until the table has the class."""
    file = CONFIGS / name
    settings = read_config(file).to_dict()
    if "unlabeled" in settings:
        read, found = (settings["unlabeled"], settings.get("feedback")), missing_folders._of_training(file, {})
    elif "start" in settings:
        shared = settings.get("cfg_options"), settings.get("feedback_options")
        read, found = shared, missing_folders._of_comparison(file, None)
    else:
        read, found = settings["probes"], missing_folders._of_probes(file, {}, None)
    assert _named(read) <= {str(path) for path, _ in found}
