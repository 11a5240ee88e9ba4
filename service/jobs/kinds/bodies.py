"""What `POST /jobs` takes: the parameters of each kind, by its name."""

from typing import Final, Literal

from service.jobs.kind import JobParameters
from service.jobs.kinds.backing_up import BackupParameters
from service.jobs.kinds.calibrating import CalibrateParameters
from service.jobs.kinds.evaluating import EvaluateParameters
from service.jobs.kinds.exporting import ExportParameters
from service.jobs.kinds.grouping import GroupParameters
from service.jobs.kinds.importing import ImportParameters
from service.jobs.kinds.matching import MatchParameters
from service.jobs.kinds.reembedding import ReembedParameters
from service.jobs.kinds.verifying import VerifyParameters

KindName = Literal["import", "evaluate", "calibrate", "backup", "verify", "export", "match", "group", "reembed"]

PARAMETERS: Final[dict[KindName, type[JobParameters]]] = {
    "import": ImportParameters,
    "evaluate": EvaluateParameters,
    "calibrate": CalibrateParameters,
    "backup": BackupParameters,
    "verify": VerifyParameters,
    "export": ExportParameters,
    "match": MatchParameters,
    "group": GroupParameters,
    "reembed": ReembedParameters,
}
