import dataclasses
import re
from collections.abc import Callable
from typing import Any, get_args

import pytest

from model import lite0_weights
from model.config import ARCHITECTURES, BaselineConfig, SANetConfig
from model.preprocessing import Preprocessing
from training.recipe import (
    RECIPES,
    Recipe,
    RecipeError,
    am_wtl,
    baseline,
    baseline_cpu,
    baseline_paper,
    cn_nets,
    debug,
    ram,
    sanet,
    sanet_cpu,
    sanet_paper,
    scan,
    vscr,
)

FIELDS = {field.name: field for field in dataclasses.fields(Recipe)}
# Any text: whether it names weights is found out when they are read.
TEXTS = ["trunk_weights", "heading_weights"]
CHOICES = [name for name, field in FIELDS.items() if get_args(field.type)]
WHOLE = [name for name, field in FIELDS.items() if field.type is int]
REAL = [name for name, field in FIELDS.items() if field.type is float]

NO_CHOICE = ["", "SANet", "float64", None, 3, ("sanet",)]
NO_NUMBER = [-1, float("nan"), float("inf"), -float("inf"), "1", None, True, False, 1j]


def wrong_values() -> list[tuple[str, Any]]:
    wrong: list[tuple[str, Any]] = [(name, value) for name in CHOICES for value in NO_CHOICE]
    wrong += [(name, value) for name in WHOLE for value in (*NO_NUMBER, 1.5, 64.0)]
    wrong += [(name, value) for name in REAL for value in (*NO_NUMBER, -1e-9)]
    wrong += [(name, 0) for name in ("epochs", "num_identities", "num_images", "validate_every")]
    wrong += [("num_identities", 1), ("num_parts", 17), ("size_px", 16), ("size_px", 100), ("size_px", 4096)]
    wrong += [("bn_eps", 1.0), ("scale", 1.0), ("scale", 1.5), ("channel_drop", 1.0), ("temperature", 0.0)]
    wrong += [(name, value) for name in TEXTS for value in ("", None, 3)]
    shares = (
        "flip_p", "half_turn_p", "jitter_p", "grey_p", "blur_p", "background_p", "erasing_p", "mixstyle_p",
        "loaded_factor", "label_smoothing", "brightness", "contrast", "saturation", "shift",
    )  # fmt: skip
    return wrong + [(name, value) for name in shares for value in (1.0001, 2)]


def test_every_field_has_a_kind_and_help() -> None:
    assert {*CHOICES, *WHOLE, *REAL, *TEXTS} == FIELDS.keys()
    for name, field in FIELDS.items():
        assert len(field.metadata["help"]) > 10, name
    assert len({field.metadata["help"] for field in FIELDS.values()}) >= len(FIELDS) - 2  # three spreads are alike


@pytest.mark.parametrize("recipe", [sanet_paper(), baseline_paper()])
def test_the_papers_recipes_hold_the_papers_values(recipe: Recipe) -> None:
    assert recipe.num_identities * recipe.num_images == 32
    assert (recipe.num_identities, recipe.num_images) == (8, 4)
    assert recipe.learning_rate == 5e-4
    assert recipe.alignment_factor == 0.05
    assert recipe.frozen_epochs == 10
    assert recipe.margin == 0.3
    assert (recipe.id_weight, recipe.triplet_weight) == (1, 1)
    assert (recipe.size_px, recipe.backbone, recipe.num_parts, recipe.transform) == (256, "resnet50", 2, "affine")
    assert (recipe.jitter_p, recipe.erasing_p) == (0.5, 0.5)
    assert recipe.trunk_weights == "IMAGENET1K_V2"
    assert (recipe.aligned, recipe.resize, recipe.id_scale) == ("map", "stretch", 0)
    assert (recipe.turn_deg, recipe.scale, recipe.shift) == (0, 0, 0)
    # Nothing of ours.
    assert (recipe.neck, recipe.average_steps, recipe.contrastive_weight, recipe.id_margin) == ("none", 0, 0, 0)
    assert (recipe.loaded_factor, recipe.mixstyle_p, recipe.channel_drop) == (1, 0, 0)
    assert (recipe.half_turn_p, recipe.cast, recipe.grey_p, recipe.blur_p, recipe.noise) == (0, 0, 0, 0, 0)
    assert recipe.background_p == 0


