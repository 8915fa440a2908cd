"""The example experiment is what its README says: loadable, consistent with itself, small, and silent about machines."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parent.parent / "examples" / "digits"
EVAL_EVENTS = "digits/eval/events.out.tfevents.1767261675.example"

FILES = {
    "1767261750/saved_model.pb",
    "1767261750/variables/variables.data-00000-of-00001",
    "1767261750/variables/variables.index",
    "1767261900/saved_model.pb",
    "1767261900/variables/variables.data-00000-of-00001",
    "1767261900/variables/variables.index",
    "digits.onnx",
    "digits/checkpoint",
    EVAL_EVENTS,
    "digits/events.out.tfevents.1767261600.example",
    "digits/graph.pbtxt",
    "digits/model.ckpt-1200.data-00000-of-00001",
    "digits/model.ckpt-1200.index",
    "digits/model.ckpt-1200.meta",
    "digits/model.ckpt-900.data-00000-of-00001",
    "digits/model.ckpt-900.index",
    "digits/model.ckpt-900.meta",
}

EXPORTS = [("1767261750", 600), ("1767261900", 1200)]
"""Each export with the training step it holds."""

ABSOLUTE_PATH = re.compile(
    rb"/(?:app|builds?|content|data|etc|home|media|mnt|nix|opt|private|root|run|srv|tmp|usr|var|work|workspaces?|Users)/"
    rb"|\b[A-Z]:\\\\?[A-Za-z]{3}|file://"
)
"""The folders that working trees and libraries usually lie in; any slash would also find names of graph nodes."""


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_files_are_those_of_an_estimator_and_an_onnx_export() -> None:
    assert files_below(FOLDER) == FILES


def test_the_example_is_smaller_than_a_third_of_a_megabyte() -> None:
    assert sum((FOLDER / name).stat().st_size for name in FILES) < 333_000


@pytest.mark.parametrize("text", [b'path: "/home/someone/run"', b"\x0a\x12/var/models/x", rb"C:\Users\x", b"file:///x"])
def test_an_absolute_path_would_be_noticed(text: bytes) -> None:
    assert ABSOLUTE_PATH.search(text)


@pytest.mark.parametrize("name", sorted(FILES))
def test_no_file_holds_an_absolute_path(name: str) -> None:
    assert ABSOLUTE_PATH.findall((FOLDER / name).read_bytes()) == []


def test_the_checkpoint_file_names_its_checkpoints_without_a_folder() -> None:
    assert (FOLDER / "digits/checkpoint").read_text() == (
        'model_checkpoint_path: "model.ckpt-1200"\n'
        'all_model_checkpoint_paths: "model.ckpt-900"\n'
        'all_model_checkpoint_paths: "model.ckpt-1200"\n'
    )


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script that made the example; importing it imports TensorFlow."""
    import examples.make_digits

    return examples.make_digits


def written_at(script: ModuleType, step: int) -> dict[str, list[float]]:
    """Return the values that the evaluation wrote at *step*, by tag, as TensorFlow reads them."""
    values: dict[str, list[float]] = {}
    for event in script.tf.compat.v1.train.summary_iterator(str(FOLDER / EVAL_EVENTS)):
        for value in event.summary.value if event.step == step else ():
            values.setdefault(value.tag, []).append(value.simple_value)
    return values


def serve(script: ModuleType, folder: Path, signature: str = "serving_default"):
    images, labels = script.draw_eval_digits()
    outputs = script.tf.saved_model.load(str(folder)).signatures[signature](image=script.tf.constant(images))
    return {name: tensor.numpy() for name, tensor in outputs.items()}, images, labels


@pytest.mark.oracle
@pytest.mark.parametrize(("export", "step"), EXPORTS)
def test_an_export_reaches_the_scores_that_its_events_tell(script: ModuleType, export: str, step: int) -> None:
    outputs, _, labels = serve(script, FOLDER / export)
    values, np = written_at(script, step), script.np
    right = outputs["probabilities"][np.arange(len(labels)), labels]
    hits = outputs["probabilities"].argmax(axis=1) == labels
    one_image = 1 / len(labels)
    assert [len(values["accuracy"]), len(values["loss"])] == [4, 4]
    assert np.mean(values["accuracy"]) == pytest.approx(hits.mean(), abs=1.5 * one_image)
    assert np.mean(values["loss"]) == pytest.approx(-np.log(right).mean(), abs=1e-4)


@pytest.mark.oracle
def test_training_on_made_the_model_better_and_far_better_than_guessing(script: ModuleType) -> None:
    first, last = (script.np.mean(written_at(script, step)["accuracy"]) for step in (300, 1200))
    assert 0.1 < first < last
    assert last == pytest.approx(0.945, abs=1e-6)


@pytest.mark.oracle
def test_both_signatures_give_the_same_probabilities(script: ModuleType) -> None:
    default, _, _ = serve(script, FOLDER / "1767261900")
    predict, _, _ = serve(script, FOLDER / "1767261900", "predict")
    assert set(default) == {"probabilities"}
    assert set(predict) == {"logits", "probabilities"}
    assert (default["probabilities"] == predict["probabilities"]).all()


@pytest.mark.oracle
def test_the_onnx_model_gives_what_the_newest_export_gives(script: ModuleType) -> None:
    outputs, images, _ = serve(script, FOLDER / "1767261900")
    (found,) = script.ReferenceEvaluator(str(FOLDER / "digits.onnx")).run(None, {"image": images})
    script.np.testing.assert_allclose(found, outputs["probabilities"], rtol=0, atol=1e-5)


@pytest.mark.oracle
def test_the_newest_export_holds_the_newest_checkpoint(script: ModuleType) -> None:
    export = script.tf.train.load_checkpoint(str(FOLDER / "1767261900/variables/variables"))
    checkpoint = script.tf.train.load_checkpoint(str(FOLDER / "digits"))
    names = {"global_step", "hidden/kernel", "hidden/bias", "output/kernel", "output/bias"}
    assert set(export.get_variable_to_shape_map()) == names
    assert all((export.get_tensor(name) == checkpoint.get_tensor(name)).all() for name in names)
    assert checkpoint.get_tensor("global_step") == 1200


@pytest.mark.oracle
def test_the_script_makes_the_example_again(script: ModuleType, tmp_path: Path) -> None:
    """Not byte for byte: another processor rounds otherwise."""
    script.main(tmp_path / "again")
    assert files_below(tmp_path / "again") == FILES
    kept, _, _ = serve(script, FOLDER / "1767261900")
    again, _, _ = serve(script, tmp_path / "again/1767261900")
    script.np.testing.assert_allclose(again["probabilities"], kept["probabilities"], rtol=0, atol=0.05)
