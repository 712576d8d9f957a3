"""What a run says about unlabeled images that could not be read."""

from pathlib import Path

from mmengine.hooks import Hook

FILE = "bad_files.txt"


class BadFilesHook(Hook):
    """``bad_files.txt``: path and reason of each unlabeled image that another one took the place of; and a warning.

    A dataset takes part that has `list_unreadable`, as `UnlabeledImages` and `UnlabeledShards` have.
    """

    priority = "ABOVE_NORMAL"  # before the hook that writes the metrics

    def before_train(self, runner) -> None:
        dataset = runner.train_loop.stream.dataset
        if hasattr(dataset, "list_unreadable"):
            dataset.list_unreadable(Path(runner.work_dir) / FILE)

    def after_train(self, runner) -> None:
        file, loop = Path(runner.work_dir) / FILE, runner.train_loop
        if file.is_file():
            count = len(file.read_text(encoding="utf-8").splitlines())
            runner.warn(
                f"{count} of {len(loop.stream.dataset)} unlabeled images could not be read, others took their place "
                f"({file})",
                step=loop.step,
            )
