/** A small line of the last minutes; the figure beside it says what it is. */
import { html } from "../html.js";

const WIDTH = 120;
const HEIGHT = 28;

/** @param most what the full height is; without it the largest value. */
export function Sparkline({ values, most = Math.max(...values, 1e-9) }) {
  if (values.length < 2) return html`<svg class="sparkline" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`}
    aria-hidden="true"></svg>`;
  const step = WIDTH / (values.length - 1);
  const y = (value) => HEIGHT - 2 - (HEIGHT - 4) * Math.min(1, value / most);
  const points = values.map((value, index) => `${(index * step).toFixed(1)} ${y(value).toFixed(1)}`);
  const line = `M${points.join("L")}`;
  return html`
    <svg class="sparkline" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
      <path class="sparkline-area" d=${`${line}V${HEIGHT}H0Z`} />
      <path class="sparkline-line" d=${line} vector-effect="non-scaling-stroke" />
    </svg>
  `;
}
