/** Pages that follow each other by cursors: forward by `next_cursor`, back by those that were seen. */
import { useEffect, useState } from "preact/hooks";
import { html } from "../html.js";
import { count } from "../format.js";
import { Icon } from "./icon.js";

/** `{cursor, number, next(cursor), previous, first}`; the first page again when one of `dependencies` changes. */
export function usePages(dependencies) {
  const [cursors, setCursors] = useState([null]);
  useEffect(() => setCursors([null]), dependencies);
  return {
    cursor: cursors.at(-1),
    number: cursors.length,
    next: (cursor) => setCursors([...cursors, cursor]),
    previous: () => setCursors(cursors.slice(0, -1)),
  };
}

export function Pager({ pages, nextCursor, total, size }) {
  const first = (pages.number - 1) * size + 1;
  if (total <= size && pages.number === 1) return null;
  return html`
    <nav class="row" aria-label="Pages">
      <button class="button icon" aria-label="Previous page" disabled=${pages.number === 1} onClick=${pages.previous}>
        <${Icon} name="left" />
      </button>
      <span class="figures soft">${count(first)}–${count(Math.min(first + size - 1, total))} of ${count(total)}</span>
      <button class="button icon" aria-label="Next page" disabled=${!nextCursor} onClick=${() => pages.next(nextCursor)}>
        <${Icon} name="right" />
      </button>
    </nav>
  `;
}
