/** What is known of a record or a match, in words; what is not known takes no room. */
import { place, time } from "../format.js";
import { html } from "../html.js";

export function Facts({ record, children }) {
  const facts = [
    ["Identity", record.identity],
    ["Camera", record.camera],
    ["Time", time(record.captured_at)],
    ["Place", place(record.latitude, record.longitude)],
    ["Source", record.source],
    ["Tags", record.tags?.join(", ")],
    ...Object.entries(record.attributes ?? {}),
  ];
  return html`
    <dl class="facts">
      ${children}
      ${facts.filter(([, value]) => value).map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}
    </dl>
  `;
}
