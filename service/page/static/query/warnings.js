/** What makes an answer less than it seems; a long sentence is one line until it is opened. */
import { html } from "../html.js";
import { Icon } from "../parts/icon.js";

const LONG = 110;
const FOREIGN_CALIBRATION = /^decisions and probabilities were calibrated on (.+?), not on your vehicles/;

export function Warnings({ warnings }) {
  if (!warnings.length) return null;
  const notes = warnings.map((text) => html`<li key=${text}><${Warning} text=${text} /></li>`);
  return html`<ul class="stack tight" aria-label="Notes">${notes}</ul>`;
}

function Warning({ text }) {
  const foreign = text.match(FOREIGN_CALIBRATION);
  if (foreign) {
    return html`
      <${Folded} summary=${`Calibrated on ${foreign[1] === "uav-synth" ? "drawn vehicles" : foreign[1]}, not on yours`}>
        The promised error rates were measured on other vehicles than those of this gallery; strangers among real ones
        are called a match several times as often as promised. <a href="#/jobs">Start a calibration</a> on the records
        that have an identity: then the promise holds for this gallery.
      <//>
    `;
  }
  if (text.length > LONG) {
    const beginning = text.slice(0, LONG - 10).replace(/\s\S*$/, "");
    return html`<${Folded} summary=${`${beginning} …`}>${text}<//>`;
  }
  return html`<p class="note warn"><${Icon} name="warning" size="18" />${text[0].toUpperCase() + text.slice(1)}</p>`;
}

const Folded = ({ summary, children }) => html`
  <details class="note warn folded">
    <summary><${Icon} name="warning" size="18" /><span>${summary}</span><span class="more">more</span></summary>
    <p>${children}</p>
  </details>
`;
