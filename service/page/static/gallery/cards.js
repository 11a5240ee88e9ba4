/** The grid of records: crop, and on hover or focus how the network turned it. */
import { useRef, useState } from "preact/hooks";
import { time } from "../format.js";
import { html } from "../html.js";
import { byArrowKey } from "../parts/arrow_keys.js";
import { Icon } from "../parts/icon.js";
import { Picture } from "../parts/picture.js";
import { href } from "../route.js";

export function Cards({ records, conditions, selection, aligned, busy }) {
  const list = useRef(null);
  const [current, setCurrent] = useState(0);
  const isSelecting = selection.all || selection.ids.size > 0;
  const onKeyDown = (event) => {
    if (event.target.tagName !== "A" || event.altKey || event.ctrlKey || event.metaKey) return;
    const links = [...list.current.querySelectorAll("a")];
    const index = links.indexOf(event.target);
    if (event.key === " ") {
      event.preventDefault();
      if (!event.repeat) selection.toggle(records[index].id, { range: event.shiftKey });
      return;
    }
    const next = byArrowKey(event.key, links, index);
    if (!next) return;
    event.preventDefault();
    next.focus();
  };
  const reachable = Math.min(current, records.length - 1);
  return html`
    <ul class=${`records${isSelecting ? " selecting" : ""}`} aria-label="Records" aria-busy=${busy} ref=${list}
      onKeyDown=${onKeyDown}>
      ${records.map(
        (record, index) => html`
          <${Card} key=${record.id} record=${record} conditions=${conditions} aligned=${aligned}
            selected=${selection.has(record.id)} onSelect=${(range) => selection.toggle(record.id, { range })}
            reachable=${index === reachable} onReached=${() => setCurrent(index)} />
        `,
      )}
    </ul>
    <p class="small faint keys-help">
      Arrow keys move between records, Enter opens one, the space bar selects it, with Shift all up to it.
    </p>
  `;
}

function Card({ record, conditions, aligned, selected, onSelect, reachable, onReached }) {
  const [touched, setTouched] = useState(false);
  const name = record.identity ?? "no identity";
  const facts = [record.camera ?? record.source, time(record.captured_at)].filter(Boolean);
  const touch = () => setTouched(true);
  return html`
    <li class=${`record${selected ? " selected" : ""}`} onMouseEnter=${touch}>
      <a href=${href("gallery", record.id, conditions)} tabindex=${reachable ? 0 : -1}
        aria-label=${`Open ${[name, ...facts].join(", ")}`}
        onFocus=${() => (touch(), onReached())}>
        <${Picture} path=${aligned ? record.aligned_url : record.image_url} alt="" />
        ${touched && !aligned && html`
          <span class="record-aligned"><${Picture} path=${record.aligned_url} alt="" /><span class="chip">
            <${Icon} name="turn" size="14" />aligned
          </span></span>
        `}
      </a>
      <label class="record-select">
        <input type="checkbox" checked=${selected} tabindex=${reachable ? 0 : -1} aria-label=${`Select ${name}`}
          onClick=${(event) => onSelect(event.shiftKey)} onFocus=${onReached} />
      </label>
      <div class="record-facts">
        <span class=${record.identity ? "truncate record-name" : "truncate faint"} title=${name}>${name}</span>
        ${facts.map((fact) => html`<span key=${fact} class="truncate small soft" title=${fact}>${fact}</span>`)}
      </div>
    </li>
  `;
}
