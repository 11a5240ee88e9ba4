/** Two aligned views over each other; a slider wipes from the query to the match. */
import { useState } from "preact/hooks";
import { html } from "../html.js";
import { Picture } from "../parts/picture.js";

/**
 * @param below the address of the query's view, or null if there is none.
 * @param path of the match's view, in the gallery.
 */
export function Wipe({ below, path }) {
  const [share, setShare] = useState(50);
  if (!below) return null;
  const follow = (event) => {
    if (!event.buttons) return;
    const { left, width } = event.currentTarget.getBoundingClientRect();
    setShare(Math.round(Math.min(100, Math.max(0, (100 * (event.clientX - left)) / width))));
  };
  return html`
    <figure class="wipe">
      <div class="wipe-views" onPointerDown=${follow} onPointerMove=${follow}>
        <div class="picture"><img src=${below} alt="" /></div>
        <div class="wipe-above" style=${{ clipPath: `inset(0 0 0 ${share}%)` }}><${Picture} path=${path} alt="" /></div>
        <div class="wipe-line" style=${{ left: `${share}%` }}></div>
      </div>
      <input class="slider" type="range" min="0" max="100" value=${share} aria-label="Wipe from the match to the query"
        aria-valuetext=${`${share} % query, ${100 - share} % match`}
        onInput=${(event) => setShare(event.target.valueAsNumber)} />
      <figcaption class="row spread"><span>Query</span><span>both aligned</span><span>Match</span></figcaption>
    </figure>
  `;
}
