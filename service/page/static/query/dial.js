/** A dial: what pointed up in the input points, after the turn, where the needle does. */
import { html } from "../html.js";

const CENTRE = 24;
const RADIUS = 17;

export function Dial({ rotation, mirrored }) {
  return html`
    <svg class="dial" width="48" height="48" viewBox="0 0 48 48" aria-hidden="true">
      <circle cx=${CENTRE} cy=${CENTRE} r=${RADIUS} />
      <path class="dial-from" d=${`M${CENTRE} ${CENTRE}V${CENTRE - RADIUS}`} />
      <path class="dial-arc" d=${arc(rotation)} />
      <g transform=${`rotate(${-rotation} ${CENTRE} ${CENTRE})`}>
        <path class="dial-needle" d=${`M${CENTRE} ${CENTRE}V${CENTRE - RADIUS + 3}`} />
        <path class="dial-head" d=${`M${CENTRE - 4} ${CENTRE - RADIUS + 5}l4 -6 4 6z`} />
      </g>
      ${mirrored && html`<path class="dial-from" d="M8 44h32" />`}
    </svg>
  `;
}

/** From straight up along the circle to where the needle points; a positive angle is counter-clockwise. */
function arc(rotation) {
  const radians = (rotation * Math.PI) / 180;
  const x = CENTRE - RADIUS * Math.sin(radians);
  const y = CENTRE - RADIUS * Math.cos(radians);
  const sweep = rotation > 0 ? 0 : 1;
  return `M${CENTRE} ${CENTRE - RADIUS}A${RADIUS} ${RADIUS} 0 0 ${sweep} ${x.toFixed(2)} ${y.toFixed(2)}`;
}