def test_the_baseline_has_the_budget_of_sanet() -> None:
    assert baseline_paper() == dataclasses.replace(sanet_paper(), architecture="baseline")
    assert sanet_paper().architecture == "sanet"


@pytest.mark.parametrize("make", [ram, scan, vscr, am_wtl, cn_nets])
def test_the_compared_methods_have_the_budget_of_sanet(make: Callable[[], Recipe]) -> None:
    recipe = make()
    assert recipe.architecture == make.__name__
    assert type(recipe.network_config()) is ARCHITECTURES[make.__name__]
    # What a method's losses are, and nothing that would give it more images, epochs or pixels.
    allowed = {"architecture", "id_scale", "triplet_weight", "annotation_weight"}
    one, other = dataclasses.asdict(sanet_paper()), dataclasses.asdict(recipe)
    assert {name for name in one if one[name] != other[name]} <= allowed


@pytest.mark.parametrize("architecture", ["ram", "scan", "vscr", "am_wtl", "cn_nets"])
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"neck": "batchnorm"}, "only SANet's reductions can have a neck folded into them: the neck of {} is none"),
        ({"contrastive_weight": 1.0}, "{} has no contrastive loss: contrastive_weight must be 0"),
    ],
)
def test_what_a_compared_method_has_not_is_refused(architecture: Any, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(RecipeError, match=reason.format(architecture)):
        Recipe(architecture=architecture, **changes)


def test_a_margin_is_not_for_ram_whose_classifiers_compare_no_cosines() -> None:
    with pytest.raises(RecipeError, match=r"^ram compares no cosines: id_margin must be 0"):
        Recipe(architecture="ram", id_scale=10.0, id_margin=0.1)
    for architecture in ("scan", "vscr", "am_wtl", "cn_nets"):
        assert Recipe(architecture=architecture, id_scale=10.0, id_margin=0.1).id_margin == 0.1


@pytest.mark.parametrize("changes", [{"flip_p": 0.5}, {"turn_deg": 20.0}, {"half_turn_p": 0.1}])
def test_a_turned_image_shows_another_side_than_its_annotation_says(changes: dict[str, float]) -> None:
    with pytest.raises(RecipeError, match=r"^vscr learns which side of a vehicle an image shows: flip_p, turn_deg and"):
        Recipe(architecture="vscr", **changes)  # type: ignore[arg-type]
    assert Recipe(architecture="vscr", annotation_weight=0.0, **changes).architecture == "vscr"  # type: ignore[arg-type]
    assert Recipe(architecture="ram", **changes).architecture == "ram"  # type: ignore[arg-type]


def test_our_recipe_aligns_the_input_and_needs_no_weights_of_others() -> None:
    recipe = sanet()
    assert recipe.network_config() == SANetConfig("resnet18", transform="rotation", aligned="input", unit_length=True)
    assert recipe.preprocessing() == Preprocessing(128, resize="pad")
    assert (recipe.trunk_weights, recipe.frozen_epochs) == ("none", 0)
    assert recipe.heading_steps > 0
    assert (recipe.heading, recipe.heading_weights) == ("learned", "none")


@pytest.mark.parametrize(
    ("ours", "of_same_budget", "backbone"),
    [(sanet(), baseline(), "resnet18"), (sanet_cpu(), baseline_cpu(), "efficientnet_lite0")],
)
def test_our_baseline_has_the_data_losses_and_budget_of_our_recipe(
    ours: Recipe, of_same_budget: Recipe, backbone: Any
) -> None:
    assert of_same_budget.network_config() == BaselineConfig(backbone, unit_length=True)
    # Nothing is aligned, so that it has to see any turn; and it has no reduction that a neck is folded into.
    changed = {"architecture", "transform", "aligned", "num_columns", "neck", "turn_deg", "half_turn_p"}
    one, other = dataclasses.asdict(ours), dataclasses.asdict(of_same_budget)
    assert {name for name in one if one[name] != other[name]} <= changed
    assert (of_same_budget.turn_deg, of_same_budget.half_turn_p) == (180, 0)


def test_the_recipe_for_two_cores_differs_from_ours_in_its_backbone() -> None:
    recipe = sanet_cpu()
    assert recipe.network_config() == SANetConfig(
        "efficientnet_lite0", transform="rotation", aligned="input", num_columns=4, unit_length=True
    )
    assert recipe.preprocessing() == Preprocessing(128, lite0_weights.MEAN, lite0_weights.STD, "pad")
    one, other = dataclasses.asdict(sanet()), dataclasses.asdict(recipe)
    changed = {"backbone", "trunk_weights", "num_columns", "loaded_factor", "precision"}
    assert {name for name in one if one[name] != other[name]} == changed


def test_the_debug_recipe_is_small_and_from_scratch() -> None:
    recipe = debug()
    assert recipe.network_config() == SANetConfig("efficientnet_lite0")
    assert recipe.preprocessing() == Preprocessing(64, lite0_weights.MEAN, lite0_weights.STD)
    assert recipe.trunk_weights == "none"
    assert 0 < recipe.epochs * recipe.max_steps_per_epoch <= 200
    assert recipe.validate_every < recipe.epochs


def test_a_recipe_is_known_by_the_name_of_its_function() -> None:
    assert {name: make() for name, make in RECIPES.items()} == {
        "sanet_paper": sanet_paper(),
        "baseline_paper": baseline_paper(),
        "ram": ram(),
        "scan": scan(),
        "vscr": vscr(),
        "am_wtl": am_wtl(),
        "cn_nets": cn_nets(),
        "sanet": sanet(),
        "baseline": baseline(),
        "sanet_cpu": sanet_cpu(),
        "baseline_cpu": baseline_cpu(),
        "debug": debug(),
    }


@pytest.mark.parametrize(("name", "value"), wrong_values())
def test_a_wrong_value_is_refused_by_its_fields_name(name: str, value: Any) -> None:
    with pytest.raises(RecipeError, match=rf"^{name} must "):
        Recipe(**{name: value})


def test_a_refusal_says_what_came_and_what_is_possible() -> None:
    with pytest.raises(RecipeError, match=re.escape("precision must be one of float32, bf16, fp16; got 'float64'")):
        Recipe(precision="float64")  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match=re.escape("margin must be a number of 0 or more, got -0.3")):
        Recipe(margin=-0.3)
    with pytest.raises(RecipeError, match=r"num_identities must be 2 or more: a triplet needs a negative"):
        Recipe(num_identities=1)


