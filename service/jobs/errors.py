"""Why something cannot be done with jobs; `service.problems` says which answer each is."""


class JobNotFoundError(Exception):
    """There is no job with this id."""


class JobFileNotFoundError(Exception):
    """The job has no such file."""


class GroupNotFoundError(Exception):
    """The job proposes no group with this number."""


class GroupReviewedError(Exception):
    """The group, or some of its records, were reviewed otherwise before."""


class GroupOutdatedError(Exception):
    """Records of the group were given another identity since it was proposed."""


class NotInGroupError(ValueError):
    """Records that are not in the group that they are to be taken from."""


class JobFinishedError(Exception):
    """The job has ended, and cannot be cancelled any more."""


class TooManyJobsError(Exception):
    """So many jobs wait that no more is taken."""

    retry_after_s = 60


class JobStoreError(Exception):
    """The list of jobs cannot be written: the disk is full, or refuses it."""


class JobStoreAwayError(JobStoreError):
    """The database of the list of jobs does not answer just now."""

    retry_after_s = 5


class JobTakenOverError(JobStoreError):
    """Another process runs the job by now; whatever this one would store of it is refused."""


class NotConfiguredError(Exception):
    """The job needs a setting that this service was started without."""


class UnusableDataError(ValueError):
    """The data that a job names are not there, are not its to read, or cannot be used."""
