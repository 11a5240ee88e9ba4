"""Who may call each route, and when its audit entry is written: the one table that is enforced and documented."""

from enum import Enum
from typing import Final, NamedTuple

from service.access.scope import Scope


class Audit(Enum):
    """When a call is written to the audit log.

    Attributes:
        NO: never: it changes nothing, and shows records that a query finds.
        SOON: after its answer, together with others: a kill may lose the last of them.
        AFTER: before its answer, and after what it did. Of enrolments, whose records themselves say when they came. One
            for which there is no room (429) has done nothing, and is written soon.
        BEFORE: before it does anything, and once more with what came of it. Without the first entry nothing is done: a
            deletion, a change or an export leaves nothing else that says who did it.
    """

    NO = "no"
    SOON = "soon"
    AFTER = "after"
    BEFORE = "before"


class Rule(NamedTuple):
    """Of one route.

    Attributes:
        scope: the least that a key needs.
        is_upload: it counts towards the uploads that a key may have under way.
    """

    scope: Scope
    audit: Audit = Audit.NO
    is_upload: bool = False


# By the names of the routes, which are the operations' ids in the OpenAPI document.
RULES: Final = {
    # Open, because orchestrators and people without a key ask them. They tell nothing of the gallery but whether it is
    # damaged; the description of the interface is the same in every installation, and public.
    "healthz": Rule(Scope.OPEN),
    "readyz": Rule(Scope.OPEN),
    "docs": Rule(Scope.OPEN),
    "home": Rule(Scope.OPEN),
    "asset": Rule(Scope.OPEN),
    # Read: what changes nothing.
    "query": Rule(Scope.READ, Audit.SOON, is_upload=True),
    "page": Rule(Scope.READ),
    "stats": Rule(Scope.READ),
    "deletions": Rule(Scope.READ),
    "retention": Rule(Scope.READ),
    "record": Rule(Scope.READ),
    "image": Rule(Scope.READ),
    "aligned": Rule(Scope.READ),
    "frame": Rule(Scope.READ),
    "jobs": Rule(Scope.READ),
    "job": Rule(Scope.READ),
    "job_rejections": Rule(Scope.READ),
    "job_file": Rule(Scope.READ),
    "job_changes": Rule(Scope.READ),
    "job_groups": Rule(Scope.READ),
    "model_card": Rule(Scope.READ),
    "metrics": Rule(Scope.READ),  # open with SANET_METRICS_OPEN
    # Enrol: the daily work on records.
    "enrol": Rule(Scope.ENROL, Audit.AFTER, is_upload=True),
    "change": Rule(Scope.ENROL, Audit.BEFORE),
    "change_many": Rule(Scope.ENROL, Audit.BEFORE),
    "delete": Rule(Scope.ENROL, Audit.BEFORE),
    "undo": Rule(Scope.ENROL, Audit.BEFORE),
    "review": Rule(Scope.ENROL, Audit.BEFORE),
    # Admin: what can empty the gallery, copy it to elsewhere, or read the server's files, and who did what.
    "delete_identity": Rule(Scope.ADMIN, Audit.BEFORE),
    "create_job": Rule(Scope.ADMIN, Audit.BEFORE),
    "cancel_job": Rule(Scope.ADMIN, Audit.BEFORE),
    "forget_calibration": Rule(Scope.ADMIN, Audit.BEFORE),
    "audit": Rule(Scope.ADMIN, Audit.AFTER),
}

_UNKNOWN: Final = Rule(Scope.ADMIN, Audit.BEFORE)


def rule_of(name: str) -> Rule:
    """The rule of a route; one that somebody forgot to enter is for administrators."""
    return RULES.get(name, _UNKNOWN)
