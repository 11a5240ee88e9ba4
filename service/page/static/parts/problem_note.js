/** A problem beside what caused it, such as a form that could not be sent. */
import { html } from "../html.js";
import { Icon } from "./icon.js";
import { explain } from "./states.js";

export function ProblemNote({ problem }) {
  if (!problem) return null;
  const [icon, title, text] = explain(problem);
  return html`
    <div class="note bad" role="alert">
      <${Icon} name=${icon} />
      <div><strong>${title}</strong>${text && html`<br />${text}`}</div>
    </div>
  `;
}
