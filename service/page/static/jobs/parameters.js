/** With what a job was started, in the words of its form. */
import { html } from "../html.js";
import { kindOf } from "./kinds.js";
import { valueText } from "./value_text.js";

export function Parameters({ job }) {
  const { fields } = kindOf(job.kind);
  const labels = Object.fromEntries(fields.map(({ name, label }) => [name, label]));
  const given = Object.entries(job.parameters).filter(([, value]) => value !== null);
  return html`
    <details class="card padded job-parameters">
      <summary>Parameters</summary>
      <dl>
        ${given.map(([name, value]) => html`<dt>${labels[name] ?? name}</dt><dd>${valueText(value)}</dd>`)}
        <dt>Number of the job</dt><dd class="figures">${job.id}</dd>
      </dl>
    </details>
  `;
}
