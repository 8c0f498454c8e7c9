"""Every plot is drawn, from scores with NaN in them, too."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest

from sciml.errors import InputError
from sciml.jets import plots
from sciml.jets.deployment.onnx import example

CLASSES = ("QCD", "Hbb", "Tbqq")


@pytest.fixture
def scored():
    random = np.random.default_rng(0)
    labels = np.arange(300) % 3
    logits = random.normal(size=(300, 3))
    logits[np.arange(300), labels] += 2
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    probabilities[7] = np.nan
    return probabilities, labels


def test_plots(scored):
    probabilities, labels = scored
    figures = [
        plots.rejection_curves({"ours": (probabilities[:, 2], labels == 2)}, bootstraps=5),
        plots.confusion(probabilities, labels, CLASSES),
        plots.score_distributions(probabilities, labels, CLASSES, "Tbqq"),
        plots.calibration({"ours": (probabilities, labels)}),
        plots.mass_sculpting(np.linspace(20, 200, 300), probabilities[:, 2]),
        plots.jet_images(example(30, 9, ragged=True), np.arange(30) % 3, CLASSES),
    ]
    for figure in figures:
        assert figure.axes and figure.axes[0].has_data()
        plt.close(figure)


def test_confusion_says_what_metrics_say(scored):
    from sciml.jets.metrics import confusion

    probabilities, labels = scored
    figure = plots.confusion(probabilities, labels, CLASSES)
    shown = [text.get_text() for text in figure.axes[0].texts]
    assert shown == [f"{value:.2f}" for value in confusion(*scored).flatten()]
    plt.close(figure)


def test_names_are_no_mathematics(scored):
    probabilities, labels = scored
    names = ("$\\frac$", "a$b$", "$")
    figures = [
        plots.confusion(probabilities, labels, names),
        plots.score_distributions(probabilities, labels, names, "a$b$"),
        plots.calibration({"$x_{$": (probabilities, labels)}),
    ]
    for figure in figures:
        figure.savefig(io.BytesIO(), format="svg")
    axis = figures[0].axes[0]
    assert [t.get_text().replace("\\$", "$") for t in axis.get_xticklabels()] == list(names)


def test_the_style_of_an_experiment(scored):
    """mplhep's style and size of figures hold within it, the package's before and after."""
    pytest.importorskip("mplhep")

    def drawn():
        figure = plots.calibration({"": scored})
        look = tuple(figure.get_size_inches()), figure.axes[0].spines["top"].get_visible()
        plt.close(figure)
        return look

    own = drawn()
    with plots.experiment_style("CMS"):
        size, framed = drawn()
    assert framed and size == (10, 10) and own == drawn() and not own[1]
    with pytest.raises(InputError, match="unknown style 'CMSS'"), plots.experiment_style("CMSS"):
        pass


def test_plots_of_a_measurement(scored, tmp_path):
    probabilities, labels = scored
    paths = plots.write_plots(tmp_path / "p", probabilities, labels, CLASSES, "QCD")
    assert {p.stem for p in paths} >= {"rejection", "confusion", "calibration", "score_Tbqq"}
    assert all(path.read_bytes().startswith(b"%PDF") for path in paths)
