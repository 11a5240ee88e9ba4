"""What is seen through the windows from above: the dashboard, the front seats, the shelf behind the rear ones."""

from training.synthetic.vehicles.mesh import Material
from training.synthetic.vehicles.workshop import Workshop


def furnish(w: Workshop) -> None:
    """Lays a dashboard, seats and a shelf upon the panes, under the glass's own reflections; not into every vehicle.

    They lie upon the glass because panes hide what is behind them.
    """
    if w.kind in ("bus", "truck"):
        return
    colours = ((20, 20, 22), (44, 44, 47), (72, 70, 68), (118, 106, 90), (96, 98, 100))
    if w.chance(0.6):
        top = float(w.random.uniform(0.15, 0.4))
        w.add_pane_patch("windscreen", (-0.95, 0.95), (0.03, top), w.pick(*colours), Material.GLASS)
    if w.chance(0.5):
        colour, reach = w.pick(*colours), float(w.random.uniform(0.16, 0.26))
        low = float(w.random.uniform(0.4, 0.55))
        for middle in (-0.45, 0.45):
            u = (middle - reach, middle + reach)
            w.add_pane_patch("windscreen", u, (low, low + 0.35), colour, Material.GLASS)
    if w.shape.glazed_rear and w.kind != "pickup" and w.chance(0.5):
        top = float(w.random.uniform(0.2, 0.6))
        w.add_pane_patch("rear window", (-0.9, 0.9), (0.05, top), w.pick(*colours), Material.GLASS)
