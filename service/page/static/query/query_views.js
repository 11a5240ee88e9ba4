/** The query beside what the network made of it: how it turned the vehicle. */
import { html } from "../html.js";
import { Crop } from "./crop.js";
import { Dial } from "./dial.js";

/** How the content was turned, in words. */
export function turnWords({ rotation_deg, mirrored }) {
  const angle = Math.abs(Math.round(rotation_deg));
  const way = rotation_deg > 0 ? "counter-clockwise" : "clockwise";
  const turn = angle === 0 ? "Not turned" : angle === 180 ? "Turned by 180°" : `Turned by ${angle}° ${way}`;
  return mirrored ? `${turn}, mirrored` : turn;
}

export function QueryViews({ answer }) {
  const { query } = answer;
  return html`
    <div class="query-views">
      <figure>
        <${Crop} subject=${answer.subject} alt="The vehicle that was searched for" />
        <figcaption>Query</figcaption>
      </figure>
      <div class="turn">
        <${Dial} rotation=${query.rotation_deg} mirrored=${query.mirrored} />
        <span class="small soft">${turnWords(query)}</span>
      </div>
      <figure>
        <div class="picture">
          ${query.aligned_view
            ? html`<img src=${query.aligned_view} alt="The same, turned as the network compares it" />`
            : html`<span>Image lost</span>`}
        </div>
        <figcaption>Aligned</figcaption>
      </figure>
    </div>
  `;
}
