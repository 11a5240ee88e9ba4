"""Which epoch is the best: the network scored on the validation's task, and kept if it beats all before."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from index.evaluation import evaluate
from index.task import Task
from model.embedder import Precision, embed_prepared
from training.learner import Learner


@dataclass(frozen=True)
class Figures:
    """What a validation found, by the names of the log."""

    cmc1: float
    cmc5: float
    map: float
    minp: float


def validate(learner: Learner, task: Task, progress: Callable[[int], object] = lambda _: None) -> Figures:
    """Scores the network as it is; afterwards it is in evaluation mode.

    Raises:
        ImageError, BoxError, OSError, EmbeddingError: as `evaluate`.
    """
    network = learner.network.eval()
    precision: Precision = "bf16" if learner.recipe.precision == "bf16" else "float32"
    embed_batch = partial(embed_prepared, network, device=learner.device, precision=precision)
    result = evaluate(task, learner.recipe.preprocessing(), embed_batch, progress)
    return Figures(result.cmc(1), result.cmc(5), result.map, result.minp)
