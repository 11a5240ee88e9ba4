"""``/healthz``, ``/readyz`` and ``/model``: whether the service lives, works, and with what."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from model.config import config_to_dict
from service import problems
from service.answers import DamageAnswer, ModelAnswer, ReadyAnswer, ReadyNextModel, StatusAnswer
from service.device import DeviceError
from service.engine import Engine, engine_of
from service.next_model import next_model_of_status
from service.problems import CalibrationNotFoundError, ShuttingDownError
from service.strict_fields import strict_query_string

router = APIRouter(tags=["status"], dependencies=[Depends(strict_query_string)])


@router.get("/healthz")
async def healthz() -> StatusAnswer:
    """The process answers."""
    return StatusAnswer(status="alive")


@router.get("/readyz", response_model_exclude_none=True)
async def readyz(request: Request, engine: Annotated[Engine, Depends(engine_of)]) -> ReadyAnswer:
    """The model is warm and the gallery open; 503 before, as long as the device fails on every batch, and at the end.

    A gallery that the disk has damaged answers with what it has, and so is ready; `damage` says what was found.
    """
    if engine.worker.device_failing is not None:
        raise DeviceError(engine.worker.device_failing)
    if request.app.state.is_stopping():
        raise ShuttingDownError
    gallery = engine.gallery
    damage = DamageAnswer(
        records=gallery.num_damaged, images=gallery.num_damaged_images, index=list(gallery.index_problems)
    )
    following = await next_model_of_status(engine)
    return ReadyAnswer(
        status="ready",
        damage=damage if damage.records or damage.images or damage.index else None,
        next_model=None
        if following is None
        else ReadyNextModel(fingerprint=following.fingerprint, precision=following.precision, state=following.state),
    )


@router.get("/model")
async def model_card(engine: Annotated[Engine, Depends(engine_of)]) -> ModelAnswer:
    """The card of the model that embeds."""
    card = engine.card
    return ModelAnswer(
        fingerprint=card.fingerprint,
        trained=card.trained,
        config=config_to_dict(card.config),
        preprocessing=card.preprocessing.to_dict(),
        embedding_dim=card.config.embedding_dim,
        num_parameters=engine.num_parameters,
        precision=engine.model.precision,
        runtime=engine.runtime,
        device=engine.device,
        training=card.training,
        evaluation=card.evaluation,
        calibration=engine.decisions.to_dict(),
        next_model=await next_model_of_status(engine),
        warnings=engine.warnings(),
    )


@router.delete("/model/calibration", status_code=204, responses=problems.response(404, "there is none of its own"))
async def forget_calibration(engine: Annotated[Engine, Depends(engine_of)]) -> None:
    """Judges by the calibration in the checkpoint again, instead of the gallery's own."""
    if not await engine.pools.write.run(engine.decisions.forget):
        raise CalibrationNotFoundError("the gallery has no calibration of its own: POST /jobs with the kind calibrate")
