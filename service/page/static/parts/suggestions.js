/** What the gallery has already, for an input's `list`. */
import { html } from "../html.js";

/** @param counts `cameras` or `identities` of `GET /gallery/stats`, if they are there. */
export function Suggestions({ id, counts = [] }) {
  const named = counts.filter(({ value }) => value !== null);
  return html`<datalist id=${id}>${named.map(({ value }) => html`<option key=${value} value=${value} />`)}</datalist>`;
}