def test_choices_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(RecipeError, match=r'^stride "1x1" needs bottleneck blocks, resnet18 has none'):
        Recipe(backbone="resnet18", stride="1x1")
    with pytest.raises(RecipeError, match=r'^an aligned input is turned.*use the transform "rotation", not affine'):
        Recipe(aligned="input")
    with pytest.raises(RecipeError, match=r"^id_margin is taken from cosines: give id_scale too"):
        Recipe(id_margin=0.1)
    with pytest.raises(RecipeError, match=r"the baseline has no reduction .* its neck is none"):
        Recipe(architecture="baseline", neck="batchnorm")
    with pytest.raises(RecipeError, match="are all 0: nothing would be learned"):
        Recipe(id_weight=0, triplet_weight=0)
    with pytest.raises(RecipeError, match=r'^num_columns are those of an aligned input: use aligned="input"'):
        Recipe(num_columns=4)
    with pytest.raises(RecipeError, match=r"^num_columns must be at most 8 for an input of 128 pixels"):
        Recipe(transform="rotation", aligned="input", size_px=128, num_columns=9)


@pytest.mark.parametrize("name", CHOICES)
def test_every_choice_of_a_field_is_taken(name: str) -> None:
    others: dict[str, Any] = {"transform": "rotation"} if name == "aligned" else {}
    for value in get_args(FIELDS[name].type):
        assert getattr(Recipe(**others | {name: value}), name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, 1) for name in ("epochs", "num_images", "validate_every", "num_parts")],
        ("num_identities", 2), ("num_parts", 0), ("num_parts", 16), ("size_px", 32), ("size_px", 2048),
        *[(name, 0) for name in ("max_steps_per_epoch", "frozen_epochs", "warmup_epochs")],
        *[(name, 0.0) for name in REAL if name not in ("bn_eps", "temperature")],
        *[(name, 1.0) for name in REAL if name not in ("bn_eps", "scale", "channel_drop", "id_margin")],
        ("margin", 1), ("hue", 2.5), ("learning_rate", 7.0), ("bn_eps", 1.001e-5), ("trunk_weights", "mine.pth"),
        ("heading_steps", 0), ("scale", 0.999), ("channel_drop", 0.999), ("temperature", 1e-6), ("average_steps", 0),
        ("average_steps", 1), ("cast", 2.0), ("noise", 2.0), ("heading_weights", "mine.safetensors"),
    ],
)  # fmt: skip
def test_the_last_values_that_make_sense_are_taken(name: str, value: Any) -> None:
    assert getattr(Recipe(**{name: value}), name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("backbone", "resnet101"), ("stride", "1x1"), ("bn_eps", 1.001e-5), ("num_parts", 6), ("num_parts", 0),
        ("transform", "rotation"), ("padding", "border"), ("bn_eps", 0.0), ("backbone", "efficientnet_lite0"),
    ],
)  # fmt: skip
def test_a_field_reaches_the_network(name: str, value: Any) -> None:
    assert Recipe(**{name: value}).network_config() == SANetConfig(**{name: value})
    changed = Recipe(architecture="baseline", **{name: value}).network_config()
    known = {field.name for field in dataclasses.fields(BaselineConfig)}
    assert changed == BaselineConfig(**({name: value} if name in known else {}))


