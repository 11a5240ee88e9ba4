"""What a kind of job is: its parameters, and what it does."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from service.jobs.running_job import RunningJob


class JobParameters(BaseModel):
    """The body of ``POST /jobs``; each kind has its own fields besides ``kind``."""

    model_config = ConfigDict(extra="forbid")

    kind: str


P = TypeVar("P", bound=JobParameters)


class Kind(ABC, Generic[P]):
    """Runs jobs of one kind, one at a time, in the lane's thread.

    A job may be run several times, because the process can end at any moment: from its cursor on, every step must have
    the same effect when it is done again.
    """

    name: ClassVar[str]
    parameters: type[P]

    def check(self, parameters: P) -> None:
        """Refuses parameters that no job could follow, before there is one; quickly.

        Raises:
            NotConfiguredError: the service lacks a setting.
            UnusableDataError: what they name is not there or not to be read.
        """

    def key(self, parameters: P) -> str | None:  # noqa: ARG002
        """A text by which jobs with these parameters are found again, if anybody needs to."""
        return None

    def tidy(self) -> None:
        """Removes what no job needs any more outside the jobs' folders; called while no job runs, often.

        Raises:
            OSError, GalleryError: the disk refuses; it is tried again.
        """

    @abstractmethod
    def run(self, job: RunningJob, parameters: P) -> dict[str, Any]:
        """Does the work, and returns the final report; what lies in `RunningJob.results` then can be downloaded.

        Raises:
            JobInterrupted: what `RunningJob.raise_if_interrupted` raised; let it pass.
            Exception: the job has failed; the first line of its message says why.
        """
