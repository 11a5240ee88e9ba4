/** A row of numbers, each below its name. */
import { count } from "../format.js";
import { html } from "../html.js";

/** @param figures `[[name, number], ...]`; what is not known is left out. */
export function Findings({ figures }) {
  return html`
    <dl class="figure-tiles">
      ${figures.filter(([, number]) => number !== undefined && number !== null).map(([name, number]) => html`
        <div class="figure-tile" key=${name}><dt>${name}</dt><dd
          class="figures"><strong>${count(number)}</strong></dd></div>
      `)}
    </dl>
  `;
}