def test_what_is_aligned_reaches_the_network() -> None:
    expected = SANetConfig(transform="rotation", aligned="input")
    assert Recipe(transform="rotation", aligned="input").network_config() == expected
    assert Recipe(architecture="baseline", transform="rotation", aligned="input").network_config() == BaselineConfig()


def test_the_columns_that_are_kept_reach_the_network() -> None:
    expected = SANetConfig(transform="rotation", aligned="input", num_columns=6)
    assert Recipe(transform="rotation", aligned="input", num_columns=6).network_config() == expected


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_cosines_make_features_of_unit_length(architecture: Any) -> None:
    assert Recipe(architecture=architecture, id_scale=20.0).network_config().unit_length
    assert not Recipe(architecture=architecture).network_config().unit_length


def test_the_architecture_decides_which_network_it_is() -> None:
    assert Recipe().network_config() == SANetConfig()
    assert Recipe(architecture="baseline").network_config() == BaselineConfig()


def test_the_side_and_the_way_of_resizing_reach_the_preprocessing() -> None:
    assert Recipe(resize="pad").preprocessing() == Preprocessing(resize="pad")
    assert Recipe().preprocessing() == Preprocessing()
    assert Recipe(size_px=128).preprocessing() == Preprocessing(128)


def test_each_backbone_has_the_normalisation_of_its_published_weights() -> None:
    assert Recipe(backbone="resnet18").preprocessing() == Preprocessing()
    lite = Recipe(backbone="efficientnet_lite0").preprocessing()
    assert (lite.mean, lite.std) == ((127 / 255,) * 3, (128 / 255,) * 3)


def test_a_recipe_is_a_constant() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Recipe().margin = 0.5  # type: ignore[misc]
