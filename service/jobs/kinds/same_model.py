"""A job that was interrupted goes on with the model that it began with: distances of two models cannot be compared."""


def require_same_model(began_with: str, serving: str) -> None:
    """Returns if the model is still the one.

    Raises:
        ValueError: another one serves by now.
    """
    if began_with != serving:
        raise ValueError(
            "another model serves than when the job began, and distances would be mixed: start the job again"
        )
